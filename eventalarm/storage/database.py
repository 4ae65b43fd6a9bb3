"""The way into the database: one engine, write transactions, and errors sorted into retryable or not."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import engines

from eventalarm.exceptions import Conflict, Locked, Retryable
from eventalarm.storage import clock
from eventalarm.storage.failover import READ_ONLY_FROM_THE_START, leave_wrong_servers
from eventalarm.storage.keepalive import probe_connections
from eventalarm.storage.session import DEFAULT_LIMITS, SessionLimits, Sessions, code_of

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

VALUE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# A lock that was waited for in vain: PostgreSQL's state, MySQL's codes.
LOCK_WAIT_ENDED = frozenset({"55P03", 1205, 3572})

# Seconds of rest after which a kept connection is no longer trusted: the server is asked.
KEEP = 1.0

# Seconds after which the server is asked on a busy connection, and for its role too: for so long may one that
# became read-only be read from.
KEEP_UNASKED = 2.0

# Seconds after which a connection goes through the pool, which recycles those that are old.
KEEP_AT_MOST = 60.0

# Seconds for which our own clock carries on what the database's said.
ASK_AGAIN = 60.0

# The isolation level of each role's connections; None is the server's own. Gap locks of MySQL's default make
# unrelated listeners deadlock on inserts; row locks are enough.
ISOLATION: dict[str, str | None] = {"writer": None, "reader": "AUTOCOMMIT", "snapshot": "REPEATABLE READ"}
ISOLATION_MYSQL: dict[str, str | None] = {"writer": "READ COMMITTED"}


def is_content_error(error: BaseException) -> bool:
    """Tell whether *what* the database was given caused *error*, so that trying again cannot help."""
    if isinstance(error, CONTENT_ERRORS):
        return True
    if type(error) is db_exception.DBError:
        # oslo.db has no name for it. The driver has: the names of these classes are those of the DB-API.
        inner: Any = getattr(error, "inner_exception", None)
        names = {kind.__name__ for kind in type(inner).__mro__}
        by_name = not names.isdisjoint(("DataError", "IntegrityError"))
        return by_name or isinstance(inner, VALUE_ERRORS) or is_content_error(inner)
    return isinstance(error, sa.exc.StatementError) and not isinstance(error, sa.exc.DBAPIError)


def is_lock_timeout(error: BaseException) -> bool:
    """Return True if *error* says that somebody kept a lock for longer than we wait."""
    found: Any = error
    while isinstance(found, db_exception.DBError | sa.exc.DBAPIError):
        found = found.inner_exception if isinstance(found, db_exception.DBError) else found.orig
    return code_of(found) in LOCK_WAIT_ENDED


def is_conflict(error: BaseException) -> bool:
    """Return True if another transaction won, here or on another node of a cluster, so that the next may."""
    return isinstance(error, db_exception.DBDeadlock) and not is_lock_timeout(error)


class _Kept:
    """A connection that stays with its thread between uses; it goes back to the pool when the thread ends.

    ``era`` counts the lost connections of the engine before the server was last asked.
    """

    __slots__ = ("__weakref__", "asked_at", "connection", "era", "taken_at", "used_at")

    def __init__(self, connection: sa.Connection, era: int) -> None:
        self.connection = connection
        self.era = era
        self.taken_at = self.asked_at = self.used_at = time.monotonic()

    def is_fresh(self, era: int) -> bool:
        """Return True if the connection can be used without asking the server."""
        if self.era != era or self.connection.closed or self.connection.info.get(READ_ONLY_FROM_THE_START):
            return False
        now = time.monotonic()
        return now - self.used_at <= KEEP and now - self.asked_at <= KEEP_UNASKED

    def is_old(self) -> bool:
        """Return True if it is the pool's turn to decide whether the connection is recycled."""
        return time.monotonic() - self.taken_at > KEEP_AT_MOST

    def serves(self, era: int) -> bool:
        """Ask the server, as the pool does; False if it ended the session or serves us no longer."""
        dialect = self.connection.dialect
        try:
            session = None if self.connection.invalidated else self.connection.connection.dbapi_connection
            if session is None or not dialect.do_ping(session):
                return False
        except (dialect.loaded_dbapi.Error, sa.exc.SQLAlchemyError):
            return False
        self.era, self.asked_at = era, time.monotonic()
        return True

    def close(self) -> None:
        """Return the connection to the pool, which closes it if it is broken."""
        with contextlib.suppress(db_exception.DBError, sa.exc.SQLAlchemyError):
            self.connection.close()

    def end(self) -> None:
        """Return a connection that may have rested for long; the pool would log that it cannot reset it."""
        if not self.connection.closed:
            if not self.serves(self.era):
                with contextlib.suppress(db_exception.DBError, sa.exc.SQLAlchemyError):
                    self.connection.invalidate()
            self.close()

    def __del__(self) -> None:
        # The end of a thread drops its locals. SQLAlchemy's own clean-up waits for the garbage collector.
        self.end()


class Database:
    """Transactions on one engine.

    ``begin`` and ``read`` raise :class:`eventalarm.exceptions.Retryable` when the database failed or
    another transaction won; whatever was done inside is rolled back. Errors that the values caused (see
    :func:`is_content_error`) pass through unchanged. Safe to share between threads.

    A busy thread keeps its connections: taking one from the pool costs a ping and, on MySQL, the setting of
    the isolation level, which together cost more than the reads of a batch.
    """

    def __init__(self, engine: sa.Engine, sessions: Sessions | None = None) -> None:
        self._sessions = sessions
        self.dialect = engine.dialect.name
        self.engine = engine
        self._levels = ISOLATION | (ISOLATION_MYSQL if self.dialect in ("mysql", "mariadb") else {})
        self._era = itertools.count()
        self._lost = next(self._era)
        self._of_thread = threading.local()
        self._all: weakref.WeakSet[_Kept] = weakref.WeakSet()
        self.clock = clock.DatabaseClock()

    @property
    def pooled(self) -> bool:
        """Whether a connection turned out to lead to a pooler, so that sessions are shared with others."""
        return self._sessions is not None and self._sessions.pooled

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a write transaction; commit at the end, roll back on any error."""
        with self._sorting_errors(), self._connection("writer") as connection, connection.begin():
            if self.dialect == "sqlite":
                # Take the write lock before the first read: SQLite has no row locks, and a read that is
                # upgraded later fails when another writer came between.
                connection.exec_driver_sql("UPDATE eventalarm_worker SET host = host WHERE 1 = 0")
            elif self._sessions is not None:
                self._sessions.begin(connection)
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a short read; every statement sees what was committed before it."""
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
        kept: _Kept | None = getattr(self._of_thread, role, None)
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
                # On the connection: of two engines made of each other, the first one's level wins.
                connection = connection.execution_options(isolation_level=level)
            kept = _Kept(connection, self._lost)
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
        """Have every thread take its next connection from the pool: one to the same server was lost."""
        self._lost = next(self._era)

    def now(self) -> datetime.datetime:
        """Return the database's clock (aware UTC): the one clock that all processes share."""
        asked_at = time.monotonic()
        with self.read() as connection:
            moment = clock.ask(connection)
        self.clock.observe(moment, asked_at)
        return moment

    def about_now(self) -> datetime.datetime:
        """Return the database's clock as our own carries it on; asked only when nobody did for a minute.

        :raises Retryable: when it must be asked and the database failed.
        """
        return self._known().now() or self.now()

    def earliest_now(self, within: float) -> datetime.datetime:
        """Return the least that the clock would show, had it not been stepped for *within* seconds.

        :raises Retryable: when it must be asked and the database failed.
        """
        return self._known().earliest(within) or self.now()

    def _known(self) -> clock.DatabaseClock:
        age = self.clock.age()
        if age is None or age > ASK_AGAIN:
            self.now()
        return self.clock

    def leave(self) -> None:
        """Give back the connections of the calling thread, which is about to end."""
        for role in ISOLATION:
            kept: _Kept | None = getattr(self._of_thread, role, None)
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


def _with_every_character(url: str) -> sa.URL:
    """Return *url* with the character set of our tables.

    Aodh's URL may say ``charset=utf8``. On MySQL that is three bytes, and an event with a character of four
    would make our statements fail.
    """
    made = sa.make_url(url)
    if made.get_backend_name() in ("mysql", "mariadb"):
        made = made.update_query_dict({"charset": "utf8mb4"})
    return made


def connect(url: str, *, limits: SessionLimits = DEFAULT_LIMITS, **options: Any) -> Database:
    """Open *url* as Aodh names it; *options* are those of oslo.db's ``create_engine``.

    :raises Retryable: when the database does not answer.
    :raises sqlalchemy.exc.ArgumentError: when *url* is none, or of a kind that nothing installed can open.
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
    database = Database(
        engine, Sessions(engine, limits, sync_wait=options.get("mysql_wsrep_sync_wait") is None)
    )
    leave_wrong_servers(engine, database.forget_kept)
    # The connection by which oslo.db tried whether the server answers had none of that.
    engine.dispose()
    return database
