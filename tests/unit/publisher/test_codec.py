"""The wire format: what Ceilometer's own consumers read, and nothing on it can stop its neighbours."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from ceilometer.event.models import Event as CeilometerEvent
from ceilometer.event.models import Trait
from ceilometer.publisher import utils
from hypothesis import example, given
from hypothesis import strategies as st
from oslo_messaging._drivers.common import serialize_msg

from eventalarm.exceptions import InvalidEvent
from eventalarm.publisher.codec import ENVELOPE_SIZE, decode, encode

GOOD = {"message_id": "good", "event_type": "e", "traits": [["a", 1, "b"]]}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["\ud800", "\x00", "", "x" * 300]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
TRAITS = st.lists(st.one_of(JSON, st.tuples(JSON, JSON, JSON).map(list)), max_size=4)
EVENT_LIKE = st.fixed_dictionaries(
    {},
    optional={"message_id": JSON, "event_type": JSON, "traits": st.one_of(JSON, TRAITS), "generated": JSON},
)


def test_a_ceilometer_event_survives_the_wire() -> None:
    when = datetime.datetime(2026, 11, 20, 23, 1, 36)
    traits = [Trait("state", 1, "error"), Trait("vcpus", 2, 1), Trait("at", 4, when)]
    body = utils.message_from_event(CeilometerEvent("id", "compute.x", when, traits, {"k": "v"}), "secret")
    wire = json.loads(json.dumps([encode(body).body]))
    (event,), invalid = decode(wire)
    assert not invalid
    assert (event.message_id, event.event_type) == ("id", "compute.x")
    assert event.trait("state") == "error"
    assert event.trait("at") == when.replace(tzinfo=datetime.UTC)
    assert utils.verify_signature(event.body, "secret")


@pytest.mark.parametrize("payload", [GOOD, [GOOD], (GOOD,)])
def test_a_single_event_need_not_be_wrapped(payload: object) -> None:
    events, invalid = decode(payload)
    assert [event.message_id for event in events] == ["good"]
    assert invalid == []


@pytest.mark.parametrize(
    ("bad", "reason", "event_id"),
    [
        ("text", "not_a_mapping", ""),
        (None, "not_a_mapping", ""),
        ([GOOD], "not_a_mapping", ""),
        ({"event_type": "e"}, "no_message_id", ""),
        ({"message_id": 7, "event_type": "e"}, "no_message_id", ""),
        ({"message_id": "i"}, "no_event_type", "i"),
        ({"message_id": "i\x00", "event_type": "e"}, "bad_message_id", "i\\x00"),
        ({"message_id": "\ud800", "event_type": "e"}, "bad_message_id", "\\ud800"),
        ({"message_id": "i", "event_type": "\udfff"}, "bad_event_type", "i"),
    ],
)
def test_a_bad_event_hurts_only_itself(bad: object, reason: str, event_id: str) -> None:
    events, (invalid,) = decode([GOOD, bad, GOOD])
    assert [event.message_id for event in events] == ["good", "good"]
    assert (invalid.reason, invalid.event_id) == (reason, event_id)


@pytest.mark.parametrize("payload", [None, 7, "text", b"bytes", {1, 2}])
def test_a_payload_that_is_no_list_is_reported(payload: object) -> None:
    assert [one.reason for one in decode(payload)[1]] == ["not_a_list"]


def test_a_trait_too_deep_to_print_hurts_only_its_event() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    events, invalid = decode([{"message_id": "deep", "event_type": "e", "traits": [deep]}, GOOD])
    assert "good" in [event.message_id for event in events]
    assert len(events) + len(invalid) == 2


@given(st.one_of(JSON, st.lists(st.one_of(EVENT_LIKE, JSON), max_size=5)))
def test_decode_never_raises_and_loses_nothing(payload: Any) -> None:
    events, invalid = decode(payload)
    assert len(events) + len(invalid) == (len(payload) if isinstance(payload, list) else 1)
    for event in events:
        event.message_id.encode()
        event.trait("any")


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
@example({"quotes": '"' * 3000, "backslashes": "\\" * 3000, "umlauts": "ä" * 3000})
def test_the_size_is_what_the_driver_writes(raw: dict[str, Any]) -> None:
    body = {**GOOD, "raw": raw}
    message = {"payload": [body], "_context_client_timeout": None, "event_type": "event_eval"}
    written = len(json.dumps(serialize_msg(message)))
    size = encode(body).size
    assert size <= written <= size + ENVELOPE_SIZE


def test_values_that_json_lacks_are_refused_with_their_event_id() -> None:
    loop: dict[str, Any] = {"message_id": "i"}
    loop["raw"] = loop
    with pytest.raises(InvalidEvent) as caught:
        encode(loop)
    assert (caught.value.reason, caught.value.event_id) == ("not_json", "i")


def test_without_raw_gives_up_only_the_raw_part() -> None:
    event = encode({**GOOD, "raw": {"big": "x" * 1000}})
    stripped = event.without_raw()
    assert stripped is not None
    assert stripped.body == {**GOOD, "raw": {}}
    assert stripped.size < event.size - 1000
    assert stripped.without_raw() is None
