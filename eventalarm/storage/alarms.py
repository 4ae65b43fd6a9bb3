"""Reads of Aodh's alarm definitions: by project, by id, and what changed since an earlier look.

Which definitions changed is found without reading again what an earlier look has read. Every look reaches
back over a window (option ``definitions_overlap``), since changes are committed late and by hosts whose
clocks are behind. The window holds thousands of alarms where many are edited. So only those of its last
moments are read; for the rest the database returns a sum, and more is read if that differs from the sum of
what was read before. One statement does both: between two statements, an edit could move an alarm from the
part that is read second to the part that was read first, and no look would find it (guarantee G3).
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import ALARM, EPOCH, OK, UNKNOWN, Alarm, AlarmDefinition, DefinitionChange
from eventalarm.storage.change_window import ChangeWindow, Look, Mark
from eventalarm.storage.clock import utc_now
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.tables import alarm

DEFINITION_COLUMNS: Final = (
    alarm.c.alarm_id,
    alarm.c.project_id,
    alarm.c.type,
    alarm.c.timestamp,
    alarm.c.rule,
    alarm.c.ok_actions,
)
ROW_COLUMNS: Final = (
    *DEFINITION_COLUMNS,
    alarm.c.enabled,
    alarm.c.name,
    alarm.c.severity,
    alarm.c.state,
    alarm.c.repeat_actions,
    alarm.c.alarm_actions,
    alarm.c.insufficient_data_actions,
    alarm.c.time_constraints,
)
# Built once: where many alarms are edited, it is sent with every batch.
OF_ALARMS: Final = sa.select(*DEFINITION_COLUMNS).where(
    alarm.c.enabled,
    alarm.c.type.in_(sa.bindparam("types", expanding=True)),
    alarm.c.alarm_id.in_(sa.bindparam("alarm_ids", expanding=True)),
)
NEVER: Final = EPOCH

SPAN: Final = datetime.timedelta(milliseconds=100)

# How far before the previous look alarms are read, in spans; the next value is tried if alarms are missing.
# Most changes are committed within milliseconds of their timestamp.
REACHES: Final = (1, 15)

# A window with fewer alarms is read whole: that costs less than a sum.
FEW: Final = 50

# The id is part of it: two alarms that exchange their times must change the sum. Its factor is never zero:
# different times of one alarm must have different marks.
_MARK: Final = {
    "mysql": "(CRC32(alarm.alarm_id) * 2 + 1)"
    " * (MICROSECOND(alarm.timestamp) + SECOND(alarm.timestamp) * 1000000 + 1)",
    "postgresql": "(CAST(hashtext(alarm.alarm_id) AS bigint) * 2 + 1)"
    " * (CAST(extract(microseconds FROM alarm.timestamp) AS bigint) + 1)",
}
_MARK["mariadb"] = _MARK["mysql"]

_FIRST: Final = sa.bindparam("first", type_=alarm.c.timestamp.type)
_BOUNDARY: Final = sa.bindparam("boundary", type_=alarm.c.timestamp.type)


def _same_project(project_id: str) -> sa.ColumnElement[bool]:
    same: sa.ColumnElement[bool] = alarm.c.project_id == project_id
    return same if project_id else sa.or_(same, alarm.c.project_id.is_(None))


def _actions(value: Any) -> tuple[str, ...]:
    return tuple(a for a in value if isinstance(a, str)) if isinstance(value, list) else ()


def to_definition(row: Any) -> AlarmDefinition:
    """Return the definition of a row of DEFINITION_COLUMNS; NULL becomes the empty value of its type."""
    return AlarmDefinition(
        alarm_id=row.alarm_id,
        project_id=row.project_id or "",
        type=row.type or "",
        version=row.timestamp or NEVER,
        rule=row.rule if isinstance(row.rule, dict) else {},
        has_ok_actions=bool(_actions(row.ok_actions)),
    )


def to_alarm(row: Any) -> Alarm:
    """Return the alarm of a row of ROW_COLUMNS."""
    constraints = row.time_constraints if isinstance(row.time_constraints, list) else []
    return Alarm(
        definition=to_definition(row),
        enabled=bool(row.enabled),
        name=row.name or "",
        severity=row.severity,
        state=row.state or UNKNOWN,
        repeat_actions=bool(row.repeat_actions),
        actions={
            OK: _actions(row.ok_actions),
            ALARM: _actions(row.alarm_actions),
            UNKNOWN: _actions(row.insufficient_data_actions),
        },
        time_constraints=tuple(c for c in constraints if isinstance(c, dict)),
    )


def read_alarm(database: Database, alarm_id: str) -> Alarm | None:
    """Return the alarm of exactly this id as it is now, or None; takes no lock."""
    with database.read() as connection:
        row = connection.execute(sa.select(*ROW_COLUMNS).where(alarm.c.alarm_id == alarm_id)).first()
    # Collations may fold case.
    return to_alarm(row) if row is not None and row.alarm_id == alarm_id else None


class AlarmReader:
    """Reads definitions of the given alarm *types*; takes no locks.

    :param reload_interval: seconds after which every definition is read again, regardless of its timestamp.
    """

    def __init__(self, database: Database, types: Sequence[str], reload_interval: float = 3600.0) -> None:
        self._database = database
        self._types = tuple(types)
        self._reload_interval = reload_interval

    def now(self) -> datetime.datetime:
        """Return the database's clock, or what it would show without its steps since the last full reload.

        The earlier of the two: the clocks of the hosts that write the timestamps of definitions were not
        stepped, and a look that begins too late misses an alarm (G3).
        """
        return self._database.earliest_now(self._reload_interval)

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Return the alarms whose definition changed at or after *moment* and that are not in *window*."""
        with self._database.read() as connection:
            return self.look(connection, moment, looked_at, window)()

    def look(
        self,
        connection: sa.Connection,
        moment: datetime.datetime,
        looked_at: datetime.datetime,
        window: ChangeWindow | None,
    ) -> Callable[[], Look]:
        """Return the function that returns what :meth:`changed_since` returns; it is asked for now."""
        asked_at = time.monotonic()
        finish = look_for_changes(connection, moment, looked_at, window)

        def read() -> Look:
            found = finish()
            if found.now is not None:
                self._database.clock.observe(found.now, asked_at)
            return found

        return read

    def _enabled(self) -> sa.Select[Any]:
        return sa.select(*DEFINITION_COLUMNS).where(alarm.c.enabled, alarm.c.type.in_(self._types))

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        """Return the enabled alarms of a project."""
        with self._database.read() as connection:
            rows = connection.execute(self._enabled().where(_same_project(project_id))).all()
        # Collations may fold case or trailing spaces; projects must match exactly (G5).
        return [d for d in map(to_definition, rows) if d.project_id == project_id]

    def of_projects(
        self, project_ids: Sequence[str], limit: int
    ) -> Mapping[str, list[AlarmDefinition]] | None:
        """Return the enabled alarms of each project, or None if all have more than *limit* together.

        :param project_ids: not empty strings, and few enough for one statement.
        """
        query = self._enabled().where(alarm.c.project_id.in_(project_ids)).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        if len(rows) > limit:
            return None
        found: dict[str, list[AlarmDefinition]] = {project_id: [] for project_id in project_ids}
        for one in map(to_definition, rows):
            # As in of_project: the database may find projects whose ids differ in case.
            if one.project_id in found:
                found[one.project_id].append(one)
        return found

    def has_more_than(self, project_id: str, number: int) -> bool:
        """Return True if a project has more than *number* enabled alarms."""
        one = self._enabled().with_only_columns(sa.literal(1)).where(_same_project(project_id))
        with self._database.read() as connection:
            return connection.execute(one.offset(number).limit(1)).first() is not None

    def crowded_projects(self, number: int) -> Sequence[tuple[str, int]]:
        """Return the projects with more than *number* enabled alarms and their numbers, the largest first."""
        counted = sa.func.count().label("counted")
        many = (
            self._enabled()
            .with_only_columns(alarm.c.project_id, counted)
            .group_by(alarm.c.project_id)
            .having(counted > number)
            .order_by(counted.desc())
        )
        with self._database.read() as connection:
            return [(row.project_id or "", row.counted) for row in connection.execute(many)]

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        """Return the definitions of *alarm_ids* that are enabled and of the reader's types."""
        found: list[AlarmDefinition] = []
        with self._database.read() as connection:
            for chunk in in_chunks(alarm_ids):
                rows = connection.execute(OF_ALARMS, {"types": self._types, "alarm_ids": chunk})
                found.extend(map(to_definition, rows))
        return found


def _since_boundary(mark: str) -> sa.Select[Any]:
    columns = (alarm.c.alarm_id, alarm.c.project_id, alarm.c.timestamp)
    return sa.select(*columns, sa.literal_column(mark).label("mark")).where(alarm.c.timestamp >= _BOUNDARY)


def _present(dialect: str) -> sa.ColumnElement[Any]:
    return sa.literal_column(utc_now(dialect), alarm.c.timestamp.type)


def _clock(dialect: str) -> sa.Select[Any]:
    return sa.select(sa.null(), sa.null(), _present(dialect), sa.null())


def _sum_before(dialect: str, mark: str) -> sa.Select[Any]:
    total: sa.ColumnElement[Any] = sa.func.sum(sa.literal_column(mark))
    earlier = sa.and_(alarm.c.timestamp >= _FIRST, alarm.c.timestamp < _BOUNDARY)
    return sa.select(sa.null(), sa.null(), _present(dialect), total).where(earlier)


# Both end with a row without an id: the database's clock, and the sum.
# SQLite cannot hash an id. It serves one machine with few alarms: its window is always read whole.
_READ_WHOLE: Final = {
    dialect: sa.union_all(_since_boundary(mark), _clock(dialect))
    for dialect, mark in {**_MARK, "sqlite": "CAST(substr(alarm.timestamp, 21) AS INTEGER)"}.items()
}
_READ_AND_SUM: Final = {
    dialect: sa.union_all(_since_boundary(mark), _sum_before(dialect, mark))
    for dialect, mark in _MARK.items()
}


def look_for_changes(
    connection: sa.Connection,
    moment: datetime.datetime,
    looked_at: datetime.datetime,
    window: ChangeWindow | None,
    *,
    few: int = FEW,
) -> Callable[[], Look]:
    """Return the function that returns what changed at or after *moment* and is not in *window*.

    *window* is that of the look at *looked_at*. What is returned may contain changes from up to ``SPAN``
    before *moment*. *window* is updated; after an error it must not be used any more. The first statement is
    executed now, usually the only one.
    """
    first = _span(moment)
    window = ChangeWindow() if window is None else window
    window.leave(first)
    reads = list(_reads(connection.dialect.name, first, _span(looked_at), many=len(window) > few))
    found: list[DefinitionChange] = []
    result = _execute(connection, reads[0])

    def finish() -> Look:
        for number, read in enumerate(reads):
            rows, last = _divide(_execute(connection, read) if number else result)
            found.extend(_news(window, read.boundary, rows))
            if read.boundary == first or window.total(read.boundary) == int(last.mark or 0):
                break
        return Look(found, window, last.timestamp)

    return finish


class _Read(NamedTuple):
    """A read of what changed since the span *boundary*, with the sum of what changed since *first*."""

    statement: sa.CompoundSelect[Any]
    first: int
    boundary: int


def _reads(dialect: str, first: int, looked_at: int, *, many: bool) -> Iterator[_Read]:
    """Yield what to read, one after the other until nothing is missing; the last one reads everything."""
    if many and dialect in _READ_AND_SUM:
        for reach in REACHES:
            boundary = max(first, looked_at - reach)
            if boundary > first:
                yield _Read(_READ_AND_SUM[dialect], first, boundary)
    yield _Read(_READ_WHOLE[dialect], first, first)


def _execute(connection: sa.Connection, read: _Read) -> sa.Result[Any]:
    moments = {"first": EPOCH + read.first * SPAN, "boundary": EPOCH + read.boundary * SPAN}
    if read.first == read.boundary:
        del moments["first"]
    return connection.execute(read.statement, moments)


def _divide(result: sa.Result[Any]) -> tuple[list[Any], Any]:
    """Return the rows of alarms, and the row without an id."""
    rows = result.all()
    return [row for row in rows if row.alarm_id is not None], next(r for r in rows if r.alarm_id is None)


def _span(moment: datetime.datetime) -> int:
    return (moment - EPOCH) // SPAN


def _news(window: ChangeWindow, boundary: int, rows: Sequence[Any]) -> list[DefinitionChange]:
    marks = [Mark(row.alarm_id, _span(row.timestamp), int(row.mark)) for row in rows]
    news = window.replace(boundary, marks)
    return [
        DefinitionChange(row.alarm_id, row.project_id or "", row.timestamp)
        for row in rows
        if row.alarm_id in news
    ]
