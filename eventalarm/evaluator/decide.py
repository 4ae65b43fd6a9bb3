"""The decision what one event does to one alarm, and the reason. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Final

from eventalarm.evaluator.event_rule import Verdict, Watch
from eventalarm.model import (
    ALARM,
    EVENT_ALARM,
    NOTIFICATION_ALARM,
    OK,
    Alarm,
    AlarmDefinition,
    Kind,
    Occurrence,
)

EVENT_TYPE: Final = EVENT_ALARM
NOTIFICATION_TYPE: Final = NOTIFICATION_ALARM
WITH_OK_ACTIONS: Final = "with_ok_actions"
ALWAYS: Final = "always"


class Reason(enum.StrEnum):
    """The reason why an event changed an alarm or did not; a label of the metric ``decisions``."""

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
    COUNTED = "counted"
    ALREADY_RAISED = "already_raised"
    NOT_RAISED = "not_raised"
    TOO_MANY_OBJECTS = "too_many_objects"


# An object beyond the maximum has no row. A counted match is not newer than a clear that comes after it.
UNCONFIRMED: Final = frozenset({Reason.TOO_MANY_OBJECTS, Reason.COUNTED})


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an alarm; ``kind`` is None when no transition is recorded.

    ``state`` is the state of the alarm afterwards. ``record_state``: the alarm row and its history are
    written. ``fire``: the actions of ``state`` are called. ``confirm``: nothing changes, but the time of the
    event is kept as the time of the current state, so that an older event that arrives later, at any
    listener, is late (G9). ``hold``: the clear is held for the ``hold_down`` of the rule.
    ``inhibited_by``: the session of maintenance because of which nobody is notified of the transition.
    ``previous``: the state that was notified before, where it is not that of the alarm.
    """

    reason: Reason
    kind: Kind | None = None
    state: str = ""
    record_state: bool = False
    fire: bool = False
    confirm: bool = False
    hold: bool = False
    inhibited_by: str | None = None
    previous: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on, read under the alarm's lock.

    ``occurrence``: the latest occurrence of the alarm on the managed object of the event. ``others_raised``:
    the number of other managed objects on which the alarm is raised. ``seen``: the event already caused a
    transition of this occurrence. ``in_time``: the time constraints allow a change now. ``full``: the alarm
    is raised on the maximum number of objects. ``holds``: a clear must be held first. ``held``: a clear is
    being held. ``severity_changed``: the severity of the event differs from that of the occurrence.
    ``short``: the rule counts matches, and there are not yet enough to raise the alarm. ``inhibited_by``: the
    session of maintenance that inhibits alarms on the managed object now. ``others_silent``: on how many of
    the other raised objects nobody was notified.
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
    short: bool = False
    inhibited_by: str | None = None
    others_silent: int = 0

    @property
    def is_notified(self) -> bool:
        """Return True if the alarm counts as raised for those who are notified of it."""
        return self.alarm.state == ALARM and not 0 < self.others_raised == self.others_silent


def clears(mode: str, definition: AlarmDefinition) -> bool:
    """Return True if an event can return the alarm to ok.

    The option ``clear_event_alarms`` decides for an ``event`` alarm, its rule for a ``notification`` alarm.
    """
    if definition.type == NOTIFICATION_TYPE:
        return any(definition.rule.get(name) is not None for name in ("clear", "clear_after", "absence"))
    return mode == ALWAYS or (mode == WITH_OK_ACTIONS and definition.has_ok_actions)


def decide(situation: Situation) -> Decision:
    """Decide what an event does to an alarm.

    The alarm row is authoritative: an occurrence counts as raised only while the alarm is in the state
    alarm, so a state set through the API is respected and no occurrence stays raised forever.

    For those who are notified, an occurrence whose raise was inhibited does not exist: the actions are called
    as if it were not raised, until it is released at the end of the maintenance.
    """
    if situation.verdict is Verdict.NOTHING:
        return Decision(Reason.NO_LONGER_MATCHES)
    if situation.seen:
        return Decision(Reason.DUPLICATE)
    if not situation.in_time:
        return Decision(Reason.OUTSIDE_TIME_CONSTRAINTS)
    decision = _raise(situation) if situation.verdict is Verdict.MATCH else _clear(situation)
    changes = decision.kind is not None or decision.hold
    known = situation.occurrence
    if changes and known is not None and situation.event_time < known.event_time:
        return Decision(Reason.LATE, Kind.LATE, situation.alarm.state)
    newer = known is None or situation.event_time > known.event_time
    if decision.kind is None and situation.clears and newer and decision.reason not in UNCONFIRMED:
        return dataclasses.replace(decision, confirm=True)
    return decision


def _is_raised(situation: Situation) -> bool:
    return situation.occurrence is not None and situation.occurrence.raised and situation.alarm.state == ALARM


def _raise(situation: Situation) -> Decision:
    if _is_raised(situation):
        return _repeat(situation)
    if situation.short:
        known = situation.occurrence
        late = known is not None and situation.event_time < known.event_time
        return Decision(Reason.LATE if late else Reason.COUNTED)
    news = situation.alarm.repeat_actions or situation.alarm.state != ALARM
    notify = situation.alarm.repeat_actions or not situation.is_notified
    # Beyond the maximum of objects the actions are called as by Aodh, but no occurrence is kept.
    reason = Reason.TOO_MANY_OBJECTS if situation.full else Reason.RAISED
    if situation.full and not notify:
        return Decision(reason)
    inhibited_by = situation.inhibited_by
    fire = notify and inhibited_by is None
    previous = OK if notify and not news else ""
    return Decision(
        reason,
        Kind.RAISED,
        ALARM,
        record_state=news,
        fire=fire,
        inhibited_by=inhibited_by,
        previous=previous,
    )


def _repeat(situation: Situation) -> Decision:
    repeat = situation.alarm.repeat_actions
    # What is held back already is released together.
    pending = situation.occurrence.inhibited_by if situation.occurrence is not None else None
    inhibited_by = pending or situation.inhibited_by
    if situation.held or repeat:
        reason = Reason.CONTINUED if situation.held else Reason.REPEATED
        fire = repeat and inhibited_by is None
        return Decision(
            reason, Kind.CHANGED, ALARM, record_state=repeat, fire=fire, inhibited_by=inhibited_by
        )
    if situation.severity_changed:
        return Decision(Reason.SEVERITY_CHANGED, Kind.CHANGED, ALARM, inhibited_by=_silenced_by(situation))
    return Decision(Reason.ALREADY_RAISED)


def _silenced_by(situation: Situation) -> str | None:
    """Return the session because of which nobody was notified of the occurrence; None if it was notified."""
    known = situation.occurrence
    return known.inhibited_by if known is not None and known.is_silent else None


def _clear(situation: Situation) -> Decision:
    if not situation.clears:
        return Decision(Reason.NO_LONGER_MATCHES)
    # An alarm set through the API or raised by another evaluator has no occurrence; if its rule names the
    # resource, the recovery of that resource clears the alarm.
    alone = situation.others_raised == 0
    inherited = situation.alarm.state == ALARM and alone and bool(situation.rule.identity)
    if not _is_raised(situation) and not inherited:
        return Decision(Reason.NOT_RAISED)
    if situation.holds:
        return Decision(Reason.HELD, hold=True)
    silenced_by = _silenced_by(situation) if _is_raised(situation) else None
    last = situation.others_raised == situation.others_silent
    fire = last and silenced_by is None
    return Decision(
        Reason.CLEARED,
        Kind.CLEARED,
        OK if alone or fire else ALARM,
        record_state=alone,
        fire=fire,
        inhibited_by=silenced_by,
    )
