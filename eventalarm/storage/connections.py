"""Connections to the database: kept by their thread, probed by the kernel, left when the server is read-only.

TCP keepalive detects a server that lost power or whose address moved. Nothing resets such a connection, and a
process that waits for an answer waits until the kernel gives up: two hours by default.

After a failover by address (a virtual IP, a proxy, a DNS name) the old server may stay up, read-only. Its
connections answer pings and reads, with data that grows old; only writes fail, and the driver does not count
that as a lost connection. Alarms created on the new server are missing there: their events match nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.session import ask, code_of

# Seconds of silence before the first probe, seconds between probes, and how many may go unanswered.
IDLE: Final = 5
BETWEEN: Final = 2
PROBES: Final = 3
# Milliseconds for which sent data may stay unacknowledged.
UNACKNOWLEDGED: Final = 10_000

KEEPALIVE_OPTIONS: Final = {
    "TCP_KEEPIDLE": IDLE,
    "TCP_KEEPINTVL": BETWEEN,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED,
}


# On MySQL: --read-only, read-only mode, refused by group replication, read-only transaction; a Galera node
# outside the primary component; a server in offline mode. On PostgreSQL a read-only transaction, which every
# transaction on a standby is.
WRONG_SERVER: Final = frozenset({1290, 1836, 3100, 1792, 1047, 3032, "25006"})

READ_ONLY: Final = {"postgresql": "SHOW transaction_read_only", "mysql": "SELECT @@global.read_only"}
NO: Final = ("off", "0")
# The key in ``info`` of a connection that was read-only from the start.
READ_ONLY_FROM_THE_START: Final = "eventalarm_read_only"


# Seconds without use after which a kept connection is pinged before it is used.
KEEP = 1.0

# Seconds after which a busy connection is pinged too, and the server asked for its role: for at most this
# long a server that became read-only is read from.
KEEP_UNASKED = 2.0

# Seconds after which a connection is returned to the pool, which recycles old ones.
KEEP_AT_MOST = 60.0


class KeptConnection:
    """A connection that its thread keeps between uses; it is returned to the pool when the thread ends.

    ``era`` is the number of lost connections of the engine when the server was last asked.
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
        """Return True if the connection must be returned to the pool, which may recycle it."""
        return time.monotonic() - self.taken_at > KEEP_AT_MOST

    def serves(self, era: int) -> bool:
        """Ping the server, as the pool does; return False if it ended the session or became read-only."""
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
        """Return a connection that may be stale, invalidated first if it is: the pool would log an error."""
        if not self.connection.closed:
            if not self.serves(self.era):
                with contextlib.suppress(db_exception.DBError, sa.exc.SQLAlchemyError):
                    self.connection.invalidate()
            self.close()

    def __del__(self) -> None:
        # The end of a thread drops its locals. SQLAlchemy's own clean-up waits for the garbage collector.
        self.end()


def probe_connections(engine: sa.Engine) -> None:
    """Have the kernel probe every connection that *engine* opens from now on; on Linux, over TCP."""
    sa.event.listen(engine, "connect", _probe)


def _probe(connection: Any, _record: object) -> None:
    descriptor = _descriptor(connection)
    if descriptor is None:
        return
    with socket.socket(fileno=os.dup(descriptor)) as end, contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE_OPTIONS.items():
            if hasattr(socket, name):
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _descriptor(connection: Any) -> int | None:
    """Return the socket of a DB-API connection: public in psycopg, private in PyMySQL, None for SQLite."""
    if hasattr(connection, "fileno"):
        return int(connection.fileno())
    end = getattr(connection, "_sock", None)
    return None if end is None else int(end.fileno())


def is_wrong_server(error: BaseException | None) -> bool:
    """Return True if *error* of a driver says that this server accepts no writes, and another one may."""
    return code_of(error) in WRONG_SERVER


def leave_wrong_servers(engine: sa.Engine, lost: Callable[[], None] = lambda: None) -> None:
    """Have *engine* close connections to a read-only server; *lost* is called for each of them.

    A statement that such a server refused invalidates its connection and those of the pool that are as old;
    the ping of the pool also asks for the role of the server, at the same cost. A connection that was
    read-only from the start is used once: the address may move at any moment.
    """
    query = READ_ONLY.get("mysql" if engine.dialect.name == "mariadb" else engine.dialect.name)
    if query is None:
        return

    @sa.event.listens_for(engine, "handle_error", insert=True)
    def mark_disconnect(context: sa.ExceptionContext) -> None:
        if is_wrong_server(context.original_exception):
            context.is_disconnect = True
        if context.is_disconnect:
            lost()

    def connected(connection: Any, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info[READ_ONLY_FROM_THE_START] = _is_read_only(connection, query)

    def ping(connection: Any) -> bool:
        if not _is_read_only(connection, query):
            return True
        lost()
        return False

    sa.event.listen(engine, "connect", connected)
    engine.dialect.do_ping = ping  # type: ignore[method-assign,assignment]


def _is_read_only(connection: Any, query: str) -> bool:
    row = ask(connection, query)
    return row is not None and str(row[0]).lower() not in NO
