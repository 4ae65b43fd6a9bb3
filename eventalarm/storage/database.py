"""The way into the database: one engine, write transactions, and errors sorted into retryable or not."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import engines

from eventalarm.exceptions import Retryable
from eventalarm.model import UTC

# What a database says of the values it was given. Everything else (no connection, deadlock, a server that
# starts or stops, a missing grant or table) is trouble of the database's own, during which work is held.
CONTENT_ERRORS = (
    db_exception.DBDataError,
    db_exception.DBDuplicateEntry,
    db_exception.DBReferenceError,
    db_exception.DBConstraintError,
    db_exception.DBInvalidUnicodeParameter,
    sa.exc.DataError,
    sa.exc.IntegrityError,
)

NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch from clock_timestamp())",
}
NOW_MYSQL = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"


def is_content_error(error: BaseException) -> bool:
    """Tell whether *what* the database was given caused *error*, so that trying again cannot help."""
    if isinstance(error, CONTENT_ERRORS):
        return True
    return isinstance(error, sa.exc.StatementError) and not isinstance(error, sa.exc.DBAPIError)


class Database:
    """Transactions on one engine.

    ``begin`` and ``read`` raise :class:`eventalarm.exceptions.Retryable` when the database failed or
    another transaction won; whatever was done inside is rolled back. Errors that the values caused (see
    :func:`is_content_error`) pass through unchanged. Safe to share between threads.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a write transaction; commit at the end, roll back on any error."""
        with self._sorting_errors(), self.engine.begin() as connection:
            if self.dialect == "sqlite":
                # Take the write lock before the first read: SQLite has no row locks, and a read that is
                # upgraded later fails when another writer came between.
                connection.exec_driver_sql("UPDATE eventalarm_worker SET host = host WHERE 1 = 0")
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a short read; every read sees what was committed before it began."""
        with self._sorting_errors(), self.engine.connect() as connection:
            yield connection

    def now(self) -> datetime.datetime:
        """Return the database's clock (aware UTC): the one clock that all processes share."""
        with self.read() as connection:
            seconds = connection.exec_driver_sql(NOW.get(self.dialect, NOW_MYSQL)).scalar_one()
        return datetime.datetime.fromtimestamp(float(seconds), UTC)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _sorting_errors(self) -> Iterator[None]:
        try:
            yield
        except (db_exception.DBError, sa.exc.SQLAlchemyError) as exc:
            if is_content_error(exc):
                raise
            raise Retryable(f"the database failed: {str(exc).splitlines()[0][:300]}") from exc


def connect(url: str, **options: Any) -> Database:
    """Open *url* as Aodh names it; *options* are those of oslo.db's ``create_engine``.

    :raises Retryable: when the database does not answer.
    :raises sqlalchemy.exc.ArgumentError: when *url* is none, or of a kind that nothing installed can open.
    """
    options.setdefault("max_retries", 0)
    options.setdefault("sqlite_fk", True)
    try:
        engine = engines.create_engine(url, **options)
    except sa.exc.ArgumentError:
        raise
    except (db_exception.DBError, sa.exc.SQLAlchemyError) as exc:
        raise Retryable(f"the database does not answer: {str(exc).splitlines()[0][:300]}") from exc
    if engine.dialect.name in ("mysql", "mariadb"):
        # Gap locks of REPEATABLE READ make unrelated listeners deadlock on inserts; row locks are enough.
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    return Database(engine)
