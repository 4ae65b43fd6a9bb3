"""The protocol of the guest agent: what is sent, and that no answer of a guest does harm."""

from __future__ import annotations

import base64
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.guest import protocol
from eventalarm.guest.protocol import Health, Reader, Silent


def test_a_conversation_skips_what_another_client_left_unread() -> None:
    assert protocol.sync_request(7) == b'\xff{"execute": "guest-sync-delimited", "arguments": {"id": 7}}\n'
    reader = Reader(1000)
    reader.feed(b'{"return": {}}\n\xff{"return": 6}\nrest\xff{"retu')
    assert not reader.synchronized(7)
    reader.feed(b'rn": 7}\n{"return": {}}\n{"ret')
    assert reader.synchronized(7)
    assert reader.response() == {}
    assert reader.response() is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\x00\xfe", "not JSON"),
        (b"[" * 50000, "not JSON"),
        (b"[]", "not one of a guest agent"),
        (b"5", "not one of a guest agent"),
        (b'{"error": 5}', "not one of a guest agent"),
        (
            b'{"error": {"class": "x", "desc": "The command guest-exec\\u001b[31m is disabled"}}',
            "refused: The command",
        ),
    ],
)
def test_what_is_not_an_answer_counts_as_silence(line: bytes, reason: str) -> None:
    reader = Reader(100000)
    reader.feed(line + b"\n")
    with pytest.raises(Silent, match=reason) as raised:
        reader.response()
    assert str(raised.value).isprintable()


def test_a_response_has_a_bound() -> None:
    reader = Reader(100)
    reader.feed(b"x" * 100)
    with pytest.raises(Silent, match="larger than 100 bytes"):
        reader.feed(b"x")


@hypothesis.given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_lead_to_an_answer_or_silence(chunks: list[bytes]) -> None:
    reader = Reader(2000)
    silent = 0
    for chunk in chunks:
        try:
            reader.feed(chunk)
            reader.synchronized(1)
            reader.response()
        except Silent:
            silent += 1
    assert silent <= len(chunks)


def ended(code: Any = 0, output: str = "", **more: Any) -> dict[str, Any]:
    return {"exited": True, "exitcode": code, "out-data": base64.b64encode(output.encode()).decode(), **more}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"exited": False}, None),
        (ended(), Health(True, 0, "exit code 0")),
        (ended(3, "no JSON"), Health(False, 3, "exit code 3")),
        (ended(1, '{"reason": "disk full", "severity": "Minor"}'), Health(False, 1, "disk full", "minor")),
        (ended(1, '{"reason": ["x"], "severity": "awful"}'), Health(False, 1, "exit code 1")),
        ({"exited": True, "signal": 9}, Health(False, None, "killed by signal 9")),
        (ended(0, "[" * 100000), Health(True, 0, "exit code 0")),
        ({"exited": True, "exitcode": 1, "out-data": "***"}, Health(False, 1, "exit code 1")),
        ({"exited": True, "exitcode": 1, "out-data": 5}, Health(False, 1, "exit code 1")),
    ],
)
def test_the_health_is_the_exit_code_and_the_json(status: dict[str, Any], expected: Health | None) -> None:
    assert protocol.health(status) == expected


def test_the_reason_of_a_guest_is_one_short_line() -> None:
    said = json.dumps({"reason": "bad\nline\x1b[0m " + "x" * 5000})
    found = protocol.health(ended(1, said))
    assert found is not None
    assert found.reason.startswith("bad line [0m xxx")
    assert len(found.reason) <= 200


@pytest.mark.parametrize("status", [None, 5, [], {}, {"exited": "yes"}])
def test_a_nonsensical_status_is_no_health(status: Any) -> None:
    with pytest.raises(Silent):
        protocol.health(status)


@pytest.mark.parametrize("started", [None, [], {}, {"pid": "1"}, {"pid": True}])
def test_a_program_without_a_process_id_was_not_started(started: Any) -> None:
    with pytest.raises(Silent):
        protocol.process_id(started)
