"""Alarms read from one open transaction: pages and single alarms, at a constant number of statements."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity
from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, read_records
from eventalarm.ifa_shim.mapping import alarm_id_of, from_life, from_occurrence, lives_of
from eventalarm.ifa_shim.own import StoredTransition
from eventalarm.ifa_shim.resource import targets
from eventalarm.ifa_shim.stored import read_step
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import FAULT_SEVERITIES, object_alarm_id
from eventalarm.storage.acknowledgements import Acknowledgements
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_filters import Severities, Wanted
from eventalarm.storage.occurrence_queries import OccurrenceReader, OccurrenceRow, Page, Stream

ROUNDS: Final = 2
OCCURRENCES_OF_ONE: Final = 20

Matches = Callable[[IfaAlarm], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Marker:
    """Where a listing goes on: in which :class:`Stream`, and after which key of it."""

    stream: int = 0
    key: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """One page: ``next`` is None at the end. A page can be short, or empty, and still not be the last."""

    alarms: list[IfaAlarm]
    next: Marker | None


def severities(asked: Iterable[Severity], settings: Settings) -> Severities | None:
    """Return what the database is asked for so that nothing of severity *asked* is missed."""
    wanted = frozenset(asked)
    if settings.severity_overrides:
        return None
    return Severities(
        cleared=Severity.CLEARED in wanted,
        said=frozenset(s.value for s in wanted) & FAULT_SEVERITIES,
        words=frozenset(word for word, severity in settings.severities.items() if severity in wanted),
        undefined=settings.undefined_severity in wanted,
        known_words=frozenset(settings.severities),
    )


class Alarms:
    """Reads alarms from *database*, best an open transaction, and shows them by *settings*.

    ``orphans`` are the raised occurrences met so far whose alarm was deleted. They are shown as cleared now;
    whoever reads must record that.
    """

    def __init__(self, database: Database, settings: Settings, now: datetime.datetime) -> None:
        self.orphans: set[str] = set()
        self._settings = settings
        self._reader = OccurrenceReader(database)
        self._details = OccurrenceDetails(database)
        self._acknowledgements = Acknowledgements(database)
        self._now = now

    def page(self, wanted: Wanted, matches: Matches, marker: Marker, limit: int) -> Listing:
        """Return up to *limit* alarms of *wanted* that *matches* lets pass, from *marker* on.

        The work is bounded whatever the filter: what was not reached is behind ``next``.
        """
        found: list[IfaAlarm] = []
        place: Marker | None = marker
        for _ in range(ROUNDS):
            if place is None or len(found) >= limit:
                break
            rows, place = self._gather(wanted, place, limit - len(found))
            found.extend(alarm for alarm in self._shown(rows) if _fits(alarm, wanted) and matches(alarm))
        return Listing(found, place)

    def _gather(self, wanted: Wanted, place: Marker, limit: int) -> tuple[list[OccurrenceRow], Marker | None]:
        """Return up to *limit* rows from *place* on, stream after stream, and where to go on."""
        rows: list[OccurrenceRow] = []
        for stream in (one for one in _streams(wanted.active) if one >= place.stream):
            key = place.key if stream == place.stream else None
            page = self._stream_page(wanted, stream, key, limit - len(rows))
            rows.extend(self._noticed(page.rows))
            if page.reached is not None:
                return rows, Marker(stream, page.reached)
            place = Marker(stream + 1)
            if len(rows) >= limit:
                break
        more = any(one >= place.stream for one in _streams(wanted.active))
        return rows, place if more else None

    def _stream_page(self, wanted: Wanted, stream: Stream, key: Any, limit: int) -> Page:
        if stream in (Stream.OWN_RAISED, Stream.OWN_CLEARED):
            return self._reader.own(wanted, stream, key, limit)
        return self._reader.rows(wanted, stream, key, limit)

    def get(self, alarm_id: str, project_id: str | None) -> IfaAlarm | None:
        """Return the alarm of that id if it is one of *project_id* (None: of any), else None."""
        for rows in (self._by_object(alarm_id), self._by_alarm(alarm_id)):
            visible = [row for row in rows if project_id is None or _project(row) == project_id]
            for alarm in self._shown(self._noticed(visible)):
                if alarm.alarm_id == alarm_id:
                    return alarm
        return None

    def show(self, rows: list[OccurrenceRow]) -> list[IfaAlarm]:
        """Return the alarms that lives are, as they are now."""
        return self._shown(self._noticed(rows))

    def _by_object(self, alarm_id: str) -> Iterable[OccurrenceRow]:
        return self._reader.of_object(alarm_id)

    def _by_alarm(self, alarm_id: str) -> Iterable[OccurrenceRow]:
        row = self._reader.row(alarm_id)
        if row is None:
            yield from self._reader.of_alarm(alarm_id, None, OCCURRENCES_OF_ONE)
            return
        bound = {t.value for t in targets(AodhAlarm.parse(row).rule, self._settings)}
        yield from self._reader.of_alarm(alarm_id, bound | {""}, OCCURRENCES_OF_ONE)
        lives = self._reader.of_alarm(alarm_id, None, 1)
        if not lives or lives[0].foreign:
            yield OccurrenceRow(None, row, foreign=True)

    def _shown(self, rows: Iterable[OccurrenceRow]) -> list[IfaAlarm]:
        """Map rows; those that another row of the same alarm stands for are left out."""
        listed = [row for row in rows if not self._stands_aside(row)]
        points = self._steps(listed)
        records = self._records(listed)
        related = self._correlated(listed, points)
        mapped = [self._mapped(row, points, records, related) for row in listed]
        return self._acknowledged([alarm for alarm in mapped if alarm is not None])

    def _noticed(self, rows: list[OccurrenceRow]) -> list[OccurrenceRow]:
        """Show the occurrences of deleted alarms as cleared, at the time of this discovery."""
        orphans = {
            row.occurrence.occurrence_id
            for row in rows
            if row.occurrence is not None and row.occurrence.raised and row.alarm is None
        }
        if not orphans:
            return rows
        self.orphans |= orphans
        now = self._now
        closed = []
        for row in rows:
            life = row.occurrence
            if life is not None and life.occurrence_id in orphans:
                life = dataclasses.replace(life, raised=False, changed_at=now, cleared_at=now)
            closed.append(dataclasses.replace(row, occurrence=life))
        return closed

    def _stands_aside(self, row: OccurrenceRow) -> bool:
        """Tell whether the row's own life is over while somebody else raised the same alarm again."""
        life, alarm = row.occurrence, row.alarm
        if life is None or alarm is None or not row.foreign or life.raised:
            return False
        rule = AodhAlarm.parse(alarm).rule
        return alarm_id_of(life.alarm_id, life.managed_object, rule, self._settings) == life.alarm_id

    def _steps(self, rows: Sequence[OccurrenceRow]) -> dict[str, list[StoredTransition]]:
        found: dict[str, list[StoredTransition]] = {}
        ids = [row.occurrence.occurrence_id for row in rows if row.occurrence is not None]
        for stored in self._details.turning_points(ids):
            found.setdefault(stored["occurrence_id"], []).append(read_step(stored))
        return found

    def _records(self, rows: Sequence[OccurrenceRow]) -> dict[str, list[Record]]:
        """Return Aodh's history: edits of the raised alarms of ours, everything of the others."""
        ours = {
            row.occurrence.alarm_id for row in rows if row.occurrence is not None and row.occurrence.raised
        }
        others = {row.alarm["alarm_id"] for row in rows if row.occurrence is None and row.alarm is not None}
        found: dict[str, list[dict[str, Any]]] = {}
        for stored in [*self._details.records(others), *self._details.records(ours - others, [RULE_CHANGE])]:
            found.setdefault(stored["alarm_id"], []).append(stored)
        return {alarm_id: read_records(bodies)[0] for alarm_id, bodies in found.items()}

    def _correlated(
        self, rows: Sequence[OccurrenceRow], points: dict[str, list[StoredTransition]]
    ) -> dict[tuple[str, str], list[str]]:
        """Return the alarms that each event raised in a project; never those of another project."""
        ids = [row.occurrence.occurrence_id for row in rows if row.occurrence is not None]
        messages = {step.message_id for one in ids for step in points.get(one, ()) if step.kind == "raised"}
        found: dict[tuple[str, str], list[str]] = {}
        for stored in self._details.correlated(messages):
            rule = stored["rule"] if isinstance(stored["rule"], dict) else {}
            named = alarm_id_of(stored["alarm_id"], stored["managed_object"], rule, self._settings)
            found.setdefault((stored["message_id"], stored["project_id"]), []).append(named)
        return found

    def _mapped(
        self,
        row: OccurrenceRow,
        points: dict[str, list[StoredTransition]],
        records: dict[str, list[Record]],
        related: dict[tuple[str, str], list[str]],
    ) -> IfaAlarm | None:
        alarm = AodhAlarm.parse(row.alarm) if row.alarm is not None else None
        life = row.occurrence
        if life is None:
            if alarm is None:
                return None
            lives = lives_of(alarm, records.get(alarm.alarm_id, ()), self._settings)
            return from_life(alarm, lives[-1], self._settings) if lives else None
        steps = points.get(life.occurrence_id, [])
        raising = next((step.message_id for step in steps if step.kind == "raised"), "")
        return from_occurrence(
            life,
            steps,
            alarm,
            self._settings,
            edits=records.get(life.alarm_id, ()),
            correlated=related.get((raising, life.project_id), ()),
        )

    def _acknowledged(self, alarms: list[IfaAlarm]) -> list[IfaAlarm]:
        notes = self._acknowledgements.of({object_id_of(alarm) for alarm in alarms})
        return [
            dataclasses.replace(alarm, acknowledged_time=notes.get((object_id_of(alarm), alarm.life)))
            for alarm in alarms
        ]


def object_id_of(alarm: IfaAlarm) -> str:
    """Return the id under which acknowledgements of *alarm* are kept."""
    return object_alarm_id(alarm.aodh_alarm_id, alarm.managed_object_id)


def _project(row: OccurrenceRow) -> str:
    if row.occurrence is not None:
        return row.occurrence.project_id
    return str((row.alarm or {}).get("project_id") or "")


def _streams(active: bool | None) -> tuple[Stream, ...]:
    if active is True:
        return (Stream.OWN_RAISED, Stream.ROW_ALARM, Stream.ROW_UNKNOWN)
    return tuple(Stream)


def _fits(alarm: IfaAlarm, wanted: Wanted) -> bool:
    """Look once more at what the database was asked roughly, or in letters that it does not tell apart."""
    raised, since = alarm.raised_time, wanted.cleared_since
    return (
        wanted.project_id in (None, alarm.project_id)
        and wanted.active in (None, alarm.active)
        and (wanted.ids is None or alarm.alarm_id in wanted.ids)
        and (wanted.managed_objects is None or alarm.managed_object_id in wanted.managed_objects)
        and (wanted.raised_from is None or raised >= wanted.raised_from)
        and (wanted.raised_to is None or raised <= wanted.raised_to)
        and (since is None or alarm.cleared_time is None or alarm.cleared_time >= since)
    )
