"""The decision: what one event does to one alarm, and why. Pure: values in, a value out."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Final

from eventalarm import facts
from eventalarm.evaluator.event_rule import Verdict, Watch
from eventalarm.model import ALARM, OK, Alarm, AlarmDefinition, Kind, Occurrence

EVENT_TYPE: Final = facts.EVENT_TYPE
NOTIFICATION_TYPE: Final = facts.NOTIFICATION_TYPE
WITH_OK_ACTIONS: Final = "with_ok_actions"
ALWAYS: Final = "always"


class Reason(enum.StrEnum):
    """Why an event changed an alarm, or why not; the metric label of the same name."""

    RAISED = "raised"
    REPEATED = "repeated"
    CLEARED = "cleared"
    HELD = "held"
    CONTINUED = "continued"
    SEVERITY_CHANGED = "severity_changed"
    LATE = "late"
    DELETED = "deleted"
    DISABLED = "disabled"
    MOVED = "moved"
    BAD_RULE = "bad_rule"
    NO_LONGER_MATCHES = "no_longer_matches"
    DUPLICATE = "duplicate"
    OUTSIDE_TIME_CONSTRAINTS = "outside_time_constraints"
    ALREADY_RAISED = "already_raised"
    NOT_RAISED = "not_raised"
    TOO_MANY_OBJECTS = "too_many_objects"


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to do: ``kind`` is None when nothing is to be recorded.

    ``state`` is the alarm's state afterwards; ``record_state`` tells whether the alarm row and its history
    are written; ``fire`` tells whether the actions of ``state`` are called. ``confirm`` tells that nothing
    changes, but that the time of the event must be kept: the present state is as young as that, so an older
    event that arrives later, by another listener perhaps, is late (G9). ``hold`` tells that the clear is to
    be held for the ``hold_down`` of the rule.
    """

    reason: Reason
    kind: Kind | None = None
    state: str = ""
    record_state: bool = False
    fire: bool = False
    confirm: bool = False
    hold: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on, read under the alarm's lock.

    ``occurrence`` is the latest life of the alarm on the event's managed object, ``others_raised`` counts
    the other managed objects on which the alarm is raised, ``seen`` tells that this event already caused a
    transition here, ``in_time`` that the time constraints allow a change now, ``full`` that the alarm is
    raised on as many objects as are kept. ``holds`` tells that a clear has to be held first, ``held`` that
    one is being held, ``severity_changed`` that the event carries another severity than the occurrence has.
    """

    alarm: Alarm
    rule: Watch
    verdict: Verdict
    event_time: datetime.datetime
    occurrence: Occurrence | None
    others_raised: int
    seen: bool
    in_time: bool
    clears: bool
    full: bool = False
    holds: bool = False
    held: bool = False
    severity_changed: bool = False


def clears(mode: str, definition: AlarmDefinition) -> bool:
    """Tell whether an event can return the alarm to ok.

    For an ``event`` alarm the option ``clear_event_alarms`` says so, for a ``notification`` alarm its rule.
    """
    if definition.type == NOTIFICATION_TYPE:
        return any(definition.rule.get(name) is not None for name in ("clear", "clear_after", "absence"))
    return mode == ALWAYS or (mode == WITH_OK_ACTIONS and definition.has_ok_actions)


def decide(case: Situation) -> Decision:
    """Decide what an event does to an alarm.

    The alarm row is the truth for the present: an occurrence counts as raised only while the alarm is in
    alarm, so that a state set through the API is honoured and no occurrence is ever stuck.
    """
    if case.verdict is Verdict.NOTHING:
        return Decision(Reason.NO_LONGER_MATCHES)
    if case.seen:
        return Decision(Reason.DUPLICATE)
    if not case.in_time:
        return Decision(Reason.OUTSIDE_TIME_CONSTRAINTS)
    decision = _raise(case) if case.verdict is Verdict.MATCH else _clear(case)
    changes = decision.kind is not None or decision.hold
    known = case.occurrence
    if changes and known is not None and case.event_time < known.event_time:
        return Decision(Reason.LATE, Kind.LATE, case.alarm.state)
    newer = known is None or case.event_time > known.event_time
    if decision.kind is None and case.clears and newer and decision.reason is not Reason.TOO_MANY_OBJECTS:
        return dataclasses.replace(decision, confirm=True)
    return decision


def _is_raised(case: Situation) -> bool:
    return case.occurrence is not None and case.occurrence.raised and case.alarm.state == ALARM


def _raise(case: Situation) -> Decision:
    repeat = case.alarm.repeat_actions
    if _is_raised(case):
        if case.held:
            return Decision(Reason.CONTINUED, Kind.CHANGED, ALARM, record_state=repeat, fire=repeat)
        if repeat:
            return Decision(Reason.REPEATED, Kind.CHANGED, ALARM, record_state=True, fire=True)
        if case.severity_changed:
            return Decision(Reason.SEVERITY_CHANGED, Kind.CHANGED, ALARM)
        return Decision(Reason.ALREADY_RAISED)
    news = repeat or case.alarm.state != ALARM
    # On more objects than are kept whatever Aodh would call is called, but nothing is kept that could clear.
    reason = Reason.TOO_MANY_OBJECTS if case.full else Reason.RAISED
    if case.full and not news:
        return Decision(reason)
    return Decision(reason, Kind.RAISED, ALARM, record_state=news, fire=news)


def _clear(case: Situation) -> Decision:
    if not case.clears:
        return Decision(Reason.NO_LONGER_MATCHES)
    # An alarm raised by a person or by another evaluator has no occurrence; if its rule names the resource,
    # the recovery of that resource is the recovery of the alarm.
    inherited = case.alarm.state == ALARM and case.others_raised == 0 and bool(case.rule.identity)
    if not _is_raised(case) and not inherited:
        return Decision(Reason.NOT_RAISED)
    if case.holds:
        return Decision(Reason.HELD, hold=True)
    last = case.others_raised == 0
    return Decision(Reason.CLEARED, Kind.CLEARED, OK if last else ALARM, record_state=last, fire=last)
