"""The history of one alarm as consumers read it: every raise, change and clear, with its event."""

from __future__ import annotations

import datetime
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, rfc3339
from eventalarm.ifa_shim.aodh_history import AodhAlarm, Record, event_of, read_records
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.mapping import occurrences_of
from eventalarm.ifa_shim.occurrences import Change, ChangeKind, edit, recorded_change
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, Transition, fault_severity, object_alarm_id, parse_time
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import Acknowledgements, OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader

Document = dict[str, Any]
# The place of an entry in the history: its time, and a name that orders entries of the same time.
Place = tuple[datetime.datetime, str]
EVENT_FIELDS: Final = ("message_id", "event_type", "generated", "traits")


class HistoryReader:
    """Reads the history of alarms from *database*; a page is a constant number of statements."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._acknowledgements = Acknowledgements(database)
        self._settings = settings

    def page(self, alarm: IfaAlarm, after: Any, limit: int) -> tuple[list[Document], Any]:
        """Return up to *limit* entries after a marker, the oldest first, and the marker of the next page.

        :raises BadFilter: when the marker is not one that this method returned.
        """
        place = _read_marker(after)
        recorded = self._details.transitions(alarm.aodh_alarm_id, alarm.object_key, place, limit + 1)
        records, _ = read_records(self._details.records([alarm.aodh_alarm_id]))
        if not recorded and not self._details.transitions(alarm.aodh_alarm_id, alarm.object_key, None, 1):
            entries = self._from_aodh(alarm, records)
        else:
            entries = [self._recorded(one) for one in recorded] + self._manual_changes(records, alarm)
        entries += self._acknowledged(alarm)
        found = sorted((one for one in entries if place is None or one[0] > place), key=lambda one: one[0])
        if len(found) <= limit:
            return [entry for _, entry in found], None
        at, name = found[limit - 1][0]
        return [entry for _, entry in found[:limit]], [at.isoformat(), name]

    def _recorded(self, transition: Transition) -> tuple[Place, Document]:
        entry = self._entry(recorded_change(transition), fault_severity(transition.event))
        entry["eventTime"] = rfc3339(transition.event_time)
        return (transition.recorded_at, transition.transition_id), entry

    def _from_aodh(self, alarm: IfaAlarm, records: list[Record]) -> list[tuple[Place, Document]]:
        row = self._reader.row(alarm.aodh_alarm_id)
        if row is None:
            return []
        views = occurrences_of(AodhAlarm.parse(row), records, self._settings)
        changes = [change for view in views for change in view.changes]
        return [((change.at, f"{n:09}"), self._entry(change)) for n, change in enumerate(changes)]

    def _acknowledged(self, alarm: IfaAlarm) -> list[tuple[Place, Document]]:
        """Return the last acknowledgement; those of earlier occurrences are not kept."""
        found = self._acknowledgements.find(object_alarm_id(alarm.aodh_alarm_id, alarm.object_key))
        if found is None:
            return []
        at = found.acknowledged_at
        entry: Document = {"kind": "acknowledged", "time": rfc3339(at), "reason": "", "manual": True}
        return [((at, found.object_id), entry | ({"userId": found.user_id} if found.user_id else {}))]

    def _manual_changes(self, records: list[Record], alarm: IfaAlarm) -> list[tuple[Place, Document]]:
        """Return the edits and manual state changes of an alarm of our evaluator."""
        found = []
        for record in records:
            change = _set_by_hand(record) if record.manual else edit(record)
            if change is not None and (change.manual or record.at >= alarm.raised_time):
                found.append(((record.at, record.record_id), self._entry(change)))
        return found

    def _entry(self, change: Change, named: str | None = None) -> Document:
        """Return the JSON of one change; *named* is the severity that its event named."""
        entry: Document = {"kind": change.kind.value, "time": rfc3339(change.at), "reason": change.reason}
        if change.kind is ChangeKind.CLEARED:
            entry["perceivedSeverity"] = Severity.CLEARED.value
        elif named or change.severity is not None:
            entry["perceivedSeverity"] = named or self._settings.severity(change.severity).value
        if event := _event(change):
            entry["event"] = event
        if change.manual:
            entry["manual"] = True
        if change.user_id:
            entry["userId"] = change.user_id
        if change.estimated:
            entry["estimated"] = True
        return entry


def _event(change: Change) -> Document:
    """Return the event that caused *change* as far as it is known, or an empty document."""
    if change.transition is not None:
        body = change.transition.event.body
        return {name: body[name] for name in EVENT_FIELDS if name in body}
    message_id, event_type = event_of(change.reason)
    return {"message_id": message_id, "event_type": event_type} if message_id else {}


def _set_by_hand(record: Record) -> Change:
    """Return the change that a user made by setting the state through Aodh's API."""
    kind = ChangeKind.RAISED if record.state == ALARM else ChangeKind.CLEARED
    return Change(kind, record.at, record.reason, manual=True, user_id=record.user_id)


def _read_marker(after: Any) -> Place | None:
    if after is None:
        return None
    match after:
        case [str(moment), str(name)]:
            try:
                return (parse_time(moment), name)
            except ValueError:
                pass
    raise BadFilter("unknown or expired paging marker")
