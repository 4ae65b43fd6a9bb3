"""The time of the last event: canaries do not count."""

from __future__ import annotations

import datetime

from eventalarm.model import UTC, Event
from eventalarm.trace import CANARY, LastEvent

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)


def event(event_type: str) -> Event:
    return Event.parse({"message_id": "m", "event_type": event_type})


def test_events_are_noted_and_canaries_are_not() -> None:
    last_event = LastEvent(lambda: NOW)
    last_event.note([])
    last_event.note([event(CANARY), event(CANARY)])
    assert last_event.last is None
    last_event.note([event(CANARY), event("compute.instance.update")])
    assert last_event.last == NOW
