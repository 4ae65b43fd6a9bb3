"""Sends the statements of a transaction together, so that a transaction takes two round trips.

Within a pipeline a statement is not sent when it is executed, but when a result is read or the transaction is
committed, together with all that were executed before. So a transaction that reads what it needs, decides and
writes takes two round trips, however many statements that is: one for the results, and one for the commit.
What the database does is the same: it executes the statements in their order, each sees what was committed
before it, and those behind one that fails are not executed, the commit included. The error is raised where
the results are waited for: by the first read, or by the commit.

SQLAlchemy makes every statement and the drivers put in the values, as without a pipeline. MySQL and MariaDB
receive the statements as one query (``multi_statements``), PostgreSQL in its pipeline mode. SQLite has no
distance, and poolers such as pgbouncer share sessions by the statement: both work without.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine.cursor import CursorFetchStrategy

from eventalarm.storage.multi_statements import OPEN, MultiStatements, waiting_cursor

PSYCOPG: Final = "psycopg"
# PostgreSQL's type of a Float column; SQLAlchemy reads no other type from the result.
FLOAT8: Final = 701
MYSQLCLIENT: Final = "mysqldb"
MYSQL_DRIVERS: Final = ("pymysql", MYSQLCLIENT)


class PipelineMode:
    """A transaction in the pipeline mode of a psycopg connection, which is in autocommit mode.

    psycopg would wait for the answer to a BEGIN of its own.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._mode = connection.pipeline()
        self._pipeline = self._mode.__enter__()

    def send(self) -> None:
        """Send what waits, and receive all rows; the first error of a statement is raised.

        The server then awaits a new request, and so ends a session that stays idle in its transaction. A
        mere flush would leave it in the middle of a request, for which it waits without a limit.
        """
        self._pipeline.sync()

    def commit(self) -> None:
        """Send what waits and commit; raise the error of the first statement that failed."""
        with self._connection.cursor() as cursor:
            cursor.execute("COMMIT")
        self._mode.__exit__(None, None, None)

    def rollback(self) -> None:
        """Roll back, without raising what failed before."""
        with contextlib.suppress(self._connection.Error):
            self._mode.__exit__(None, None, None)
        self._connection.rollback()


class _SendingCursor:
    """What :func:`_sending_cursor` adds to the cursor of psycopg: a read sends the pipeline."""

    connection: Any
    pgresult: Any

    @property
    def _driver(self) -> Any:
        """The methods of the driver's own cursor, once its rows have arrived."""
        pipeline = getattr(self.connection, OPEN, None)
        if pipeline is not None and self.pgresult is None:
            pipeline.send()
        return super()

    def fetchall(self) -> Any:
        """Return the remaining rows."""
        return self._driver.fetchall()

    def fetchmany(self, size: int = 0) -> Any:
        """Return up to *size* rows."""
        return self._driver.fetchmany(size)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._driver.fetchone()


@functools.cache
def _sending_cursor(base: type) -> type:
    return type("SendingCursor", (_SendingCursor, base), {})


class _Awaited(CursorFetchStrategy):
    """Rows that have not arrived yet; their columns are those of the statement."""

    __slots__ = ("alternate_cursor_description",)

    def __init__(self, columns: Iterable[sa.ColumnElement[Any]]) -> None:
        codes = [(str(one.key), FLOAT8 if isinstance(one.type, sa.Float) else None) for one in columns]
        described: list[Any] = [(*code, None, None, None, None, None) for code in codes]
        self.alternate_cursor_description = described


def prepare(engine: sa.Engine) -> bool:
    """Make connections that *engine* opens from now on able to have pipelines; return False if it cannot."""
    driver = engine.dialect.driver
    if driver in MYSQL_DRIVERS:
        sa.event.listen(engine, "do_connect", _allow_multi_statements)
    elif driver != PSYCOPG or not engine.dialect.loaded_dbapi.Pipeline.is_supported():
        return False
    else:
        # psycopg would send a statement for each row, and wait for what was sent before.
        engine.dialect.use_insertmanyvalues_wo_returning = True
        sa.event.listen(engine, "do_connect", _send_when_read)
    sa.event.listen(engine, "before_cursor_execute", _describe)
    _end_with_the_transaction(engine.dialect)
    return True


def refuse(engine: sa.Engine) -> None:
    """Have the server refuse several statements in one query on connections that *engine* opens from now on.

    It does by default, but mysqlclient would allow them.
    """
    if engine.dialect.driver == MYSQLCLIENT:
        sa.event.listen(engine, "do_connect", _forbid_multi_statements)


def _forbid_multi_statements(
    _dialect: sa.Dialect, _record: object, _arguments: object, options: dict[str, Any]
) -> None:
    options["multi_statements"] = False


def _allow_multi_statements(
    dialect: sa.Dialect, _record: object, _arguments: object, options: dict[str, Any]
) -> None:
    driver = dialect.loaded_dbapi.__name__
    flags: Any = importlib.import_module(f"{driver}.constants.CLIENT")
    cursors: Any = importlib.import_module(f"{driver}.cursors")
    options["client_flag"] = options.get("client_flag", 0) | flags.MULTI_STATEMENTS
    options["cursorclass"] = waiting_cursor(cursors.Cursor)


def _send_when_read(
    dialect: sa.Dialect, _record: object, _arguments: object, options: dict[str, Any]
) -> None:
    driver: Any = dialect.loaded_dbapi
    options["cursor_factory"] = _sending_cursor(driver.Cursor)


def _describe(
    _connection: object, cursor: Any, _statement: str, _values: object, context: Any, _many: bool
) -> None:
    """Give a statement in a pipeline the columns of its result, which the driver does not know yet."""
    statement = context.compiled.statement if context.compiled is not None else None
    if getattr(cursor.connection, OPEN, None) is not None and isinstance(statement, sa.SelectBase):
        context.cursor_fetch_strategy = _Awaited(statement.exported_columns)


def _end_with_the_transaction(dialect: Any) -> None:
    """Have SQLAlchemy's commit and rollback end the pipeline, whose errors are then handled as theirs."""
    commit, rollback = dialect.do_commit, dialect.do_rollback

    def do_commit(connection: Any) -> None:
        pipeline = _closed(connection)
        if pipeline is None:
            commit(connection)
        else:
            pipeline.commit()

    def do_rollback(connection: Any) -> None:
        pipeline = _closed(connection)
        if pipeline is None:
            rollback(connection)
        else:
            pipeline.rollback()

    dialect.do_commit, dialect.do_rollback = do_commit, do_rollback


def _closed(connection: Any) -> Any:
    """Return the pipeline of a connection, if it has one, after removing it from there."""
    # The pool wraps the driver's connection when it resets it.
    session = getattr(connection, "dbapi_connection", connection)
    pipeline = getattr(session, OPEN, None)
    if pipeline is not None:
        # mysqlclient cannot delete it.
        setattr(session, OPEN, None)
    return pipeline


@contextlib.contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """Begin a transaction in a pipeline; it is committed at the end and rolled back on any error."""
    with connection.begin():
        session: Any = connection.connection.dbapi_connection
        try:
            if connection.dialect.driver == PSYCOPG:
                setattr(session, OPEN, PipelineMode(session))
                connection.exec_driver_sql("BEGIN")
            else:
                setattr(session, OPEN, MultiStatements(session))
            yield
        except BaseException:
            if connection.invalidated:
                _closed(session)
            raise
