"""Alarms that eventalarm inserts itself: the canary's, and the one of a rehearsal that is rolled back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import DeliveryState, JSONDict
from eventalarm.storage.database import Database, Within
from eventalarm.storage.tables import alarm, alarm_history, delivery, occurrence, transition

JSON_COLUMNS: Final = frozenset(
    {"ok_actions", "alarm_actions", "insufficient_data_actions", "rule", "time_constraints"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class CanaryDelivery:
    """The delivery of a canary; ``error`` is that of the last attempt, empty if there is none."""

    state: DeliveryState
    attempts: int
    error: str


def insert_alarm(database: Database, values: JSONDict) -> None:
    """Create an alarm with *values* by column; its timestamps are the database's clock.

    The columns of Aodh's table differ between releases: values of missing columns are ignored.
    """
    now = database.now().replace(tzinfo=None)
    row = {name: json.dumps(value) if name in JSON_COLUMNS else value for name, value in values.items()}
    row |= {"timestamp": now, "state_timestamp": now, "evaluate_timestamp": now}
    with database.begin() as connection:
        real = sa.Table("alarm", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(real), {name: value for name, value in row.items() if name in real.c})


def remove_alarm(database: Database, alarm_id: str) -> None:
    """Remove an alarm with its history, occurrences, transitions and deliveries."""
    with database.begin() as connection:
        # Locked first, as a listener does before it fires the alarm: nothing is written afterwards.
        row = sa.select(alarm.c.alarm_id).where(alarm.c.alarm_id == alarm_id)
        connection.execute(row.with_for_update()).all()
        for table in (delivery, transition, occurrence, alarm_history, alarm):
            connection.execute(sa.delete(table).where(table.c.alarm_id == alarm_id))


def left_behind(database: Database, project_id: str, prefix: str, age: datetime.timedelta) -> list[str]:
    """Return the alarms of a project whose id begins with *prefix* and that are older than *age*."""
    query = sa.select(alarm.c.alarm_id).where(
        alarm.c.alarm_id.startswith(prefix, autoescape=True),
        alarm.c.project_id == project_id,
        alarm.c.timestamp < database.now() - age,
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def delivery_of(database: Database, alarm_id: str) -> CanaryDelivery | None:
    """Return the delivery of an alarm that calls one action; None if nothing was enqueued."""
    columns = (delivery.c.state, delivery.c.attempts, delivery.c.error)
    with database.read() as connection:
        row: Any = connection.execute(sa.select(*columns).where(delivery.c.alarm_id == alarm_id)).first()
    return None if row is None else CanaryDelivery(DeliveryState(row.state), row.attempts, row.error or "")


class _Within(Within):
    """The open transaction, with the clock of the *database* it belongs to."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self.__dict__.update(database.__dict__)
        self._open = connection


@contextlib.contextmanager
def with_alarm(database: Database, values: JSONDict) -> Iterator[Database]:
    """Open a transaction, insert an alarm with *values* by column and yield a view of the transaction.

    The alarm's timestamps are the database's clock. The transaction is committed at the end and rolled back
    on any error. The lock timeout is one second: a rehearsal must not delay the start of a process.
    """
    now = database.about_now()
    row = {**values, "timestamp": now, "state_timestamp": now}
    with database.begin() as connection, _short_lock_timeout(connection):
        connection.execute(alarm.insert(), row)
        yield _Within(database, connection)


@contextlib.contextmanager
def _short_lock_timeout(connection: sa.Connection) -> Iterator[None]:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    names = ("lock_wait_timeout", "innodb_lock_wait_timeout")
    before = connection.exec_driver_sql(f"SELECT {', '.join(f'@@{name}' for name in names)}").one()
    connection.exec_driver_sql(f"SET {', '.join(f'{name} = 1' for name in names)}")
    try:
        yield
    finally:
        old = ", ".join(f"{name} = {value}" for name, value in zip(names, before, strict=True))
        connection.exec_driver_sql(f"SET {old}")
