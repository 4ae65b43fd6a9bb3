"""A write transaction with an alarm that nobody else sees, for an evaluation that is rolled back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from eventalarm.model import JSONDict
from eventalarm.storage.database import Database, Within
from eventalarm.storage.tables import alarm


class _Within(Within):
    """The open transaction, with the clock of the *database* it belongs to."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self.__dict__.update(database.__dict__)
        self._open = connection


@contextlib.contextmanager
def with_alarm(database: Database, values: JSONDict) -> Iterator[Database]:
    """Open a transaction, insert an alarm with *values* by column and yield a view of the transaction.

    The alarm's times are those of the database's clock. The transaction is committed at the end and rolled
    back on any error. Locks are waited for one second at most: a rehearsal must not delay the start of a
    process.
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
