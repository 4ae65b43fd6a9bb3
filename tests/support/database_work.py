"""What a database did for a task, counted instead of timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from eventalarm.storage.database import Database


def work_of(database: Database, task: Callable[[], object]) -> int:
    """Return the work of *task*, which uses the connections of *database*.

    On MariaDB that is the number of rows that the storage engine was asked for, on SQLite the number of
    operations that it made. PostgreSQL counts only once a transaction has ended, some time later.
    """
    return _machine_work(database, task) if database.dialect == "sqlite" else _rows_read(database, task)


def _rows_read(database: Database, task: Callable[[], object]) -> int:
    before = _handler_reads(database)
    task()
    return _handler_reads(database) - before


def _handler_reads(database: Database) -> int:
    total = 0
    for open_one in (database.read, database.begin):
        with open_one() as connection:
            shown = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
            total += sum(int(value) for _, value in shown)
    return total


def _machine_work(database: Database, task: Callable[[], object]) -> int:
    made = 0

    def count() -> int:
        nonlocal made
        made += 1
        return 0

    def watch(connection: Any, *_others: object) -> None:
        connection.set_progress_handler(count, 1)

    def unwatch(connection: Any, *_others: object) -> None:
        connection.set_progress_handler(None, 1)

    sa.event.listen(database.engine, "checkout", watch)
    sa.event.listen(database.engine, "checkin", unwatch)
    try:
        task()
    finally:
        sa.event.remove(database.engine, "checkout", watch)
        sa.event.remove(database.engine, "checkin", unwatch)
    return made
