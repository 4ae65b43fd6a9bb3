"""One occurrence (a raise-to-clear episode of an alarm) as every reader of the IFA shim sees it.

Lists, single alarms, histories, notifications and reconciliation all read :class:`OccurrenceView`. It is
made here from what our evaluator recorded, and from Aodh's history in
:mod:`~eventalarm.ifa_shim.aodh_occurrences`.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record
from eventalarm.ifa_shim.resource import retargeted
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.model import OK, UNKNOWN, Event, Kind, Occurrence, Transition, states_severity

# What a rule change must touch to change the alarm that a consumer sees; enabled and actions do not.
VISIBLE: Final = frozenset({"rule", "name", "description", "severity"})
RETARGETED: Final = "the rule names another resource"
DELETED: Final = "the alarm was deleted"


class ChangeKind(enum.StrEnum):
    """The kind of a change of an occurrence."""

    RAISED = "raised"
    CHANGED = "changed"
    REPEATED = "repeated"
    CLEARED = "cleared"


CHANGE_KINDS: Final = {
    Kind.RAISED: ChangeKind.RAISED,
    Kind.CHANGED: ChangeKind.REPEATED,
    Kind.CLEARED: ChangeKind.CLEARED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One change of an occurrence: when, why and by whom; ``severity`` is Aodh's word, None if unknown.

    ``transition`` is the recorded transition, for occurrences that our evaluator recorded.
    """

    kind: ChangeKind
    at: datetime.datetime
    reason: str = ""
    severity: str | None = None
    manual: bool = False
    user_id: str = ""
    estimated: bool = False
    transition: Transition | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OccurrenceView:
    """One raise-to-clear episode. ``rule`` is the definition that raised it, None where that is unknown.

    ``hits`` counts the raise and its repetitions; ``unknown`` is True while there is insufficient data.
    """

    raised_at: datetime.datetime
    changed_at: datetime.datetime | None
    cleared_at: datetime.datetime | None
    changes: tuple[Change, ...]
    hits: int = 1
    last_hit_at: datetime.datetime | None = None
    unknown: bool = False
    rule: Mapping[str, Any] | None = None

    @property
    def first(self) -> Change:
        """The change that raised it."""
        return self.changes[0]

    @property
    def active(self) -> bool:
        """Return True until it is cleared."""
        return self.cleared_at is None

    def add(self, change: Change, **values: Any) -> OccurrenceView:
        """Return the occurrence with one more change, which does not count as a change of the alarm."""
        return dataclasses.replace(self, changes=(*self.changes, change), **values)

    def change(self, change: Change, **values: Any) -> OccurrenceView:
        """Return the occurrence, changed at the time of *change*."""
        return self.add(change, changed_at=change.at, **values)

    def clear(self, change: Change) -> OccurrenceView:
        """Return the occurrence, cleared at the time of *change*, but never before its other times."""
        at = max(change.at, self.changed_at or self.raised_at)
        return self.add(dataclasses.replace(change, at=at), changed_at=at, cleared_at=at, unknown=False)

    def lose_data(self, change: Change, settings: Settings) -> OccurrenceView:
        """Return the occurrence, with insufficient data since *change*, as *settings* have it shown."""
        keep = settings.insufficient_data is InsufficientData.KEEP
        view = self.add(change) if keep else self.change(change)
        return dataclasses.replace(view, unknown=True)


def recorded_change(transition: Transition) -> Change:
    """Return the change that one of our transitions made; late transitions change nothing and have none."""
    return Change(
        CHANGE_KINDS[transition.kind],
        transition.recorded_at,
        transition.reason,
        severity=transition.severity,
        transition=transition,
    )


def edit(record: Record) -> Change | None:
    """Return the change that an edit of the definition made, None if it is not visible to consumers."""
    fields = sorted(VISIBLE.intersection(record.detail))
    if record.type != RULE_CHANGE or not fields:
        return None
    return Change(
        ChangeKind.CHANGED,
        record.at,
        f"edited: {', '.join(fields)}",
        severity=record.detail.get("severity"),
        user_id=record.user_id,
    )


def recorded_occurrence(
    occurrence: Occurrence,
    transitions: Sequence[Transition],
    alarm: AodhAlarm | None,
    edits: Sequence[Record],
    settings: Settings,
) -> OccurrenceView:
    """Return an occurrence that our evaluator recorded.

    *alarm* is Aodh's row now, None once it was deleted; *edits* are records of its history, as far as known.
    Later actions of the tenant count: resetting the state, deleting the alarm or binding its rule to another
    resource clears the occurrence; an edit of name, rule or severity changes it.
    """
    kept = (t for t in transitions if t.kind in CHANGE_KINDS)
    changes = sorted((recorded_change(t) for t in kept), key=lambda change: change.at)
    if not changes or changes[0].kind is not ChangeKind.RAISED:
        changes.insert(0, Change(ChangeKind.RAISED, occurrence.raised_at))
    if occurrence.raised and occurrence.hits > 1 and len(changes) == 1 and occurrence.changed_at is not None:
        # The repetitions were not read, or have expired; only the time of the last one is known.
        repeated = Change(
            ChangeKind.REPEATED, occurrence.changed_at, severity=_severity_now(occurrence, alarm)
        )
        changes.append(repeated)
    view = OccurrenceView(occurrence.raised_at, None, None, (changes[0],), hits=max(occurrence.hits, 1))
    for change in sorted([*changes[1:], *_edits(occurrence, edits)], key=lambda change: change.at):
        view = _follow(view, change, settings)
    if view.active and not occurrence.raised:
        view = view.clear(Change(ChangeKind.CLEARED, occurrence.cleared_at or occurrence.raised_at))
    return _as_of_now(view, transitions, alarm, settings) if view.active else view


def as_of_transition(
    occurrence: Occurrence, raising: Transition | None, transition: Transition, settings: Settings
) -> OccurrenceView:
    """Return an occurrence that our evaluator recorded as *transition* left it.

    *raising* is the transition that raised it, None if that has expired. Later edits, resets and the deletion
    of the alarm do not count.
    """
    change = recorded_change(transition)
    if change.kind is ChangeKind.RAISED:
        return OccurrenceView(change.at, None, None, (change,))
    first = (
        recorded_change(raising)
        if raising is not None
        else Change(ChangeKind.RAISED, occurrence.raised_at, severity=transition.severity)
    )
    hits = max(occurrence.hits, 1) if change.kind is ChangeKind.CLEARED else 1
    view = OccurrenceView(occurrence.raised_at, None, None, (first,), hits=hits)
    return _follow(view, change, settings)


def as_of_change(view: OccurrenceView, number: int, settings: Settings) -> OccurrenceView:
    """Return an occurrence as its change of that *number*, counted from 0, left it."""
    if number == len(view.changes) - 1:
        return view
    then = OccurrenceView(view.raised_at, None, None, view.changes[:1], rule=view.rule)
    for change in view.changes[1 : number + 1]:
        if not then.active:
            # Raised again within the hold-down.
            then = dataclasses.replace(then, cleared_at=None).change(change)
        else:
            then = _follow(then, change, settings)
    return then


def _severity_now(occurrence: Occurrence, alarm: AodhAlarm | None) -> str | None:
    """Return the severity of the newest match, where the rule states the severity."""
    if occurrence.severity is None or alarm is None or not states_severity(alarm.rule):
        return None
    return occurrence.severity.lower()


def _edits(occurrence: Occurrence, edits: Sequence[Record]) -> list[Change]:
    """Return the edits made while the occurrence was raised."""
    end = None if occurrence.raised else occurrence.cleared_at
    inside = (one for one in edits if one.at > occurrence.raised_at and (end is None or one.at < end))
    return [change for record in inside if (change := edit(record)) is not None]


def _follow(view: OccurrenceView, change: Change, settings: Settings) -> OccurrenceView:
    if change.kind is ChangeKind.CLEARED:
        return view.clear(change) if view.active else view
    if change.kind is ChangeKind.REPEATED:
        before = next((earlier.severity for earlier in reversed(view.changes) if earlier.severity), None)
        other = change.severity is not None and before is not None and change.severity != before
        follow = view.change if other or settings.repeat_is_change else view.add
        return follow(change, last_hit_at=change.at)
    return view.change(change) if view.active else view


def _as_of_now(
    view: OccurrenceView, transitions: Sequence[Transition], alarm: AodhAlarm | None, settings: Settings
) -> OccurrenceView:
    """Clear or mark an active occurrence by the present row of its alarm."""
    last = view.changes[-1].at
    if alarm is None:
        return view.clear(Change(ChangeKind.CLEARED, last, DELETED, estimated=True))
    if alarm.state == OK or (alarm.state == UNKNOWN and settings.insufficient_data is InsufficientData.CLEAR):
        change = Change(
            ChangeKind.CLEARED,
            max(alarm.state_timestamp, last),
            alarm.state_reason,
            manual=alarm.manual,
            estimated=alarm.state_timestamp < last,
        )
        return view.clear(change)
    raising = next((t for t in transitions if t.kind is Kind.RAISED), None)
    if raising is not None and _is_kept(raising.event) and retargeted(alarm.rule, raising.event, settings):
        return view.clear(Change(ChangeKind.CLEARED, max(alarm.timestamp, last), RETARGETED))
    if alarm.state == UNKNOWN:
        change = Change(ChangeKind.CHANGED, max(alarm.state_timestamp, last), alarm.state_reason)
        return view.lose_data(change, settings)
    return view


def _is_kept(event: Event) -> bool:
    """Return True if the stored event still has a body beyond its id and type."""
    return not event.body.keys() <= {"message_id", "event_type"}
