"""Texts that databases cannot hold, or find again, become texts that they can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventalarm.storage.column_types import clean, for_aodh, to_key
from eventalarm.storage.events import event_json

BAD = "\ufffd"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("plain", "plain"),
        ("é☃𐍈", "é☃𐍈"),
        ("a\x00b", f"a{BAD}b"),
        ("é\x00", f"é{BAD}"),
        ("\ud800", "?"),
        ("é\udfff\x00", f"é?{BAD}"),
        ("tab\tline\n", "tab\tline\n"),
    ],
)
def test_text_is_cleaned(given: str, kept: str) -> None:
    assert clean(given) == kept
    kept.encode("utf-8")
    assert clean(kept) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("vm-1", "vm-1"),
        ("vm-1 ", "vm-1"),
        ("  vm-1", "  vm-1"),
        ("VM-1", "VM-1"),
        ("a\x00", f"a{BAD}"),
        ("x" * 255, "x" * 255),
        ("𐍈" * 255, "𐍈" * 255),
        ("x" * 255 + "   ", "x" * 255),
    ],
)
def test_key(given: str, kept: str) -> None:
    assert to_key(given) == kept


def test_long_keys_stay_distinct_and_stable() -> None:
    first, second = "x" * 300 + "1", "x" * 300 + "2"
    keys = [to_key(first), to_key(second), to_key("x" * 256), to_key("𐍈" * 1000)]
    assert len(set(keys)) == 4
    assert all(len(key) == 255 for key in keys)
    assert to_key(first) == to_key(first)
    assert keys[0].startswith("x" * 200)
    assert to_key(keys[0]) == keys[0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain", "plain"),
        ("é☃", "é☃"),
        ("𐍈 and 💥", f"{BAD} and {BAD}"),  # four bytes: more than Aodh's utf8 columns take on MySQL
        ("\ud800\x00", f"?{BAD}"),
        ("x" * 8000, "x" * 8000),
        ("x" * 8001, "x" * 7999 + "…"),
    ],
)
def test_text_fits_the_character_set_of_aodh(given: str, kept: str) -> None:
    assert for_aodh(given) == kept


@pytest.mark.parametrize("character", ["x", "é", "☃", '"', "\\", "\n"])
def test_for_aodh_fits_its_columns(character: str) -> None:
    kept = for_aodh(character * 100_000)
    assert len(kept.encode()) <= 65_535, "alarm.state_reason"
    detail = json.dumps({"state": "insufficient data", "transition_reason": kept})
    assert len(detail.encode()) <= 65_535, "alarm_history.detail"


def body(raw: Any = None, traits: Any = ()) -> dict[str, Any]:
    return {
        "message_id": "m",
        "event_type": "a.b",
        "generated": "2026-05-01T12:00:00",
        "traits": list(traits),
        "raw": raw or {},
    }


def test_events_are_kept_whole() -> None:
    for one in (body(), body({"a": "é☃𐍈\ud800\x00"}, [["state", 1, "error"]])):
        assert json.loads(event_json(one)) == one
        event_json(one).encode("ascii")


def test_a_long_event_loses_its_raw_part_first() -> None:
    kept = event_json(body({"a": "x" * 3000}, [["state", 1, "error"]]), limit=2000)
    assert len(kept) <= 2000
    assert json.loads(kept) == body(traits=[["state", 1, "error"]]) | {"truncated": ["raw"]}


def test_a_long_event_then_loses_its_traits() -> None:
    kept = event_json(body({"a": "x" * 3000}, [["state", 1, "x" * 3000]]), limit=2000)
    assert len(kept) <= 2000
    assert json.loads(kept) == body() | {"truncated": ["raw", "traits"]}


def test_the_result_is_always_short() -> None:
    long = dict.fromkeys(("message_id", "event_type", "generated"), "💥" * 100_000)
    kept = json.loads(event_json(body() | long | {"other": "y" * 10_000_000}))
    assert kept["truncated"] == ["raw", "traits"]
    assert kept["message_id"] == "💥" * 255
