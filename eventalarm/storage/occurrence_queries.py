"""Pages of occurrences for the IFA API, each read with statements of bounded cost.

A page examines at most ``scan`` rows of one index, regardless of the filter: if fewer than the limit match,
the page is short and says how far it looked. So a rare alarm among many costs the client more pages, not the
database a longer statement. Nothing is locked; every method is one to four statements.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import ALARM, OK, UNKNOWN, Occurrence
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_filters import Wanted, fitting, fitting_rows
from eventalarm.storage.tables import alarm, alarm_history, occurrence

SCAN: Final = 2000
NEAR: Final = 3
MANY: Final = 100_000

OCCURRENCE_COLUMNS: Final = tuple(occurrence.c[field.name] for field in dataclasses.fields(Occurrence))
ALARM_COLUMNS: Final = (
    alarm.c.alarm_id,
    alarm.c.project_id,
    alarm.c.type,
    alarm.c.name,
    alarm.c.severity,
    alarm.c.enabled,
    alarm.c.state,
    alarm.c.state_reason,
    alarm.c.state_timestamp,
    alarm.c.timestamp,
    alarm.c.rule,
    alarm.c.repeat_actions,
)
ALARM_NAMES: Final = tuple(column.name for column in ALARM_COLUMNS)
# Built once: for a page of few rows, building and comparing statements is most of the work.
ROW_COLUMNS: Final = tuple(column.label(f"row_{column.name}") for column in ALARM_COLUMNS)
OTHER: Final = occurrence.alias()
KNOWN: Final = sa.exists().where(OTHER.c.alarm_id == occurrence.c.alarm_id, OTHER.c.raised).label("known")
OCCURRENCES: Final = sa.select(*OCCURRENCE_COLUMNS, *ROW_COLUMNS, KNOWN)
WITH_ROWS: Final = OCCURRENCES.select_from(
    occurrence.outerjoin(alarm, alarm.c.alarm_id == occurrence.c.alarm_id)
)

Document = dict[str, Any]
Key = tuple[datetime.datetime, str]


class Stream(enum.IntEnum):
    """Sources of occurrences: recorded ones, and Aodh's alarms whose state no recorded one explains."""

    RECORDED_RAISED = 0
    RECORDED_CLEARED = 1
    ROW_ALARM = 2
    ROW_UNKNOWN = 3
    ROW_OK = 4


ROW_STATES: Final = {Stream.ROW_ALARM: ALARM, Stream.ROW_UNKNOWN: UNKNOWN, Stream.ROW_OK: OK}


@dataclasses.dataclass(frozen=True, slots=True)
class OccurrenceRow:
    """An occurrence and Aodh's row (None: deleted), or a row alone; ``foreign``: raised by others."""

    occurrence: Occurrence | None
    alarm: Document | None
    foreign: bool = False

    @property
    def key(self) -> Key:
        """The position of a recorded occurrence in its stream."""
        assert self.occurrence is not None
        return (self.occurrence.raised_at, self.occurrence.occurrence_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of the stream; ``reached`` is where the next page begins, None at the end."""

    rows: list[OccurrenceRow]
    reached: Any


def _raised_elsewhere(alarm_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    other = occurrence.alias()
    return sa.exists().where(other.c.alarm_id == alarm_id, other.c.raised)


class OccurrenceReader:
    """Reads on one database; safe to share between threads."""

    def __init__(self, database: Database, scan: int = SCAN) -> None:
        self._database = database
        self._scan = scan

    def _all(self, query: Any) -> list[Any]:
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def recorded(self, wanted: Wanted, stream: Stream, after: Key | None, limit: int) -> Page:
        """Return up to *limit* recorded occurrences, the newest of each object."""
        # Most pages are filled by the first rows; only a filter that matches few rows needs a longer look.
        for stretch in sorted({min(NEAR * limit, self._scan), self._scan}):
            inner = self._looked_at(wanted, stream is Stream.RECORDED_RAISED, after, stretch)
            rows = self._fitting_occurrences(wanted, inner.subquery(), limit)
            if len(rows) == limit:
                return Page(rows, rows[-1].key)
            if wanted.named:
                return Page(rows, None)
            end = self._all(inner.offset(stretch - 1).limit(1))
            if not end:
                return Page(rows, None)
        return Page(rows, (end[0][0], end[0][1]))

    def _fitting_occurrences(self, wanted: Wanted, looked: sa.Subquery, limit: int) -> list[OccurrenceRow]:
        order = [looked.c.raised_at, looked.c.occurrence_id]
        query = (
            OCCURRENCES.select_from(
                looked.join(occurrence, occurrence.c.occurrence_id == looked.c.occurrence_id).outerjoin(
                    alarm, alarm.c.alarm_id == occurrence.c.alarm_id
                )
            )
            .where(occurrence.c.latest, occurrence.c.hits > 0, *fitting(wanted, self._database.dialect))
            .order_by(*(sa.desc(c) if wanted.newest_first else c for c in order))
            .limit(limit)
        )
        return [_occurrence_row(row) for row in self._all(query)]

    def _looked_at(self, wanted: Wanted, raised: bool, after: Key | None, stretch: int) -> sa.Select[Any]:
        """Return the occurrences that a page may examine: a range of one index."""
        table = occurrence
        query = sa.select(table.c.raised_at, table.c.occurrence_id).where(
            table.c.raised == sa.literal(raised)
        )
        if wanted.project_id is not None:
            query = query.where(table.c.project_id == wanted.project_id)
        if wanted.raised_from is not None:
            query = query.where(table.c.raised_at >= wanted.raised_from)
        if wanted.raised_to is not None:
            query = query.where(table.c.raised_at <= wanted.raised_to)
        if after is not None:
            moment, name = after
            beyond = (
                table.c.raised_at < moment if wanted.newest_first else table.c.raised_at > moment,
                table.c.occurrence_id < name if wanted.newest_first else table.c.occurrence_id > name,
            )
            bound = table.c.raised_at <= moment if wanted.newest_first else table.c.raised_at >= moment
            query = query.where(bound, sa.or_(*beyond))
        if wanted.ids is not None:
            query = query.where(
                sa.or_(table.c.alarm_id.in_(sorted(wanted.ids)), table.c.object_id.in_(sorted(wanted.ids)))
            )
        if wanted.managed_objects is not None:
            objects = sorted(wanted.managed_objects)
            query = query.where(sa.or_(table.c.managed_object.in_(objects), table.c.resource_id.in_(objects)))
        if wanted.named:
            return query.limit(MANY)
        order = (table.c.raised_at, table.c.occurrence_id)
        return query.order_by(*(sa.desc(c) if wanted.newest_first else c for c in order)).limit(stretch)

    def rows(self, wanted: Wanted, stream: Stream, after: str | None, limit: int) -> Page:
        """Return up to *limit* of Aodh's alarms in one state that no raised recorded occurrence explains."""
        state = ROW_STATES[stream]
        unexplained = self._unexplained(self._rows_looked_at(wanted, state, after).subquery(), state)
        query = (
            sa.select(*ROW_COLUMNS)
            .select_from(unexplained.join(alarm, alarm.c.alarm_id == unexplained.c.alarm_id))
            .where(*fitting_rows(wanted, state))
            .order_by(alarm.c.alarm_id)
            .limit(limit)
        )
        rows = [OccurrenceRow(None, _alarm_of(row), foreign=True) for row in self._all(query)]
        if len(rows) == limit:
            return Page(rows, rows[-1].alarm["alarm_id"] if rows[-1].alarm else None)
        end = self._all(self._rows_looked_at(wanted, state, after).offset(self._scan - 1).limit(1))
        return Page(rows, end[0][0] if end else None)

    def _unexplained(self, looked: sa.Subquery, state: str) -> sa.Subquery:
        """Return those of the examined alarms that no recorded occurrence explains.

        The limit changes only the query plan: whole rows are read of these alarms only.
        """
        query = sa.select(looked.c.alarm_id).where(~_raised_elsewhere(looked.c.alarm_id))
        if state != ALARM:
            known = sa.exists().where(
                occurrence.c.alarm_id == looked.c.alarm_id, occurrence.c.latest, occurrence.c.hits > 0
            )
            has_history = sa.exists().where(alarm_history.c.alarm_id == looked.c.alarm_id)
            query = query.where(~known, has_history)
        return query.order_by(looked.c.alarm_id).limit(self._scan).subquery()

    def _rows_looked_at(self, wanted: Wanted, state: str, after: str | None) -> sa.Select[Any]:
        query = sa.select(alarm.c.alarm_id).where(alarm.c.state == state)
        if wanted.project_id is not None:
            query = query.where(alarm.c.project_id == wanted.project_id)
        if after is not None:
            query = query.where(alarm.c.alarm_id > after)
        if wanted.ids is not None:
            query = query.where(alarm.c.alarm_id.in_(sorted(wanted.ids)))
        return query.order_by(alarm.c.alarm_id).limit(self._scan)

    def of_object(self, object_id: str) -> list[OccurrenceRow]:
        """Return the newest recorded occurrence of the (alarm, managed object) of that id, if any."""
        return self._latest(occurrence.c.object_id == object_id)

    def of_alarm(
        self, alarm_id: str, managed_objects: Collection[str] | None, limit: int
    ) -> list[OccurrenceRow]:
        """Return the newest occurrences of an alarm on managed objects (None: any), newest first."""
        conditions = [occurrence.c.alarm_id == alarm_id]
        if managed_objects is not None:
            conditions.append(occurrence.c.managed_object.in_(sorted(managed_objects)))
        return self._latest(*conditions, limit=limit)

    def _latest(self, *conditions: sa.ColumnElement[bool], limit: int = 1) -> list[OccurrenceRow]:
        query = (
            WITH_ROWS.where(*conditions, occurrence.c.latest, occurrence.c.hits > 0)
            .order_by(sa.desc(occurrence.c.raised_at), sa.desc(occurrence.c.occurrence_id))
            .limit(limit)
        )
        return [_occurrence_row(row) for row in self._all(query)]

    def of_occurrences(self, occurrence_ids: Collection[str]) -> list[OccurrenceRow]:
        """Return the occurrences of these ids, newest or not."""
        query = WITH_ROWS.where(occurrence.c.occurrence_id.in_(sorted(occurrence_ids)))
        return [_occurrence_row(row) for row in self._all(query)]

    def raised_of(self, alarm_ids: Collection[str]) -> list[OccurrenceRow]:
        """Return the raised recorded occurrences of alarms."""
        return self._latest(occurrence.c.alarm_id.in_(sorted(alarm_ids)), occurrence.c.raised, limit=MANY)

    def rows_of(self, alarm_ids: Collection[str]) -> list[OccurrenceRow]:
        """Return Aodh's rows of alarms, each as an occurrence that eventalarm did not raise."""
        found = self._all(sa.select(*ROW_COLUMNS).where(alarm.c.alarm_id.in_(sorted(alarm_ids))))
        return [OccurrenceRow(None, _alarm_of(row), foreign=True) for row in found]

    def row(self, alarm_id: str) -> Document | None:
        """Return Aodh's row of an alarm, or None."""
        found = self._all(sa.select(*ROW_COLUMNS).where(alarm.c.alarm_id == alarm_id))
        # Collations may ignore case or trailing blanks; ids must match exactly (G5).
        return next((_alarm_of(row) for row in found if row.row_alarm_id == alarm_id), None)


def _alarm_of(row: Sequence[Any]) -> Document | None:
    """Return the alarm of a row of ROW_COLUMNS, None when there is none."""
    return dict(zip(ALARM_NAMES, row, strict=True)) if row[0] is not None else None


def _occurrence_row(row: Any) -> OccurrenceRow:
    """Return the occurrence of a row of OCCURRENCES."""
    *values, known = row
    alarm_at = len(OCCURRENCE_COLUMNS)
    found = _alarm_of(values[alarm_at:])
    foreign = found is not None and found["state"] == ALARM and not known
    return OccurrenceRow(Occurrence(*values[:alarm_at]), found, foreign=foreign)
