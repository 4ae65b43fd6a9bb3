"""What a batch decides about, and the changes that come of its decisions: plain data. Pure."""

from __future__ import annotations

import dataclasses
import datetime

from eventalarm.model import Alarm, Event, Occurrence, Transition


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """An event and the managed object that it is about; ``event_time`` is aware UTC.

    ``message_key`` is the id of its message as the database stores it, by which a duplicate is recognized.
    """

    event: Event
    managed_object: str
    message_key: str
    event_time: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """The number of managed objects on which an alarm is raised; ``full`` if it is at the maximum.

    ``inhibited``: on how many of them nobody was notified because of maintenance.
    """

    alarm_id: str
    raised: int
    full: bool
    inhibited: int


@dataclasses.dataclass(frozen=True, slots=True)
class ReasonUpdate:
    """A new state reason for an alarm whose state does not change, such as that it is full."""

    alarm: Alarm
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The changes of a transaction, which the unit of work writes.

    ``known``: the ids of occurrences that have a row; ``superseded``: those that are no longer the latest.
    ``externally_reset``: alarms whose state was set through the API while occurrences were raised.
    """

    transitions: list[Transition]
    occurrences: list[Occurrence]
    known: frozenset[str]
    superseded: list[str]
    externally_reset: list[str]
    state_changes: list[Transition]
    counts: list[Count]
    reason_updates: list[ReasonUpdate]
