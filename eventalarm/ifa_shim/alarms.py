"""Alarms read from one open transaction: pages and single alarms, with a constant number of statements."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.mapping import alarm_id_of, from_view, occurrences_of
from eventalarm.ifa_shim.queries import AlarmQuery
from eventalarm.ifa_shim.related import Related, correlated_by, faults_of, records_of, transitions_of
from eventalarm.ifa_shim.resource import targets
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import object_alarm_id
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import Acknowledgements, OccurrenceDetails
from eventalarm.storage.occurrence_filters import Wanted
from eventalarm.storage.occurrence_queries import ROW_STATES, OccurrenceReader, OccurrenceRow, Page, Stream

ROUNDS: Final = 2
STATE_STREAMS: Final = {state: stream for stream, state in ROW_STATES.items()}
OCCURRENCES_PER_ALARM: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Marker:
    """Where a listing continues: in which :class:`Stream`, and after which key of it."""

    stream: int = 0
    key: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """One page: ``next`` is None at the end. A page can be short, or empty, and still not be the last."""

    alarms: list[IfaAlarm]
    next: Marker | None


@dataclasses.dataclass(frozen=True, slots=True)
class PlacedAlarm:
    """An alarm with its place among all: alarms are listed in the order of their places."""

    place: tuple[Any, ...]
    alarm: IfaAlarm


class AlarmReader:
    """Reads alarms from *database*, usually an open transaction, and maps them by *settings*."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._settings = settings
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._acknowledgements = Acknowledgements(database)

    def page(self, query: AlarmQuery, marker: Marker, limit: int) -> Listing:
        """Return up to *limit* alarms that *query* selects, from *marker* on.

        The work is bounded for every filter: a page can be short, and ``next`` continues the search.
        """
        found: list[IfaAlarm] = []
        place: Marker | None = marker
        for _ in range(ROUNDS):
            if place is None or len(found) >= limit:
                break
            rows, place = self._gather(query.wanted, place, limit - len(found))
            shown = self.show(rows, everything=query.wanted.project_id is None)
            found.extend(alarm for alarm in shown if query.matches(alarm))
        return Listing(found, place)

    def placed(self, wanted: Wanted, marker: Marker, limit: int) -> tuple[list[PlacedAlarm], Marker | None]:
        """Return the alarms of up to *limit* occurrences from *marker* on with their places, and the next.

        They can be more than *wanted* asks for, and fewer than *limit* though there are more.
        """
        rows, place = self._gather(wanted, marker, limit)
        shown = self._shown(rows, everything=wanted.project_id is None)
        return [PlacedAlarm(_place(row), alarm) for row, alarm in shown], place

    def _gather(self, wanted: Wanted, place: Marker, limit: int) -> tuple[list[OccurrenceRow], Marker | None]:
        """Return up to *limit* rows from *place* on, stream after stream, and where to continue."""
        rows: list[OccurrenceRow] = []
        for stream in (one for one in _streams(wanted.active) if one >= place.stream):
            key = place.key if stream == place.stream else None
            page = self._stream_page(wanted, stream, key, limit - len(rows))
            rows.extend(page.rows)
            if page.reached is not None:
                return rows, Marker(stream, page.reached)
            place = Marker(stream + 1)
            if len(rows) >= limit:
                break
        more = any(one >= place.stream for one in _streams(wanted.active))
        return rows, place if more else None

    def _stream_page(self, wanted: Wanted, stream: Stream, key: Any, limit: int) -> Page:
        if stream in (Stream.RECORDED_RAISED, Stream.RECORDED_CLEARED):
            return self._reader.recorded(wanted, stream, key, limit)
        return self._reader.rows(wanted, stream, key, limit)

    def get(self, alarm_id: str, project_id: str | None) -> IfaAlarm | None:
        """Return the alarm with that id if it belongs to *project_id* (None: to any), else None."""
        for rows in (self._reader.of_object(alarm_id), self._by_alarm(alarm_id)):
            visible = [row for row in rows if project_id is None or _project(row) == project_id]
            for alarm in self.show(visible, everything=project_id is None):
                if alarm.alarm_id == alarm_id:
                    return alarm
        return None

    def _by_alarm(self, alarm_id: str) -> Iterable[OccurrenceRow]:
        row = self._reader.row(alarm_id)
        if row is None:
            yield from self._reader.of_alarm(alarm_id, None, OCCURRENCES_PER_ALARM)
            return
        bound = {t.value for t in targets(AodhAlarm.parse(row).rule, self._settings)}
        yield from self._reader.of_alarm(alarm_id, bound | {""}, OCCURRENCES_PER_ALARM)
        newest = self._reader.of_alarm(alarm_id, None, 1)
        if not newest or newest[0].foreign:
            yield OccurrenceRow(None, row, foreign=True)

    def show(self, rows: Iterable[OccurrenceRow], *, everything: bool = False) -> list[IfaAlarm]:
        """Return the alarms of *rows* as they are now; superseded rows are left out.

        :param everything: correlate alarms of different projects, for those who may see all.
        """
        return self._with_acknowledgements([alarm for _, alarm in self._shown(rows, everything=everything)])

    def _shown(
        self, rows: Iterable[OccurrenceRow], *, everything: bool
    ) -> list[tuple[OccurrenceRow, IfaAlarm]]:
        listed = [row for row in rows if not self._is_superseded(row)]
        related = self._related(listed, everything)
        mapped = [(row, self._mapped(row, related)) for row in listed]
        return [(row, alarm) for row, alarm in mapped if alarm is not None]

    def _is_superseded(self, row: OccurrenceRow) -> bool:
        """Return True if the occurrence is cleared while another evaluator raised the same alarm again."""
        occurrence, alarm = row.occurrence, row.alarm
        if occurrence is None or alarm is None or not row.foreign or occurrence.raised:
            return False
        rule = AodhAlarm.parse(alarm).rule
        shown_as = alarm_id_of(occurrence.alarm_id, occurrence.managed_object, rule, self._settings)
        return shown_as == occurrence.alarm_id

    def _related(self, rows: Sequence[OccurrenceRow], everything: bool) -> Related:
        recorded = [row.occurrence for row in rows if row.occurrence is not None]
        transitions = transitions_of(self._details, [one.occurrence_id for one in recorded])
        others = {row.alarm["alarm_id"] for row in rows if row.occurrence is None and row.alarm is not None}
        edited = {one.alarm_id for one in recorded if one.raised} - others
        projects = None if everything else {one.project_id for one in recorded}
        return Related(
            self._settings,
            transitions,
            records_of(self._details, edited=edited, others=others),
            correlated_by(self._details, faults_of(transitions), projects, self._settings),
            self._details.objects_in_fault(_groups(rows)),
        )

    def _mapped(self, row: OccurrenceRow, related: Related) -> IfaAlarm | None:
        alarm = AodhAlarm.parse(row.alarm) if row.alarm is not None else None
        if row.occurrence is not None:
            return related.alarm(row.occurrence, alarm)
        if alarm is None:
            return None
        views = occurrences_of(alarm, related.records.get(alarm.alarm_id, ()), self._settings)
        return from_view(alarm, views[-1], self._settings) if views else None

    def _with_acknowledgements(self, alarms: list[IfaAlarm]) -> list[IfaAlarm]:
        found = self._acknowledgements.of({object_id_of(alarm) for alarm in alarms})
        return [
            dataclasses.replace(
                alarm, acknowledged_time=found.get((object_id_of(alarm), alarm.occurrence_id))
            )
            for alarm in alarms
        ]


def object_id_of(alarm: IfaAlarm) -> str:
    """Return the id under which acknowledgements of *alarm* are kept."""
    return object_alarm_id(alarm.aodh_alarm_id, alarm.object_key)


def _groups(rows: Iterable[OccurrenceRow]) -> set[tuple[str, str]]:
    """Return the groups whose objects are tracked: the raised occurrences of rules with ``at_least``."""
    return {
        (row.occurrence.alarm_id, row.occurrence.managed_object)
        for row in rows
        if row.occurrence is not None
        and row.occurrence.raised
        and row.alarm is not None
        and AodhAlarm.parse(row.alarm).rule.get("at_least")
    }


def _place(row: OccurrenceRow) -> tuple[Any, ...]:
    if row.occurrence is not None:
        return (Stream.RECORDED_RAISED if row.occurrence.raised else Stream.RECORDED_CLEARED, *row.key)
    alarm = row.alarm or {}
    return (STATE_STREAMS.get(str(alarm.get("state")), Stream.ROW_OK), alarm.get("alarm_id"))


def _project(row: OccurrenceRow) -> str:
    if row.occurrence is not None:
        return row.occurrence.project_id
    return str((row.alarm or {}).get("project_id") or "")


def _streams(active: bool | None) -> tuple[Stream, ...]:
    if active is True:
        return (Stream.RECORDED_RAISED, Stream.ROW_ALARM, Stream.ROW_UNKNOWN)
    return tuple(Stream)
