"""The history of one alarm as consumers read it: every raise, change and clear, with its event."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from eventalarm.http.responses import BadMarker
from eventalarm.ifa_shim.alarm import AckState, IfaAlarm, Severity, rfc3339
from eventalarm.ifa_shim.aodh_history import AodhAlarm, Record, read_records
from eventalarm.ifa_shim.history_entries import Document, Entry, TransitionEntries, described, entry, identity
from eventalarm.ifa_shim.mapping import from_view, occurrences_of
from eventalarm.ifa_shim.occurrences import Change, ChangeKind, as_of_change, edit
from eventalarm.ifa_shim.queries import HistoryQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, object_alarm_id, parse_time
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import Acknowledgements, OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader

# The place of an entry in the history: its time, and a name that orders entries of the same time.
Place = tuple[datetime.datetime, str]
Placed = tuple[Place, Entry]


class HistoryReader:
    """Reads the history of alarms from *database*; a page is a constant number of statements.

    :param everything: name correlated alarms of other projects, for those who may see all.
    """

    def __init__(self, database: Database, settings: Settings, *, everything: bool = False) -> None:
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._acknowledgements = Acknowledgements(database)
        self._entries = TransitionEntries(database, settings, everything=everything)
        self._settings = settings

    def page(
        self, alarm: IfaAlarm, query: HistoryQuery, after: Any, limit: int
    ) -> tuple[list[Document], Any]:
        """Return up to *limit* entries after a marker, the oldest first, and the marker of the next page.

        Entries that *query* does not select are left out.

        :raises BadMarker: when the marker is not one that this method returned.
        """
        place = _read_marker(after)
        recorded = self._details.transitions(alarm.aodh_alarm_id, alarm.object_key, place, limit + 1)
        records, _ = read_records(self._details.records([alarm.aodh_alarm_id]))
        if not recorded and not self._details.transitions(alarm.aodh_alarm_id, alarm.object_key, None, 1):
            entries = self._from_aodh(alarm, records)
        else:
            places = [(one.recorded_at, one.transition_id) for one in recorded]
            entries = list(zip(places, self._entries.of(recorded), strict=True))
            entries += self._manual_changes(records, alarm)
        entries += self._acknowledged(alarm)
        found = sorted((one for one in entries if place is None or one[0] > place), key=lambda one: one[0])
        documents = [one.document for _, one in found[:limit] if query.matches(one.alarm, one.kind)]
        if len(found) <= limit:
            return documents, None
        at, name = found[limit - 1][0]
        return documents, [at.isoformat(), name]

    def _from_aodh(self, alarm: IfaAlarm, records: list[Record]) -> list[Placed]:
        row = self._reader.row(alarm.aodh_alarm_id)
        if row is None:
            return []
        parsed, found = AodhAlarm.parse(row), []
        for view in occurrences_of(parsed, records, self._settings):
            for number, change in enumerate(view.changes):
                then = from_view(parsed, as_of_change(view, number, self._settings), self._settings)
                if change.severity is not None:
                    then = self._with_severity(then, change)
                found.append((change.at, entry(change, then)))
        return [((at, f"{n:09}"), one) for n, (at, one) in enumerate(found)]

    def _acknowledged(self, alarm: IfaAlarm) -> list[Placed]:
        """Return the last acknowledgement; those of earlier occurrences are not kept."""
        found = self._acknowledgements.find(object_alarm_id(alarm.aodh_alarm_id, alarm.object_key))
        if found is None:
            return []
        at = found.acknowledged_at
        document = identity(alarm) | {
            "kind": "acknowledged",
            "time": rfc3339(at),
            "reason": found.comment or "",
        }
        document |= {"ackState": AckState.ACKNOWLEDGED.value, "alarmAcknowledgedTime": rfc3339(at)}
        document |= {"manual": True} | ({"userId": found.user_id} if found.user_id else {})
        return [((at, found.object_id), Entry(alarm, document))]

    def _manual_changes(self, records: list[Record], alarm: IfaAlarm) -> list[Placed]:
        """Return the edits and manual state changes of an alarm of our evaluator."""
        found: list[Placed] = []
        for record in records:
            change = _set_by_hand(record) if record.manual else edit(record)
            if change is not None and (change.manual or record.at >= alarm.raised_time):
                found.append(((record.at, record.record_id), self._manual(change, alarm)))
        return found

    def _manual(self, change: Change, alarm: IfaAlarm) -> Entry:
        document = identity(alarm) | described(change)
        if change.kind is not ChangeKind.CLEARED and change.severity is None:
            return Entry(alarm, document)
        then = self._with_severity(alarm, change)
        return Entry(then, document | {"perceivedSeverity": then.perceived_severity.value})

    def _with_severity(self, alarm: IfaAlarm, change: Change) -> IfaAlarm:
        """Return *alarm* with the severity that its definition had at *change*; CLEARED after a clear."""
        cleared = change.kind is ChangeKind.CLEARED
        severity = Severity.CLEARED if cleared else self._settings.severity(change.severity)
        return dataclasses.replace(alarm, perceived_severity=severity)


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
    raise BadMarker
