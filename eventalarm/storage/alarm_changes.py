"""Which alarm definitions changed, without reading again what an earlier look has read.

Every look reaches back over a window (option ``definitions_overlap``), since changes are committed late and
by hosts whose clocks are behind. The window holds thousands of alarms where many are edited. So only those of
its last moments are read; of the rest the database returns a sum, and more is read if that is not the sum of
what was read before. One statement does both: between two, an edit could move an alarm from the part that is
read second to the part that was read first, and nobody would see it (guarantee G3).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.change_window import ChangeWindow, Look, Mark
from eventalarm.model import EPOCH, DefinitionChange
from eventalarm.storage.clock import utc_now
from eventalarm.storage.tables import alarm

SPAN: Final = datetime.timedelta(milliseconds=100)

# How far back before the look before alarms are read, in spans; each is tried if the one before missed some.
# A change is mostly committed within milliseconds of the moment that it carries.
REACHES: Final = (1, 15)

# A window with fewer alarms is read whole: that costs less than a sum.
FEW: Final = 50

# The id decides too: two alarms that exchange their times must not leave the sum as it was. Its factor is
# never zero: a mark must tell an alarm's times apart.
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
# SQLite can make no number of an id. It serves one machine, whose alarms are few: its window is read whole.
_READ_WHOLE: Final = {
    dialect: sa.union_all(_since_boundary(mark), _clock(dialect))
    for dialect, mark in {**_MARK, "sqlite": "CAST(substr(alarm.timestamp, 21) AS INTEGER)"}.items()
}
_READ_AND_SUM: Final = {
    dialect: sa.union_all(_since_boundary(mark), _sum_before(dialect, mark))
    for dialect, mark in _MARK.items()
}


def look(
    connection: sa.Connection,
    moment: datetime.datetime,
    looked_at: datetime.datetime,
    window: ChangeWindow | None,
    *,
    few: int = FEW,
) -> Look:
    """Return what changed at or after *moment* and is not in *window*, the one of the look at *looked_at*.

    Some from up to ``SPAN`` before *moment* may be among it. *window* is updated; after an error it must not
    be used again.
    """
    first = _span(moment)
    dialect = connection.dialect.name
    if window is None:
        window = ChangeWindow()
    window.leave(first)
    found: list[DefinitionChange] = []
    if len(window) > few and dialect in _READ_AND_SUM:
        for reach in REACHES:
            boundary = max(first, _span(looked_at) - reach)
            given = {"first": EPOCH + first * SPAN, "boundary": EPOCH + boundary * SPAN}
            rows, last = _read(connection, _READ_AND_SUM[dialect], given)
            found += _news(window, boundary, rows)
            if window.total(boundary) == int(last.mark or 0):
                return Look(found, window, last.timestamp)
    rows, last = _read(connection, _READ_WHOLE[dialect], {"boundary": EPOCH + first * SPAN})
    return Look(found + _news(window, first, rows), window, last.timestamp)


def _read(
    connection: sa.Connection, statement: sa.CompoundSelect[Any], given: Mapping[str, Any]
) -> tuple[list[Any], Any]:
    """Return the rows of alarms, and the one without an id."""
    rows = connection.execute(statement, given).all()
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
