"""Access to the database: one engine, its transactions, and errors classified as retryable or not."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import engines

from eventalarm.exceptions import Conflict, Locked, Retryable
from eventalarm.storage import clock, pipeline
from eventalarm.storage.connections import KeptConnection, leave_wrong_servers, probe_connections
from eventalarm.storage.errors import is_conflict, is_content_error, is_lock_timeout
from eventalarm.storage.session import DEFAULT_LIMITS, SessionLimits, Sessions
from eventalarm.storage.tables import worker

# Seconds after which the database's clock is read again.
ASK_AGAIN = 60.0

# The isolation level of each role's connections; None is the server's default. The gap locks of MySQL's
# default make unrelated listeners deadlock on inserts; row locks are enough.
ISOLATION: dict[str, str | None] = {
    "writer": None,
    "reader": "AUTOCOMMIT",
    "snapshot": "REPEATABLE READ",
    # Of PostgreSQL only: psycopg begins a transaction in a trip of its own, except in this mode.
    "pipeline": "AUTOCOMMIT",
}
ISOLATION_MYSQL: dict[str, str | None] = {"writer": "READ COMMITTED"}


# Changes no row, but is refused by a server that accepts no writes.
_TRY_WRITE: Final = sa.update(worker).where(worker.c.worker_id == "").values(host=worker.c.host)


class Database:
    """Transactions on one engine.

    ``begin`` and ``read`` raise :class:`eventalarm.exceptions.Retryable` when the database failed or
    another transaction won; the transaction is rolled back. Errors that the values caused (see
    :func:`is_content_error`) are raised unchanged. Safe to share between threads.

    A busy thread keeps its connections: taking one from the pool costs a ping and, on MySQL, a statement that
    sets the isolation level, which together take longer than the reads of a batch.
    """

    def __init__(
        self, engine: sa.Engine, sessions: Sessions | None = None, *, has_pipelines: bool = False
    ) -> None:
        self._sessions = sessions
        self._has_pipelines = has_pipelines
        self.dialect = engine.dialect.name
        self.engine = engine
        self._levels = ISOLATION | (ISOLATION_MYSQL if self.dialect in ("mysql", "mariadb") else {})
        self._era = itertools.count()
        self._lost = next(self._era)
        self._of_thread = threading.local()
        self._all: weakref.WeakSet[KeptConnection] = weakref.WeakSet()
        self.clock = clock.DatabaseClock(resolution=clock.RESOLUTIONS.get(self.dialect, 0.0))

    @property
    def pooled(self) -> bool:
        """Whether connections lead to a pooler such as pgbouncer, which shares sessions between clients."""
        return self._sessions is not None and self._sessions.pooled

    @property
    def has_pipelines(self) -> bool:
        """Whether :meth:`pipeline` sends statements together."""
        return self._has_pipelines and not self.pooled

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a write transaction; it is committed at the end and rolled back on any error."""
        with self._sorting_errors(), self._connection("writer") as connection, connection.begin():
            if self.dialect == "sqlite":
                # Take the write lock before the first read: SQLite has no row locks, and a read that is
                # upgraded later fails if another transaction wrote in between.
                connection.exec_driver_sql("UPDATE eventalarm_worker SET host = host WHERE 1 = 0")
            elif self._sessions is not None:
                self._sessions.begin(connection)
            yield connection

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[sa.Connection]:
        """Open a write transaction whose statements are sent together, see ``storage/pipeline.py``.

        Errors are raised late, and the number of changed rows is unknown. Where the database or the driver
        has no pipelines, this is :meth:`begin`.
        """
        if not self.has_pipelines:
            with self.begin() as connection:
                yield connection
            return
        role = "pipeline" if self.dialect == "postgresql" else "writer"
        with self._sorting_errors(), self._connection(role) as connection, pipeline.transaction(connection):
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a connection for short reads; every statement sees what was committed before it."""
        with self._sorting_errors():
            if self.dialect == "sqlite":
                with self.engine.connect() as connection:
                    yield connection
            else:
                with self._connection("reader") as connection:
                    yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Open a read transaction; every statement sees what was committed before the first one.

        Nothing may be written while it is open: on SQLite the writer would wait for the reader.
        """
        with self._sorting_errors():
            if self.dialect == "sqlite":
                with self.engine.connect() as connection:
                    yield connection
            else:
                with self._connection("snapshot") as connection, connection.begin():
                    yield connection

    @contextlib.contextmanager
    def _connection(self, role: str) -> Iterator[sa.Connection]:
        kept: KeptConnection | None = getattr(self._of_thread, role, None)
        if (
            kept is not None
            and not kept.is_fresh(self._lost)
            and (kept.is_old() or kept.connection.closed or not kept.serves(self._lost))
        ):
            kept.end()
            kept = None
        if kept is None:
            connection = self.engine.connect()
            if level := self._levels[role]:
                # Set on the connection: of two engines derived from each other, the level of the first one
                # wins.
                connection = connection.execution_options(isolation_level=level)
            kept = KeptConnection(connection, self._lost)
            self._all.add(kept)
        setattr(self._of_thread, role, None)
        try:
            yield kept.connection
        except BaseException:
            kept.close()
            raise
        kept.used_at = time.monotonic()
        setattr(self._of_thread, role, kept)

    def forget_kept(self) -> None:
        """Make every thread take its next connection from the pool: one to the same server was lost."""
        self._lost = next(self._era)

    def now(self) -> datetime.datetime:
        """Return the database's clock (aware UTC): the one clock that all processes share."""
        asked_at = time.monotonic()
        with self.read() as connection:
            moment = clock.ask(connection)
        self.clock.observe(moment, asked_at)
        return moment

    def about_now(self) -> datetime.datetime:
        """Return an estimate of the database's clock (aware UTC); it is read once a minute at most.

        :raises Retryable: if it had to be asked and failed.
        """
        return self._known().now() or self.now()

    def earliest_now(self, within: float) -> datetime.datetime:
        """Return the earliest time that the clock would show without its steps of the last *within* seconds.

        :raises Retryable: if the database had to be asked and failed.
        """
        return self._known().earliest(within) or self.now()

    def latest_now(self, within: float = clock.SET_BACK_WITHIN) -> datetime.datetime:
        """Return the estimated time as it would be if the clock had not been set back *within* seconds.

        :raises Retryable: if the database had to be asked and failed.
        """
        return self.about_now() + datetime.timedelta(seconds=self.clock.set_back(within))

    def _known(self) -> clock.DatabaseClock:
        age = self.clock.age()
        if age is None or age > ASK_AGAIN:
            self.now()
        return self.clock

    def takes_writes(self) -> bool:
        """Return True if the database accepts a small write now."""
        try:
            with self.begin() as connection:
                connection.execute(_TRY_WRITE)
        except Retryable:
            return False
        return True

    def leave(self) -> None:
        """Return the connections of the calling thread, which is about to end, to the pool."""
        for role in ISOLATION:
            kept: KeptConnection | None = getattr(self._of_thread, role, None)
            if kept is not None:
                setattr(self._of_thread, role, None)
                kept.end()

    def dispose(self) -> None:
        """Close every connection; no thread may be using one."""
        for kept in list(self._all):
            kept.close()
        self.engine.dispose()

    @contextlib.contextmanager
    def _sorting_errors(self) -> Iterator[None]:
        try:
            yield
        except (db_exception.DBError, sa.exc.SQLAlchemyError) as exc:
            if is_content_error(exc):
                raise
            kind = Locked if is_lock_timeout(exc) else Conflict if is_conflict(exc) else Retryable
            raise kind(f"the database failed: {str(exc).splitlines()[0][:300]}") from exc


class Within(Database):
    """A :class:`Database` within one open transaction: reads see its writes, and writes become part of it."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection.engine)
        self._open = connection

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Take part in the transaction; the code that opened it commits it."""
        yield self._open

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[sa.Connection]:
        """Take part in the transaction; the code that opened it commits it."""
        yield self._open

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Read in the transaction."""
        yield self._open

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Read in the transaction, whose isolation level decides what is seen."""
        yield self._open


def _with_every_character(url: str) -> sa.URL:
    """Return *url* with the character set of eventalarm's tables.

    Aodh's URL may contain ``charset=utf8``. On MySQL that is three bytes, and statements with a character of
    four bytes would fail.
    """
    made = sa.make_url(url)
    if made.get_backend_name() in ("mysql", "mariadb"):
        made = made.update_query_dict({"charset": "utf8mb4"})
    return made


def connect(
    url: str, *, limits: SessionLimits = DEFAULT_LIMITS, pipelines: bool = False, **options: Any
) -> Database:
    """Connect to Aodh's database *url*; *options* are those of oslo.db's ``create_engine``.

    With *pipelines* the statements of :meth:`Database.pipeline` are sent together, if the driver can.

    :raises Retryable: if the database does not answer.
    :raises sqlalchemy.exc.ArgumentError: if *url* is not a URL, or no installed driver supports it.
    """
    options.setdefault("max_retries", 0)
    options.setdefault("sqlite_fk", True)
    try:
        engine = engines.create_engine(_with_every_character(url), **options)
    except sa.exc.ArgumentError:
        raise
    except (db_exception.DBError, sa.exc.SQLAlchemyError) as exc:
        raise Retryable(f"the database does not answer: {str(exc).splitlines()[0][:300]}") from exc
    probe_connections(engine)
    sessions = Sessions(engine, limits, sync_wait=options.get("mysql_wsrep_sync_wait") is None)
    has_pipelines = pipelines and pipeline.prepare(engine)
    if not has_pipelines:
        pipeline.refuse(engine)
    database = Database(engine, sessions, has_pipelines=has_pipelines)
    leave_wrong_servers(engine, database.forget_kept)
    # The connection with which oslo.db tested the server was opened without these settings.
    engine.dispose()
    return database
