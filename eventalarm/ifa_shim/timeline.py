"""What happened to one alarm, as a consumer reads it: every raise, change and clear, with its cause."""

from __future__ import annotations

import datetime
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, rfc3339
from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, event_of, read_records
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.mapping import lives_of
from eventalarm.ifa_shim.occurrences import VISIBLE, Change, ChangeKind
from eventalarm.ifa_shim.own import STEP_KINDS
from eventalarm.ifa_shim.stored import read_step
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, fault_severity, object_alarm_id, parse_time
from eventalarm.storage.acknowledgements import Acknowledgements
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader

Document = dict[str, Any]
Place = tuple[datetime.datetime, str]
EVENT_FIELDS: Final = ("message_id", "event_type", "generated", "traits")
STATE_KINDS: Final = {True: ChangeKind.RAISED, False: ChangeKind.CLEARED}


class Timeline:
    """Reads the history of alarms from *database*; a page is a constant number of statements."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._notes = Acknowledgements(database)
        self._settings = settings

    def page(self, alarm: IfaAlarm, after: Any, limit: int) -> tuple[list[Document], Any]:
        """Return up to *limit* entries after a marker, the oldest first, and the marker of the next page.

        :raises BadFilter: when the marker is not one that this method gave out.
        """
        place = _read(after)
        # Objects are kept under their keys; an alarm without one stands for itself.
        named = alarm.managed_object_id if alarm.managed_object_id != alarm.aodh_alarm_id else ""
        own = self._details.transitions(alarm.aodh_alarm_id, named, place, limit + 1)
        records, _ = read_records(self._details.records([alarm.aodh_alarm_id]))
        if not own and not self._details.transitions(alarm.aodh_alarm_id, named, None, 1):
            dated = self._from_aodh(alarm, records)
        else:
            dated = [self._own(row) for row in own] + self._by_people(records, alarm)
        dated += self._acknowledged(alarm)
        found = sorted((entry for entry in dated if place is None or entry[0] > place), key=lambda e: e[0])
        if len(found) <= limit:
            return [entry[1] for entry in found], None
        at, name = found[limit - 1][0]
        return [entry[1] for entry in found[:limit]], [at.isoformat(), name]

    def _own(self, row: Document) -> tuple[Place, Document]:
        stored = read_step(row)
        event = stored.parsed()
        step = Change(
            STEP_KINDS[stored.kind],
            stored.at,
            stored.reason,
            severity=stored.severity,
            message_id=stored.message_id,
            event_type=stored.event_type,
            event=stored.event or None,
        )
        entry = self._entry(step, fault_severity(event))
        entry["eventTime"] = rfc3339(stored.event_time)
        return (stored.at, row["transition_id"]), entry

    def _from_aodh(self, alarm: IfaAlarm, records: list[Record]) -> list[tuple[Place, Document]]:
        row = self._reader.row(alarm.aodh_alarm_id)
        if row is None:
            return []
        steps = [
            step for life in lives_of(AodhAlarm.parse(row), records, self._settings) for step in life.steps
        ]
        return [((step.at, f"{number:09}"), self._entry(step)) for number, step in enumerate(steps)]

    def _acknowledged(self, alarm: IfaAlarm) -> list[tuple[Place, Document]]:
        """Return who acknowledged the alarm last; earlier occurrences' acknowledgements are not kept."""
        note = self._notes.find(object_alarm_id(alarm.aodh_alarm_id, alarm.managed_object_id))
        if note is None:
            return []
        at = note.acknowledged_at
        entry: Document = {"kind": "acknowledged", "time": rfc3339(at), "reason": "", "manual": True}
        return [((at, note.object_id), entry | ({"userId": note.user_id} if note.user_id else {}))]

    def _by_people(self, records: list[Record], alarm: IfaAlarm) -> list[tuple[Place, Document]]:
        """Return what tenants did to an alarm of ours: edits, and states set by hand."""
        first = alarm.raised_time
        found = []
        for record in records:
            words = sorted(VISIBLE.intersection(record.detail))
            if record.manual:
                step = Change(
                    STATE_KINDS[record.state == ALARM],
                    record.at,
                    record.reason,
                    manual=True,
                    user_id=record.user_id,
                )
            elif record.type == RULE_CHANGE and words and record.at >= first:
                severity = record.detail.get("severity")
                reason = f"edited: {', '.join(words)}"
                step = Change(
                    ChangeKind.CHANGED, record.at, reason, severity=severity, user_id=record.user_id
                )
            else:
                continue
            found.append(((record.at, record.record_id), self._entry(step)))
        return found

    def _entry(self, step: Change, said: str | None = None) -> Document:
        entry: Document = {"kind": step.kind.value, "time": rfc3339(step.at), "reason": step.reason}
        if step.kind is ChangeKind.CLEARED:
            entry["perceivedSeverity"] = Severity.CLEARED.value
        elif said or step.severity is not None:
            entry["perceivedSeverity"] = said or self._settings.severity(step.severity).value
        message_id, event_type = step.message_id, step.event_type
        if not message_id:
            message_id, event_type = event_of(step.reason)
        if message_id:
            body = step.event or {}
            known = {name: body[name] for name in EVENT_FIELDS if name in body}
            entry["event"] = {"message_id": message_id, "event_type": event_type, **known}
        if step.manual:
            entry["manual"] = True
        if step.user_id:
            entry["userId"] = step.user_id
        if step.estimated:
            entry["estimated"] = True
        return entry


def _read(after: Any) -> Place | None:
    if after is None:
        return None
    match after:
        case [str(moment), str(name)]:
            try:
                return (parse_time(moment), name)
            except ValueError:
                pass
    raise BadFilter("the marker is not one that this service gave out")
