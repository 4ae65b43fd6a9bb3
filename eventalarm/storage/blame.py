"""Is it the database, or what it was given? For failures that are not plain refusals of a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.exceptions import Retryable
from eventalarm.storage.database import Database
from eventalarm.storage.tables import worker

# What MySQL and MariaDB say to a packet, a row or a result that is too large; the first two are also those of
# a connection that broke for any other reason.
MYSQL_CODES: Final = frozenset({2006, 2013, 1118, 1153, 1301})
# PostgreSQL: out of memory, and every kind of exceeded limit.
POSTGRESQL_CODES: Final = ("53200", "54")

# Writes nothing, but is refused where nothing can be written.
_TRY: Final = sa.update(worker).where(worker.c.worker_id == "").values(host=worker.c.host)


def answers(database: Database) -> bool:
    """Return True if the database takes a small write now."""
    try:
        with database.begin() as connection:
            connection.execute(_TRY)
    except Retryable:
        return False
    return True


def may_be_content(error: BaseException) -> bool:
    """Return True if what the database was given can have caused *error*, such as its size.

    Only together with a database that answers: a broken connection is among them. Locks, missing tables,
    full disks and servers that are read-only are not.
    """
    for one in _causes(error):
        if isinstance(one, db_exception.DBConnectionError | ConnectionError):
            return True
        arguments = getattr(one, "args", ())
        if arguments and arguments[0] in MYSQL_CODES:
            return True
        code = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if isinstance(code, str) and code.startswith(POSTGRESQL_CODES):
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it wraps, as Python, oslo.db and SQLAlchemy each do."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, getattr(one, "inner_exception", None), getattr(one, "orig", None)]
