"""The rows of timers: changed while their alarm is locked; due timers are read without a lock."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import JSONDict, Timer, TimerKind
from eventalarm.storage.alarms import NEVER
from eventalarm.storage.column_types import in_chunks, upserts
from eventalarm.storage.database import Database
from eventalarm.storage.events import event_json
from eventalarm.storage.tables import alarm, occurrence, timer

PAGE: Final = 1000

# Built once: they are sent with every batch of an alarm with timers.
_IDS: Final[Any] = sa.bindparam("ids", expanding=True)
READ: Final = sa.select(timer).where(timer.c.timer_id.in_(_IDS))
DROP: Final = timer.delete().where(timer.c.timer_id.in_(_IDS))
PUT: Final = upserts(timer, key="timer_id")
DUE: Final = (
    sa.select(timer)
    .where(timer.c.due_at <= sa.bindparam("until", type_=timer.c.due_at.type))
    .order_by(timer.c.due_at)
    .limit(sa.bindparam("limit"))
)


class AskedTimers:
    """Timers that are asked for now and read later: in a pipeline, with what else is asked meanwhile."""

    def __init__(self, connection: sa.Connection, timer_ids: Collection[str]) -> None:
        self._connection = connection
        self._asked = frozenset(timer_ids)
        self._results = _ask(connection, timer_ids)

    def read(self, timer_ids: Collection[str]) -> list[Timer]:
        """Return the existing timers of *timer_ids*; those that were not asked for cost another trip."""
        if not self._asked.issuperset(timer_ids):
            return read(self._connection, timer_ids)
        wanted = frozenset(timer_ids)
        return [_timer(row) for result in self._results for row in result if row.timer_id in wanted]


def _ask(connection: sa.Connection, timer_ids: Collection[str]) -> list[sa.Result[Any]]:
    return [connection.execute(READ, {"ids": chunk}) for chunk in in_chunks(timer_ids)]


def read(connection: sa.Connection, timer_ids: Collection[str]) -> list[Timer]:
    """Return the existing timers of *timer_ids*."""
    return [_timer(row) for result in _ask(connection, timer_ids) for row in result]


def of_alarms(connection: sa.Connection, alarm_ids: Collection[str]) -> list[Timer]:
    """Return all timers of *alarm_ids*."""
    found: list[Timer] = []
    for chunk in in_chunks(alarm_ids):
        query = sa.select(timer).where(timer.c.alarm_id.in_(chunk))
        found.extend(map(_timer, connection.execute(query)))
    return found


class Raised(NamedTuple):
    """An alarm and a managed object on which it is raised."""

    alarm_id: str
    managed_object: str


def raised_objects(connection: sa.Connection, alarm_ids: Collection[str]) -> set[Raised]:
    """Return the managed objects on which *alarm_ids* are raised."""
    found: set[Raised] = set()
    columns = (occurrence.c.alarm_id, occurrence.c.managed_object)
    for chunk in in_chunks(alarm_ids):
        query = sa.select(*columns).where(occurrence.c.alarm_id.in_(chunk), occurrence.c.raised)
        found.update(Raised(*row) for row in connection.execute(query))
    return found


def put(connection: sa.Connection, timers: Iterable[Timer]) -> None:
    """Insert or replace timers."""
    rows = sorted((_row(one) for one in timers), key=lambda row: str(row["timer_id"]))
    if rows:
        connection.execute(PUT[connection.dialect.name], rows)


def drop(connection: sa.Connection, timer_ids: Collection[str]) -> None:
    """Delete timers."""
    for chunk in in_chunks(timer_ids):
        connection.execute(DROP, {"ids": chunk})


class TimerReader:
    """Reads timers without locks; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, until: datetime.datetime, limit: int) -> list[Timer]:
        """Return up to *limit* timers that are due by *until*, the earliest first."""
        with self._database.read() as connection:
            return [_timer(row) for row in connection.execute(DUE, {"until": until, "limit": limit})]

    def changed(self, alarm_type: str, since: datetime.datetime) -> list[tuple[str, datetime.datetime]]:
        """Return the alarms of a type that were created or edited since *since*, with their version."""
        query = sa.select(alarm.c.alarm_id, alarm.c.timestamp).where(
            alarm.c.timestamp >= since, alarm.c.type == alarm_type
        )
        with self._database.read() as connection:
            return [(row[0], row[1] or NEVER) for row in connection.execute(query)]

    def unwatched(self, alarm_type: str, word: str, after: str) -> list[str]:
        """Return a page of enabled alarms whose rule contains *word*, without a timer of their version.

        Ordered by id, after the id *after*; fewer than ``PAGE`` means that these are the last.
        """
        armed = sa.exists().where(timer.c.alarm_id == alarm.c.alarm_id, timer.c.version == alarm.c.timestamp)
        spelled = sa.type_coerce(alarm.c.rule, sa.Text).contains(f'"{word}"', autoescape=True)
        query = (
            sa.select(alarm.c.alarm_id)
            .where(alarm.c.alarm_id > after, alarm.c.type == alarm_type, alarm.c.enabled, spelled, ~armed)
            .order_by(alarm.c.alarm_id)
            .limit(PAGE)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())


def _timer(row: Any) -> Timer:
    return Timer(
        alarm_id=row.alarm_id,
        managed_object=row.managed_object,
        kind=TimerKind(row.kind),
        version=row.version or NEVER,
        armed_at=row.armed_at,
        due_at=row.due_at,
        event=_event(row.event),
    )


def _event(said: str | None) -> JSONDict | None:
    try:
        found = json.loads(said) if said else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _row(one: Timer) -> JSONDict:
    return {
        "timer_id": one.timer_id,
        "alarm_id": one.alarm_id,
        "managed_object": one.managed_object,
        "kind": one.kind.value,
        "version": one.version,
        "armed_at": one.armed_at,
        "due_at": one.due_at,
        "event": event_json(one.event) if one.event is not None else None,
    }
