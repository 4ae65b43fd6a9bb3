"""Entries of histories: a change of an alarm with the attributes that the alarm had after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, as_ifa005, rfc3339
from eventalarm.ifa_shim.aodh_history import AodhAlarm, event_of
from eventalarm.ifa_shim.occurrences import Change, as_of_transition, recorded_change
from eventalarm.ifa_shim.related import Related, correlated_by, transitions_of
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Kind, Occurrence, Transition, fault_severity, severity_word, states_severity
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader, OccurrenceRow

Document = dict[str, Any]
EVENT_FIELDS: Final = ("message_id", "event_type", "generated", "traits")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the alarm as the change left it, and the JSON that consumers read."""

    alarm: IfaAlarm
    document: Document

    @property
    def kind(self) -> str:
        """The kind of the change, or ``acknowledged``."""
        return str(self.document["kind"])


def identity(alarm: IfaAlarm) -> Document:
    """Return the attributes by which the entry of any change names its alarm."""
    return {
        "alarmId": alarm.alarm_id,
        "managedObjectId": alarm.managed_object_id,
        "projectId": alarm.project_id,
        "eventType": alarm.event_type.value,
        "faultType": alarm.fault_type,
        "probableCause": alarm.probable_cause,
    }


def entry(change: Change, alarm: IfaAlarm) -> Entry:
    """Return the entry of a change that left the alarm as *alarm*."""
    return Entry(alarm, as_ifa005(alarm) | identity(alarm) | described(change))


def described(change: Change) -> Document:
    """Return when, why and by whom a change was made, and the event that caused it."""
    found: Document = {"kind": change.kind.value, "time": rfc3339(change.at), "reason": change.reason}
    if event := _event(change):
        found["event"] = event
    if change.manual:
        found["manual"] = True
    if change.user_id:
        found["userId"] = change.user_id
    if change.estimated:
        found["estimated"] = True
    return found


def _event(change: Change) -> Document:
    """Return the event that caused *change* as far as it is known, or an empty document."""
    if change.transition is not None:
        body = change.transition.event.body
        return {name: body[name] for name in EVENT_FIELDS if name in body}
    message_id, event_type = event_of(change.reason)
    return {"message_id": message_id, "event_type": event_type} if message_id else {}


class TransitionEntries:
    """Maps recorded transitions to entries: three statements for any number of them.

    :param everything: correlate alarms of different projects, for those who may see all.
    """

    def __init__(self, database: Database, settings: Settings, *, everything: bool) -> None:
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._settings = settings
        self._everything = everything

    def of(self, transitions: Sequence[Transition]) -> list[Entry]:
        """Return the entries of *transitions*, in their order."""
        if not transitions:
            return []
        ids = {one.occurrence_id for one in transitions}
        rows = self._reader.of_occurrences(ids)
        found = {row.occurrence.occurrence_id: row for row in rows if row.occurrence is not None}
        related = self._related(transitions, transitions_of(self._details, ids))
        return [self._entry(one, found.get(one.occurrence_id), related) for one in transitions]

    def _related(
        self, transitions: Sequence[Transition], turning_points: Mapping[str, Sequence[Transition]]
    ) -> Related:
        faults = {t.fault_key for found in turning_points.values() for t in found if t.kind is Kind.RAISED}
        projects = None if self._everything else {one.project_id for one in transitions}
        correlated = correlated_by(self._details, faults, projects, self._settings)
        return Related(self._settings, turning_points, {}, correlated)

    def _entry(self, transition: Transition, row: OccurrenceRow | None, related: Related) -> Entry:
        alarm = self._alarm(transition, row, related)
        made = entry(recorded_change(transition), alarm)
        named = {"id": transition.transition_id, "eventTime": rfc3339(transition.event_time)}
        if transition.inhibited_by is not None:
            named["inhibitedBy"] = transition.inhibited_by
        return Entry(alarm, made.document | named)

    def _alarm(self, transition: Transition, row: OccurrenceRow | None, related: Related) -> IfaAlarm:
        """Return the alarm as *transition* left it, with the name and severity that it had then."""
        occurrence = row.occurrence if row is not None else None
        occurrence = occurrence or _expired(transition)
        recorded = related.transitions.get(transition.occurrence_id, ())
        raising = next((one for one in recorded if one.kind is Kind.RAISED), None)
        stored = row.alarm if row is not None else None
        aodh = None
        if stored is not None:
            then = {"name": transition.alarm_name, "severity": transition.severity}
            aodh = AodhAlarm.parse({**stored, **then})
        severity = _severity(transition, raising, aodh)
        held_back = transition.inhibited_by
        occurrence = dataclasses.replace(occurrence, severity=severity, inhibited_by=held_back)
        view = as_of_transition(occurrence, raising, transition, self._settings)
        known = [one for one in (raising, transition) if one is not None]
        return related.alarm(occurrence, aodh, known, view)


def _severity(transition: Transition, raising: Transition | None, alarm: AodhAlarm | None) -> str | None:
    """Return X.733's severity after *transition*, None if Aodh's severity of the alarm counts."""
    if alarm is not None and states_severity(alarm.rule) and transition.severity:
        return severity_word(transition.severity)
    return fault_severity(transition.event) or (
        fault_severity(raising.event) if raising is not None else None
    )


def _expired(transition: Transition) -> Occurrence:
    """Return what *transition* still tells of an occurrence that was removed."""
    return Occurrence(
        occurrence_id=transition.occurrence_id,
        alarm_id=transition.alarm_id,
        project_id=transition.project_id,
        managed_object=transition.managed_object,
        raised=transition.kind not in (Kind.CLEARED, Kind.LATE),
        event_time=transition.event_time,
        raised_at=transition.recorded_at,
    )
