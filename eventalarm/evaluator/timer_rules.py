"""The event that a due timer stands for, and the timers that a definition requires. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable

from eventalarm.evaluator import event_rule
from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.objects_in_fault import ObjectsInFault
from eventalarm.evaluator.timers import seconds
from eventalarm.model import (
    DATETIME,
    FLOAT,
    STRING,
    TIMER_EVENT_TYPE,
    Alarm,
    AlarmDefinition,
    Event,
    Timer,
    TimerKind,
    format_time,
)

REASONS = {
    TimerKind.CLEAR_AFTER: "reports that no event matched for",
    TimerKind.ABSENCE: "reports that no expected event arrived for",
}


def recomputed(timer: Timer, definition: AlarmDefinition, rule: CompiledRule) -> Timer | None:
    """Adjust a timer to the current definition; None if the rule no longer has such a timer.

    A held clear is due at once if the rule no longer holds clears. An edit starts a count again. The objects
    of a group are due at once if another number of them raises the alarm.
    """
    if timer.kind is TimerKind.OBJECTS:
        return _objects(timer, definition, rule)
    if timer.version == definition.version or timer.due_at is None:
        return timer
    pause = seconds(rule.timers, timer.kind)
    if pause is None:
        if timer.kind is not TimerKind.HOLD_DOWN:
            return None
        pause = 0.0
    due_at = timer.armed_at + datetime.timedelta(seconds=pause)
    return dataclasses.replace(timer, version=definition.version, due_at=due_at)


def _objects(timer: Timer, definition: AlarmDefinition, rule: CompiledRule) -> Timer | None:
    if rule.at_least is None:
        return None
    if timer.version == definition.version:
        return timer
    objects = ObjectsInFault.load(timer.event, rule.at_least)
    if not objects.states:
        return None
    changed = objects.number and objects.evaluated_for != rule.at_least.number
    # The time of the edit, and not of the event before, since each edit has an effect of its own (G2).
    due_at = definition.version if changed else timer.due_at
    return dataclasses.replace(timer, version=definition.version, due_at=due_at)


def timer_event(timer: Timer, definition: AlarmDefinition) -> Event:
    """Return the event that a firing timer stands for.

    It is the event whose clear was held, or else a synthetic event, which is identical for the same timer and
    due time, so that it takes effect once (G2).
    """
    if timer.kind is TimerKind.HOLD_DOWN and timer.event is not None:
        return Event(timer.event)
    due_at = timer.due_at or timer.armed_at
    traits: list[list[object]] = [["project_id", STRING, definition.project_id]]
    if timer.managed_object:
        traits.append(["resource_id", STRING, timer.managed_object])
    traits.append(["since", DATETIME, format_time(timer.armed_at)])
    traits.append(["seconds", FLOAT, (due_at - timer.armed_at).total_seconds()])
    return Event(
        {
            "message_id": f"timer:{timer.kind.value}:{timer.timer_id}:{format_time(due_at)}",
            "event_type": f"{TIMER_EVENT_TYPE}{timer.kind.value}",
            "generated": format_time(due_at),
            "traits": traits,
            "raw": {},
        }
    )


def timer_reason(event: Event, definition: AlarmDefinition) -> str:
    """Return the reason of a state change by a timer, in the form that consumers of event alarms parse."""
    for kind, words in REASONS.items():
        if event.event_type == f"{TIMER_EVENT_TYPE}{kind.value}":
            return _reason(event, definition, f"{words} {event.trait('seconds'):g} seconds")
    if event.event_type == f"{TIMER_EVENT_TYPE}{TimerKind.OBJECTS.value}":
        return _reason(event, definition, f"reports that at_least is now {definition.rule.get('at_least')}")
    return event_rule.reason(event, definition.rule, Verdict.RECOVERED)


def _reason(event: Event, definition: AlarmDefinition, words: str) -> str:
    query = json.dumps(definition.rule.get("query") or [], sort_keys=True)
    return f"Event <id={event.message_id},event_type={event.event_type}> {words} <query={query}>."


def required_timers(
    alarm: Alarm,
    rule: CompiledRule | None,
    known: Iterable[Timer],
    raised: Iterable[str],
    now: datetime.datetime,
) -> tuple[list[Timer], list[Timer]]:
    """Return the timers to write and those to remove after a definition was created or edited.

    :param rule: None if the alarm is not evaluated.
    :param known: all timers of the alarm.
    :param raised: the objects on which the alarm is raised.
    :param now: the database's clock, from which new timers count.
    """
    if rule is None or not alarm.enabled:
        # Objects stay in fault as occurrences stay raised, in case that the alarm is enabled again.
        return [], [one for one in known if rule is None or one.kind is not TimerKind.OBJECTS]
    rows = {(timer.kind, timer.managed_object): timer for timer in known}
    objects = set(raised)
    puts: list[Timer] = []
    gone: list[Timer] = []
    for timer in rows.values():
        fresh = recomputed(timer, alarm.definition, rule)
        stays = timer.managed_object in objects or timer.kind is not TimerKind.CLEAR_AFTER
        if timer.kind is TimerKind.ABSENCE:
            stays = rule.timers.absence_after is not None and _expected(rule, timer.managed_object)
        if fresh is None or not stays:
            gone.append(timer)
        elif timer.version != alarm.definition.version:
            puts.append(_from_now(fresh, rule, alarm.definition, now))
    if rule.timers.clear_after is not None:
        # Where a clear is held, the clear_after timer may have fired already.
        kinds = (TimerKind.CLEAR_AFTER, TimerKind.HOLD_DOWN)
        missing = [one for one in objects if not any((kind, one) in rows for kind in kinds)]
        puts += [_new(alarm, one, TimerKind.CLEAR_AFTER, rule.timers.clear_after, now) for one in missing]
    if rule.timers.absence_after is not None and not any(kind is TimerKind.ABSENCE for kind, _ in rows):
        place = rule.expected_object or ""
        puts.append(_new(alarm, place, TimerKind.ABSENCE, rule.timers.absence_after, now))
    return puts, gone


def _expected(rule: CompiledRule, managed_object: str) -> bool:
    return rule.expected_object in (None, managed_object)


def _from_now(timer: Timer, rule: CompiledRule, definition: AlarmDefinition, now: datetime.datetime) -> Timer:
    """Adjust a timer to the current version; an absence timer is restarted by an edit.

    The alarm may have been disabled in between, and then its events were not evaluated.
    """
    timer = dataclasses.replace(timer, version=definition.version)
    if timer.kind is not TimerKind.ABSENCE or timer.due_at is None or rule.timers.absence_after is None:
        return timer
    return dataclasses.replace(timer, armed_at=now, due_at=_later(now, rule.timers.absence_after))


def _new(alarm: Alarm, place: str, kind: TimerKind, pause: float, now: datetime.datetime) -> Timer:
    return Timer(alarm.alarm_id, place, kind, alarm.definition.version, now, _later(now, pause))


def _later(now: datetime.datetime, pause: float) -> datetime.datetime:
    return now + datetime.timedelta(seconds=pause)
