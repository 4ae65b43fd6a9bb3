"""Finds which of Aodh's alarm definitions changed since an earlier look.

What an earlier look has read is not read again. Every look reaches back over a window (option
``definitions_overlap``), since changes are committed late and by hosts whose clocks are behind. The window
holds thousands of alarms where many are edited. So only those of its last moments are read; for the rest the
database returns a sum, and more is read if that differs from the sum of what was read before. One statement
does both: between two statements, an edit could move an alarm from the part that is read second to the part
that was read first, and no look would find it (guarantee G3).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import EPOCH, DefinitionChange
from eventalarm.storage.change_window import ChangeWindow, Look, Mark
from eventalarm.storage.clock import utc_now
from eventalarm.storage.tables import alarm

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
