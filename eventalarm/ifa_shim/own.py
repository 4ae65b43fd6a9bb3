"""The life that our own evaluator recorded: occurrence and transitions, in the light of the row."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, event_of
from eventalarm.ifa_shim.occurrences import VISIBLE, Change, ChangeKind, OccurrenceView
from eventalarm.ifa_shim.resource import retargeted
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.model import OK, UNKNOWN, Event, Kind, Occurrence

STEP_KINDS = {
    Kind.RAISED: ChangeKind.RAISED,
    Kind.CHANGED: ChangeKind.REPEATED,
    Kind.CLEARED: ChangeKind.CLEARED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class StoredTransition:
    """One recorded transition: ``event`` is the event's body, which may have been cut down or be missing."""

    kind: Kind
    at: datetime.datetime
    event_time: datetime.datetime
    message_id: str
    event_type: str
    alarm_name: str
    severity: str | None
    reason: str
    event: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def parsed(self) -> Event:
        """Return the event; without traits where they were not kept."""
        body = {**self.event, "message_id": self.message_id, "event_type": self.event_type}
        return Event(body)


def own_life(
    occurrence: Occurrence,
    transitions: Sequence[StoredTransition],
    alarm: AodhAlarm | None,
    edits: Sequence[Record],
    settings: Settings,
) -> OccurrenceView:
    """Return the life of an occurrence; *alarm* is None once it was deleted, *edits* its history if known.

    What the tenant did to the row since counts: a state that was reset ends the life, so does a deletion,
    so does a rule that now names another resource; edits of name, rule or severity change it.
    """
    steps = sorted((_step(t) for t in transitions if t.kind in STEP_KINDS), key=lambda step: step.at)
    if not steps or steps[0].kind is not ChangeKind.RAISED:
        steps.insert(0, Change(ChangeKind.RAISED, occurrence.raised_at))
    if occurrence.raised and occurrence.hits > 1 and len(steps) == 1 and occurrence.changed_at is not None:
        # The repetitions were not read, or are no longer kept; the last one left its time.
        steps.append(Change(ChangeKind.REPEATED, occurrence.changed_at, severity=_latest(occurrence, alarm)))
    life = OccurrenceView(occurrence.raised_at, None, None, (steps[0],), hits=max(occurrence.hits, 1))
    for step in sorted([*steps[1:], *_edits(occurrence, edits)], key=lambda step: step.at):
        life = _follow(life, step, settings)
    if life.open and not occurrence.raised:
        life = life.clear(Change(ChangeKind.CLEARED, occurrence.cleared_at or occurrence.raised_at))
    return _present(life, transitions, alarm, settings)


def _latest(occurrence: Occurrence, alarm: AodhAlarm | None) -> str | None:
    """Return the word of the newest event, where the rule takes the severity from its events."""
    if occurrence.severity is None or alarm is None or not alarm.rule.get("severity_from"):
        return None
    return occurrence.severity.lower()


def _step(transition: StoredTransition) -> Change:
    message_id, event_type = transition.message_id, transition.event_type
    return Change(
        STEP_KINDS[transition.kind],
        transition.at,
        reason=transition.reason,
        severity=transition.severity,
        message_id=message_id,
        event_type=event_type or event_of(transition.reason)[1],
        event=transition.event,
    )


def _edits(occurrence: Occurrence, edits: Sequence[Record]) -> list[Change]:
    """Return the edits made while the occurrence was raised."""
    end = None if occurrence.raised else occurrence.cleared_at
    found = []
    for record in edits:
        words = sorted(VISIBLE.intersection(record.detail))
        inside = record.at > occurrence.raised_at and (end is None or record.at < end)
        if record.type == RULE_CHANGE and words and inside:
            severity = record.detail.get("severity")
            reason = f"edited: {', '.join(words)}"
            found.append(
                Change(ChangeKind.CHANGED, record.at, reason, severity=severity, user_id=record.user_id)
            )
    return found


def _follow(life: OccurrenceView, step: Change, settings: Settings) -> OccurrenceView:
    if step.kind is ChangeKind.CLEARED:
        return life.clear(step) if life.open else life
    if step.kind is ChangeKind.REPEATED:
        before = next((earlier.severity for earlier in reversed(life.steps) if earlier.severity), None)
        other = step.severity is not None and before is not None and step.severity != before
        change = life.change if other or settings.repeat_is_change else life.add
        return change(step, last_hit_at=step.at)
    return life.change(step) if life.open else life


def _present(
    life: OccurrenceView, transitions: Sequence[StoredTransition], alarm: AodhAlarm | None, settings: Settings
) -> OccurrenceView:
    """End or mark an open life as the row has it now."""
    if not life.open:
        return life
    last = life.steps[-1].at
    if alarm is None:
        return life.clear(Change(ChangeKind.CLEARED, last, "the alarm was deleted", estimated=True))
    if alarm.state == OK or (alarm.state == UNKNOWN and settings.insufficient_data is InsufficientData.CLEAR):
        step = Change(
            ChangeKind.CLEARED,
            max(alarm.state_timestamp, last),
            alarm.state_reason,
            manual=alarm.manual,
            estimated=alarm.state_timestamp < last,
        )
        return life.clear(step)
    raising = next((t for t in transitions if t.kind is Kind.RAISED), None)
    if raising is not None and raising.event and retargeted(alarm.rule, raising.parsed(), settings):
        at = max(alarm.timestamp, last)
        return life.clear(Change(ChangeKind.CLEARED, at, "the rule names another resource"))
    if alarm.state == UNKNOWN:
        step = Change(ChangeKind.CHANGED, max(alarm.state_timestamp, last), alarm.state_reason)
        keep = settings.insufficient_data is InsufficientData.KEEP
        life = life.add(step) if keep else life.change(step)
        return dataclasses.replace(life, unknown=True)
    return life
