"""Splitting by size keeps every event, its order, and what was already sent."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.exceptions import PublishError
from eventalarm.publisher.codec import ENVELOPE_SIZE, encode
from eventalarm.publisher.sending import make_batches, send_batches
from tests.unit.publisher.fakes import Broker, event

LIMIT = ENVELOPE_SIZE + 5000


@given(st.lists(st.integers(min_value=0, max_value=6000), max_size=30))
def test_batches_keep_order_and_limit(raws: list[int]) -> None:
    events = [event(number, raw) for number, raw in enumerate(raws)]
    batches = make_batches(events, LIMIT)
    assert [one.message_id for batch in batches for one in batch] == [one.message_id for one in events]
    assert all(sum(one.size for one in batch) + ENVELOPE_SIZE <= LIMIT for batch in batches)


def test_small_events_share_a_batch() -> None:
    assert len(make_batches([event(number) for number in range(20)], LIMIT)) == 1


def test_an_event_too_large_alone_travels_without_raw() -> None:
    ((small, large),) = make_batches([event(1, 3000), event(2, 6000)], ENVELOPE_SIZE + 3500)
    assert small.body["raw"]
    assert large.body["raw"] == {}


def test_an_event_too_large_even_without_raw_travels_alone() -> None:
    monster = encode({"message_id": "m2", "event_type": "e" * 6000})
    assert [len(batch) for batch in make_batches([event(1), monster, event(3)], LIMIT)] == [1, 1, 1]


def test_a_refused_message_is_halved_until_it_fits() -> None:
    broker = Broker(max_size=3 * event(10).size)
    send_batches(make_batches([event(number) for number in range(10, 21)], 10**6), broker.send)
    assert broker.ids == [f"m{number}" for number in range(10, 21)]
    assert {len(payload) for payload in broker.taken} <= {1, 2, 3}


def test_a_refused_event_goes_without_raw_and_then_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(max_size=event(1).size + 20)
    monster = event(2)
    monster.body["traits"] = [["t", 1, "secret-payload" * 100]]
    with caplog.at_level(logging.INFO):
        send_batches(make_batches([event(1), event(3, 4000), monster, event(4)], 10**6), broker.send)
    assert broker.ids == ["m1", "m3", "m4"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Dropped event m2"]
    assert "secret-payload" not in caplog.text


def test_sent_events_are_not_sent_again_after_a_failure() -> None:
    broker = Broker(max_size=event(1).size)
    batches = make_batches([event(number) for number in range(4)], 10**6)
    original = broker.send
    sent: list[object] = []

    def fail_at_m2(payload: list[dict[str, object]]) -> None:
        if [body["message_id"] for body in payload] == ["m2"] and not sent:
            sent.extend(broker.ids)
            raise PublishError("went away")
        original(payload)

    with pytest.raises(PublishError):
        send_batches(batches, fail_at_m2)
    assert sent == ["m0", "m1"]
    send_batches(batches, fail_at_m2)
    assert broker.ids == ["m0", "m1", "m2", "m3"]
    assert not batches
