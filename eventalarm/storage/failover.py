"""Connections to a server that no longer takes writes are closed, so that the next one finds its successor.

After a failover by address (a virtual IP, a proxy, a DNS name) the old server may live on, read-only. Its
connections answer pings and reads, with data that grows old; only writes fail, and the driver does not count
that as a lost connection. Alarms that are created on the successor are not there: their events match nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.session import ask, code_of

# On MySQL: --read-only, read-only mode, refused by group replication, read-only transaction; a Galera node
# outside the primary component; a server in offline mode. On PostgreSQL a read-only transaction, which every
# transaction on a standby is.
WRONG_SERVER: Final = frozenset({1290, 1836, 3100, 1792, 1047, 3032, "25006"})

READ_ONLY: Final = {"postgresql": "SHOW transaction_read_only", "mysql": "SELECT @@global.read_only"}
NO: Final = ("off", "0")
# Where a connection that was read-only from the start says so, in its ``info``.
READ_ONLY_FROM_THE_START: Final = "eventalarm_read_only"


def is_wrong_server(error: BaseException | None) -> bool:
    """Return True if *error* of a driver says that this server does not serve us, and another one may."""
    return code_of(error) in WRONG_SERVER


def leave_wrong_servers(engine: sa.Engine, lost: Callable[[], None] = lambda: None) -> None:
    """Have *engine* close connections to a server that is read-only; *lost* is called for each lost one.

    Statements that such a server refused lose their connection, and the pool those that are as old; the ping
    of the pool asks for the role of the server besides, at the same cost. A connection that was read-only
    from the start serves one use: the address may move any moment, and the next one finds where it leads.
    """
    query = READ_ONLY.get("mysql" if engine.dialect.name == "mariadb" else engine.dialect.name)
    if query is None:
        return

    @sa.event.listens_for(engine, "handle_error", insert=True)
    def judge(context: sa.ExceptionContext) -> None:
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
