"""The timers of locked alarms, and how events arm and disarm them. Pure: rows in, rows out.

``clear_after`` and ``absence`` count from the time when an event was received, by the database's clock: an
event source with a wrong clock must not clear an alarm early.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from eventalarm.evaluator.compiled_rule import CompiledRule, Timers
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.match_count import Matches, Threshold
from eventalarm.evaluator.objects_in_fault import LATENESS, AtLeast, ObjectsInFault
from eventalarm.evaluator.options import MOST_OBJECTS
from eventalarm.evaluator.outcome import Subject
from eventalarm.model import AlarmDefinition, Event, Timer, TimerKind, timer_id

TIMED: Final = frozenset({"clear_after", "absence", "hold_down", "count", "at_least"})
# The decisions on events that say nothing about the present: processed before, or outdated.
PAST: Final = frozenset({Reason.DUPLICATE, Reason.LATE, Reason.NO_LONGER_MATCHES})

LIMIT_REASONS: Final = {
    TimerKind.ABSENCE: "This alarm awaits the absence of {} managed objects, the limit for one alarm: the "
    "absence of others is not detected until some are absent. Group the alarm by fewer objects.",
    TimerKind.OBJECTS: "This alarm has objects in fault in {} groups, the limit for one alarm: faults in "
    "others are not counted until some have none. Group the alarm by a trait with fewer values.",
}

Key = tuple[str, str, TimerKind]


def is_timed(definition: AlarmDefinition) -> bool:
    """Return True if an alarm may have timers; otherwise none need to be read from the database."""
    return definition.type == NOTIFICATION_TYPE and not TIMED.isdisjoint(definition.rule)


def seconds(timers: Timers, kind: TimerKind) -> float | None:
    """Return the duration of a kind of timer in seconds, or None if the rule has no such timer."""
    if kind is TimerKind.CLEAR_AFTER:
        return timers.clear_after
    if kind is TimerKind.ABSENCE:
        return timers.absence_after
    return timers.hold_down if kind is TimerKind.HOLD_DOWN else None


def ids(alarm_id: str, managed_object: str) -> list[str]:
    """Return the ids of all timers that an event about a managed object can affect."""
    own_timers = [timer_id(alarm_id, managed_object, kind) for kind in TimerKind]
    return own_timers if not managed_object else [*own_timers, timer_id(alarm_id, "", TimerKind.ABSENCE)]


class TimerState:
    """The timers of locked alarms as the events of a batch change them, in order.

    :param now: the database's clock, an aware UTC datetime.
    """

    def __init__(self, timers: Iterable[Timer], now: datetime.datetime) -> None:
        self.now = now
        self._timers: dict[Key, Timer] = {(t.alarm_id, t.managed_object, t.kind): t for t in timers}
        self._known = frozenset(self._timers)
        self._changed: dict[Key, Timer | None] = {}
        self._awaited: dict[str, int] = {}
        self._full: set[str] = set()
        self._limit = MOST_OBJECTS
        self._counted: set[str] = set()
        self._limits_reached: dict[str, TimerKind] = {}

    def bound(self, awaited: Mapping[str, int], full: Collection[str], limit: int) -> None:
        """Limit the number of objects whose absence, or of groups whose further faults, each alarm awaits.

        :param awaited: the current number, by alarm.
        :param full: the alarms for which the owner has been notified that the limit is reached.
        """
        self._awaited, self._full, self._limit = dict(awaited), set(full), limit

    def get(self, alarm_id: str, managed_object: str, kind: TimerKind) -> Timer | None:
        """Return the current form of a timer, or None if there is none."""
        return self._timers.get((alarm_id, managed_object, kind))

    def held(self, alarm_id: str, managed_object: str) -> bool:
        """Return True if the clearing of an object is being held."""
        return self.get(alarm_id, managed_object, TimerKind.HOLD_DOWN) is not None

    def matches(self, definition: AlarmDefinition, managed_object: str) -> Matches:
        """Return the matches that were counted for an object since the alarm was edited."""
        timer = self.get(definition.alarm_id, managed_object, TimerKind.COUNT)
        if timer is None or timer.version != definition.version:
            return Matches()
        return Matches.load(timer.event)

    def keep_matches(
        self, definition: AlarmDefinition, managed_object: str, matches: Matches, threshold: Threshold
    ) -> None:
        """Keep the counted matches of an object for the retention of *threshold*."""
        if matches == self.matches(definition, managed_object):
            return
        due_at = self._in(threshold.retention)
        alarm_id, version = definition.alarm_id, definition.version
        self._put(
            Timer(alarm_id, managed_object, TimerKind.COUNT, version, self.now, due_at, matches.document())
        )

    def objects(self, alarm_id: str, managed_object: str, at_least: AtLeast) -> ObjectsInFault:
        """Return the states of the objects of a group."""
        timer = self.get(alarm_id, managed_object, TimerKind.OBJECTS)
        return ObjectsInFault.load(timer.event if timer is not None else None, at_least)

    def keep_objects(
        self, definition: AlarmDefinition, managed_object: str, objects: ObjectsInFault, at_least: AtLeast
    ) -> bool:
        """Keep the states of the objects of a group; return False if the limit of groups is reached.

        Once no object is in fault they are kept for ``LATENESS`` seconds.
        """
        alarm_id, version = definition.alarm_id, definition.version
        if objects.number and not self._may_wait(alarm_id, managed_object, TimerKind.OBJECTS):
            return False
        due_at = None if objects.number else self._in(LATENESS)
        body = objects.document(at_least)
        self._put(Timer(alarm_id, managed_object, TimerKind.OBJECTS, version, self.now, due_at, body))
        return True

    def follow(
        self,
        definition: AlarmDefinition,
        rule: CompiledRule,
        subject: Subject,
        *,
        verdict: Verdict,
        decision: Decision,
        raised: bool,
        whole_alarm: bool = False,
    ) -> bool:
        """Apply the effect of an event; return False if the limit of awaited objects is reached.

        :param raised: whether the object is raised now.
        :param whole_alarm: whether the object of *subject* is the alarm as a whole. It is no longer awaited,
            since the event is about one of its objects.
        """
        managed_object = subject.managed_object
        place = (definition, managed_object)
        if decision.reason in PAST:
            return True
        if verdict is Verdict.MATCH:
            self._drop(*place, TimerKind.HOLD_DOWN)
            if raised and rule.timers.clear_after is not None:
                self._arm(*place, TimerKind.CLEAR_AFTER, rule.timers.clear_after)
            return True
        if decision.hold:
            hold = rule.timers.hold_down
            if hold is not None and not self.held(definition.alarm_id, managed_object):
                self._arm(*place, TimerKind.HOLD_DOWN, hold, subject.event)
        elif not raised:
            self._drop(*place, TimerKind.CLEAR_AFTER)
            self._drop(*place, TimerKind.HOLD_DOWN)
        if not whole_alarm and rule.timers.absence_after is not None:
            if not self._may_wait(definition.alarm_id, managed_object, TimerKind.ABSENCE):
                return False
            self._arm(*place, TimerKind.ABSENCE, rule.timers.absence_after)
        return True

    def _may_wait(self, alarm_id: str, managed_object: str, kind: TimerKind) -> bool:
        if waits(self.get(alarm_id, managed_object, kind)):
            return True
        if self._awaited.get(alarm_id, 0) < self._limit:
            return True
        if alarm_id not in self._full:
            self._full.add(alarm_id)
            self._counted.add(alarm_id)
            self._limits_reached[alarm_id] = kind
        return False

    def object_appeared(self, definition: AlarmDefinition) -> None:
        """Stop awaiting the alarm as a whole, since the first of its objects is known."""
        whole = self.get(definition.alarm_id, "", TimerKind.ABSENCE)
        if whole is not None and whole.due_at is not None:
            self.rest(definition, "", TimerKind.ABSENCE)

    def due(self, moment: datetime.datetime) -> list[Timer]:
        """Return the timers that are due at *moment*, in the order of their times."""
        current = self._timers.values()
        found = [(t.due_at, t.timer_id, t) for t in current if t.due_at is not None and t.due_at <= moment]
        return [timer for _, _, timer in sorted(found, key=lambda one: one[:2])]

    def still_due(self, timers: Iterable[Timer]) -> list[Timer]:
        """Return the current form of the *timers* that are still due; others may have changed them."""
        current = (self.get(t.alarm_id, t.managed_object, t.kind) for t in timers)
        return [t for t in current if t is not None and t.due_at is not None and t.due_at <= self.now]

    def fired(
        self, definition: AlarmDefinition, rule: CompiledRule, timer: Timer, decision: Decision, event: Event
    ) -> None:
        """Apply the effect of a timer that fired."""
        place = (definition, timer.managed_object)
        if timer.kind is TimerKind.ABSENCE:
            if decision.reason is Reason.TOO_MANY_OBJECTS:
                self.forget(timer)
                return
            # The row is kept: without it the alarm would seem to be new and be awaited again.
            self.rest(*place, TimerKind.ABSENCE)
            self._drop(*place, TimerKind.HOLD_DOWN)
            return
        self.forget(timer)
        hold = rule.timers.hold_down
        if decision.hold and hold is not None and not self.held(timer.alarm_id, timer.managed_object):
            self._arm(*place, TimerKind.HOLD_DOWN, hold, event)
        elif not decision.hold:
            self._drop(*place, TimerKind.CLEAR_AFTER)
            self._drop(*place, TimerKind.HOLD_DOWN)
            if rule.count is not None:
                self.keep_matches(*place, self.matches(*place).spent(), rule.count)

    def rest(self, definition: AlarmDefinition, managed_object: str, kind: TimerKind) -> None:
        """Stop a timer, but keep its row."""
        self._put(Timer(definition.alarm_id, managed_object, kind, definition.version, self.now, None))

    def postpone(self, timer: Timer, pause: float) -> None:
        """Make a timer due in *pause* seconds."""
        self._put(dataclasses.replace(timer, due_at=self._in(pause)))

    def put(self, timer: Timer) -> None:
        """Write a timer."""
        self._put(timer)

    def forget(self, timer: Timer) -> None:
        """Remove a timer."""
        self._set((timer.alarm_id, timer.managed_object, timer.kind), None)

    def changes(self) -> tuple[list[Timer], list[str]]:
        """Return the timers to write and the ids of those to remove."""
        puts = [timer for timer in self._changed.values() if timer is not None]
        gone = [key for key, timer in self._changed.items() if timer is None and key in self._known]
        return puts, [timer_id(*key) for key in gone]

    def counts(self) -> list[tuple[str, int, bool]]:
        """Return changed counts: the alarm, the number of awaited objects, and whether that is the limit."""
        # A tenth must be free again, so that the owner is not notified repeatedly.
        enough = self._limit * 9 // 10
        numbers = ((alarm_id, self._awaited.get(alarm_id, 0)) for alarm_id in sorted(self._counted))
        return [
            (alarm_id, number, alarm_id in self._full and number > enough) for alarm_id, number in numbers
        ]

    def limits_reached(self) -> Mapping[str, str]:
        """Return the alarms that have just reached the limit, each with a message for its owner."""
        found = sorted(self._limits_reached.items())
        return {alarm_id: LIMIT_REASONS[kind].format(self._limit) for alarm_id, kind in found}

    def _in(self, pause: float) -> datetime.datetime:
        return self.now + datetime.timedelta(seconds=pause)

    def _arm(
        self,
        definition: AlarmDefinition,
        managed_object: str,
        kind: TimerKind,
        pause: float,
        event: Event | None = None,
    ) -> None:
        body = event.body if event is not None else None
        alarm_id, version = definition.alarm_id, definition.version
        self._put(Timer(alarm_id, managed_object, kind, version, self.now, self._in(pause), body))

    def _put(self, timer: Timer) -> None:
        self._set((timer.alarm_id, timer.managed_object, timer.kind), timer)

    def _drop(self, definition: AlarmDefinition, managed_object: str, kind: TimerKind) -> None:
        key = (definition.alarm_id, managed_object, kind)
        if key in self._timers:
            self._set(key, None)

    def _set(self, key: Key, timer: Timer | None) -> None:
        alarm_id = key[0]
        change = int(waits(timer)) - int(waits(self._timers.get(key)))
        if change:
            self._awaited[alarm_id] = max(0, self._awaited.get(alarm_id, 0) + change)
            self._counted.add(alarm_id)
        self._changed[key] = timer
        if timer is None:
            self._timers.pop(key, None)
        else:
            self._timers[key] = timer


def waits(timer: Timer | None) -> bool:
    """Return True if a timer counts towards the limit: an absence is awaited, or objects are in fault."""
    if timer is None or timer.kind not in (TimerKind.ABSENCE, TimerKind.OBJECTS):
        return False
    return (timer.due_at is None) is (timer.kind is TimerKind.OBJECTS)
