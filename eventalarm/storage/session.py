"""The settings of each database session: how long the server keeps its locks and waits for the client.

A process that is paused or disconnected in the middle of a transaction keeps its row locks; only the server
can release them.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.multi_statements import NODE, PACKET

LOG = logging.getLogger(__name__)

# How the server probes a silent client: as the client probes the server, see ``connections.py``.
TCP: Final = {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 3}


@dataclasses.dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds that a session waits for a lock, and that the server waits for the client in a transaction."""

    lock: float = 5.0
    idle: float = 10.0


UTC: Final = "SESSION time_zone = '+00:00'"
# The bits of wsrep_sync_wait by which the first statement of a transaction waits for what other nodes have
# committed: 1 if it reads, 2 if it updates or deletes, 4 if it inserts. An update that is too early finds no
# row, and Galera certifies nothing, so the result of a delivery would be lost, and the delivery sent again.
SYNC_BITS: Final = 7
SYNC_WAIT: Final = f", SESSION wsrep_sync_wait = @@SESSION.wsrep_sync_wait | {SYNC_BITS}"

DEFAULT_LIMITS: Final = SessionLimits()
# For schema changes: they wait for other transactions and hold their locks for as long as it takes.
SCHEMA_LIMITS: Final = SessionLimits(lock=300.0, idle=3600.0)


def code_of(error: object) -> int | str | None:
    """Return the number that MySQL gave with a driver's *error*, or the SQLSTATE that PostgreSQL gave."""
    arguments: tuple[object, ...] = getattr(error, "args", ())
    # Checked first: newer PyMySQL also has an SQLSTATE, which is less specific.
    if arguments[:1] != () and isinstance(arguments[0], int):
        return arguments[0]
    state: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state


def ask(connection: Any, query: str) -> Sequence[Any] | None:
    """Return the first row of *query* on a connection of a driver, outside of any transaction."""
    # PyMySQL's autocommit is a method; these queries open no transaction there.
    switch = connection.autocommit is False
    if switch:
        connection.autocommit = True
    cursor = connection.cursor()
    try:
        cursor.execute(query)
        row: Sequence[Any] | None = cursor.fetchone() if cursor.description else None
        return row
    finally:
        cursor.close()
        if switch and not connection.closed:
            connection.autocommit = False


def mysql_settings(limits: SessionLimits, *, mariadb: bool) -> str:
    """Return the statement that limits a session of MySQL or MariaDB, which count in whole seconds.

    MySQL has no limit for idle transactions: there, a session that was idle for so long ends, in a
    transaction or not. The pool replaces it.
    """
    lock, idle = math.ceil(limits.lock), math.ceil(limits.idle)
    values = {
        "innodb_lock_wait_timeout": lock,
        "lock_wait_timeout": lock,
        "net_read_timeout": idle,
        "net_write_timeout": idle,
        "idle_transaction_timeout" if mariadb else "wait_timeout": idle,
    }
    return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in values.items())


def postgresql_settings(limits: SessionLimits, *, of_transaction: bool = False) -> str:
    """Return the query that limits a session of PostgreSQL, or only the transaction that it is run in."""
    idle = math.ceil(limits.idle * 1000)
    values: dict[str, int] = {
        "lock_timeout": math.ceil(limits.lock * 1000),
        "idle_in_transaction_session_timeout": idle,
    }
    if not of_transaction:
        values |= {**TCP, "tcp_user_timeout": idle}
    rows = ", ".join(f"('{name}', '{value}')" for name, value in values.items())
    local = str(of_transaction).lower()
    # Only those that the server knows: tcp_user_timeout exists since PostgreSQL 12.
    return (
        f"SELECT set_config(name, value, {local}) FROM (VALUES {rows}) AS wanted (name, value) "  # noqa: S608
        "WHERE current_setting(name, true) IS NOT NULL"
    )


class Sessions:
    """Limits every new session of an engine.

    ``pooled`` is true once a connection was found to lead to a pooler (pgbouncer), where the settings of a
    session would apply to its next client. Limits are then set in each transaction, and statements are not
    prepared.

    On MariaDB and MySQL sessions also use UTC, so that no timestamp is ambiguous in autumn.
    On a node of a Galera cluster, with *sync_wait*, a transaction waits until the node has applied what was
    committed on the others before: an alarm whose creation was answered by one node is then found by a
    listener on another (G3), an edit is honoured (G4), and the result of a delivery that was claimed by
    another node is recorded (G2).
    """

    def __init__(self, engine: sa.Engine, limits: SessionLimits, *, sync_wait: bool = True) -> None:
        self.pooled = False
        self._limits = limits
        self._sync_wait = sync_wait
        self._is_node: bool | None = None
        begin = {"mysql": self._mysql, "mariadb": self._mysql, "postgresql": self._postgresql}
        if engine.dialect.name in begin:
            sa.event.listen(engine, "connect", begin[engine.dialect.name])

    def begin(self, connection: sa.Connection) -> None:
        """Set the limits of the transaction that just began, if its session has none."""
        if self.pooled:
            connection.exec_driver_sql(postgresql_settings(self._limits, of_transaction=True))

    def _mysql(self, connection: Any, _record: object) -> None:
        if self._is_node is None:
            found = ask(connection, "SHOW VARIABLES LIKE 'wsrep_on'")
            self._is_node = found is not None and str(found[1]).upper() == "ON"
        settings = mysql_settings(self._limits, mariadb="mariadb" in connection.get_server_info().lower())
        packet = ask(connection, "SELECT @@max_allowed_packet")
        if packet is not None:
            setattr(connection, PACKET, int(packet[0]))
        if self._is_node:
            setattr(connection, NODE, True)
        wait = SYNC_WAIT if self._is_node and self._sync_wait else ""
        ask(connection, f"{settings}, {UTC}{wait}")

    def _postgresql(self, connection: Any, _record: object) -> None:
        if is_pooled(connection):
            if not self.pooled:
                LOG.warning("The database is reached through a pooler; statements are not prepared")
            self.pooled = True
            if hasattr(connection, "prepare_threshold"):
                connection.prepare_threshold = None
        else:
            ask(connection, postgresql_settings(self._limits))


def is_pooled(connection: Any) -> bool:
    """Return True if a psycopg connection leads to a pooler, which assigns its own process ids."""
    client_pid = connection.info.backend_pid
    row = ask(connection, "SELECT pg_backend_pid()")
    return row is not None and row[0] != client_pid
