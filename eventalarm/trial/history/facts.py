"""What the records of a history say about each alarm and event: indexes, and which versions could apply."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from eventalarm.trial.history.records import (
    Alarm,
    Committed,
    Delivery,
    Edit,
    Event,
    Final,
    History,
    Publish,
    Receipt,
    Run,
    Strike,
    Transition,
)

LATE, RAISED, CHANGED, CLEARED = "late", "raised", "changed", "cleared"
# Seconds by which two readings of correct clocks of one machine may differ.
SLACK = 1.0


@dataclass
class Published:
    """One event in all messages that held it: the first attempt, the first confirmation, and the messages."""

    event: Event
    began: float
    ended: float
    messages: set[int] = field(default_factory=set)

    @property
    def newest(self) -> float:
        """The latest time that the event may be given: a time in the future counts as that of its receipt."""
        return self.ended if self.event.generated is None else self.event.generated

    @property
    def oldest(self) -> float:
        """The earliest time that the event may be given."""
        return self.began if self.event.generated is None else min(self.event.generated, self.began)


class Facts:
    """The records of a history by what they are about."""

    def __init__(self, history: History) -> None:
        self.run = next(iter(history.of(Run)), Run(""))
        self.alarms = {one.alarm_id: one for one in history.of(Alarm)}
        self.events = _published(history.of(Publish))
        self.edits: dict[str, list[Edit]] = defaultdict(list)
        for edit in sorted(history.of(Edit), key=lambda one: one.began):
            self.edits[edit.alarm_id].append(edit)
        # When each event was first read as committed.
        self.read_at: dict[str, float] = {}
        for read in history.of(Committed):
            for message_id in read.message_ids:
                self.read_at.setdefault(message_id, read.at)
        self.rows = history.of(Transition)
        self.rows_of: dict[tuple[str, str], list[Transition]] = defaultdict(list)
        self.rows_of_alarm: dict[str, list[Transition]] = defaultdict(list)
        for row in self.rows:
            self.rows_of[row.alarm_id, row.message_id].append(row)
            self.rows_of_alarm[row.alarm_id].append(row)
        self.deliveries = history.of(Delivery)
        self.deliveries_of: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in self.deliveries:
            self.deliveries_of[delivery.transition_id].append(delivery)
        self.receipts = sorted(history.of(Receipt), key=lambda one: one.began)
        self.strikes = [one for one in history.of(Strike) if one.ends_process]
        self.finals = {one.alarm_id: one for one in history.of(Final)}
        self._events_on: dict[tuple[str, str], list[Published]] = defaultdict(list)
        for published in self.events.values():
            self._events_on[published.event.project, published.event.resource].append(published)

    @functools.cached_property
    def project_of_action(self) -> dict[str, set[str]]:
        """The projects whose alarms call each URL."""
        found: dict[str, set[str]] = defaultdict(set)
        for alarm in self.alarms.values():
            for action in self.actions(alarm):
                found[action].add(alarm.project)
        return found

    def actions(self, alarm: Alarm) -> set[str]:
        """Return every URL that an alarm ever called."""
        edited = [edit.fields.get("actions", ()) for edit in self.edits[alarm.alarm_id]]
        return {action for actions in (alarm.actions, *edited) for action in actions}

    def events_on(self, alarm: Alarm) -> list[Published]:
        """Return the events about the resource of an alarm in its own project."""
        return self._events_on[alarm.project, alarm.resource]

    def matters(self, alarm: Alarm, published: Published) -> bool:
        """Return True if an event raises the alarm, or may clear it."""
        return alarm.clears or published.event.state == alarm.state

    def versions(self, alarm: Alarm, published: Published) -> list[Alarm]:
        """Return the versions of an alarm that an event may have been evaluated against.

        An edit applies to every event that is published after it was answered, and to none that was read as
        committed before it began.
        """
        until = self.read_at.get(published.event.message_id, math.inf)
        possible = [alarm]
        for edit in self.edits[alarm.alarm_id]:
            if edit.began > until:
                continue
            edited = [_apply(one, edit) for one in possible]
            is_certain = edit.ended is not None and edit.ended <= published.began
            possible = _distinct(edited if is_certain else [*possible, *edited])
        return possible

    def requires(self, alarm: Alarm, published: Published) -> bool:
        """Return True if the event must have a transition of the alarm, late or not."""
        if alarm.ended > published.began or not all(one.enabled for one in self.versions(alarm, published)):
            return False
        if published.event.state == alarm.state:
            return alarm.repeats or not self._may_be_raised_by_another(alarm, published)
        return alarm.clears and self._must_clear(alarm, published)

    def _may_be_raised_by_another(self, alarm: Alarm, published: Published) -> bool:
        return any(
            other is not published and other.event.state == alarm.state for other in self.events_on(alarm)
        )

    def _must_clear(self, alarm: Alarm, recovery: Published) -> bool:
        """Return True if a fault was committed before its only recovery was published."""
        others = [one for one in self.events_on(alarm) if one is not recovery]
        raised = [
            one
            for one in others
            if one.event.state == alarm.state
            and self.read_at.get(one.event.message_id, math.inf) <= recovery.began
            and one.newest < recovery.oldest
        ]
        return bool(raised) and all(one.event.state == alarm.state for one in others)

    def required(self) -> Iterator[tuple[Alarm, Published]]:
        """Yield each alarm with each event that must have a transition of it."""
        for alarm in self.alarms.values():
            for published in self.events_on(alarm):
                if self.requires(alarm, published):
                    yield alarm, published

    def commits(self, alarm_id: str) -> list[Transition]:
        """Return the transitions of an alarm that fired, in the order of their commits."""
        fired = [
            (self.deliveries_of[row.transition_id][0].seq, row)
            for row in self.rows_of_alarm[alarm_id]
            if row.kind != LATE and self.deliveries_of[row.transition_id]
        ]
        return [row for _, row in sorted(fired, key=lambda one: one[0])]


def awaited(history: History) -> set[str]:
    """Return the events that must have a transition, by what is in a history so far."""
    return {published.event.message_id for _, published in Facts(history).required()}


def _published(messages: Sequence[Publish]) -> dict[str, Published]:
    found: dict[str, Published] = {}
    for number, message in enumerate(messages):
        for event in message.events:
            known = found.setdefault(event.message_id, Published(event, message.began, message.ended))
            known.began, known.ended = min(known.began, message.began), min(known.ended, message.ended)
            known.messages.add(number)
    return found


def _distinct(versions: Sequence[Alarm]) -> list[Alarm]:
    """Return the versions that differ: edits that may or may not have been made would double their number."""
    found: list[Alarm] = []
    for one in versions:
        if one not in found:
            found.append(one)
    return found


def _apply(alarm: Alarm, edit: Edit) -> Alarm:
    names = {one.name for one in dataclasses.fields(Alarm)}
    known = {name: value for name, value in edit.fields.items() if name in names}
    edited = dataclasses.replace(alarm, **known)
    return dataclasses.replace(edited, enabled=False) if edit.deleted else edited
