"""Connections to a server that no longer takes writes are closed, so that the next one finds its successor.

After a failover by address (a virtual IP, a proxy, a DNS name) the old server may live on, read-only. Its
connections answer pings and reads, with data that grows old; only writes fail, and the driver does not count
that as a lost connection.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.session import ask, code_of

# On MySQL: --read-only, read-only mode, refused by group replication, read-only transaction; a Galera node
# outside the primary component; a server in offline mode. On PostgreSQL a read-only transaction, which every
# transaction on a standby is.
WRONG_SERVER: Final = frozenset({1290, 1836, 3100, 1792, 1047, 3032, "25006"})

# Seconds for which a connection that was read-only from the start is used: the address may move any moment.
READ_ONLY_KEPT: Final = 5.0

READ_ONLY: Final = {"postgresql": "SHOW transaction_read_only", "mysql": "SELECT @@global.read_only"}
NO: Final = ("off", "0")


def is_wrong_server(error: BaseException | None) -> bool:
    """Return True if *error* of a driver says that this server does not serve us, and another one may."""
    return code_of(error) in WRONG_SERVER


def leave_wrong_servers(engine: sa.Engine, lost: Callable[[], None] = lambda: None) -> None:
    """Have *engine* close connections to a server that is read-only; *lost* is called for each lost one.

    Statements that such a server refused lose their connection, and the pool those that are as old; the ping
    of the pool asks for the role of the server besides, at the same cost.
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

    pinger = _Pinger(query)
    sa.event.listen(engine, "connect", pinger.connected)
    engine.dialect.do_ping = pinger.ping  # type: ignore[method-assign,assignment]


class _Pinger:
    """Pings by asking for the role; False when it is not the one that the connection was opened for."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._read_only_since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def connected(self, connection: Any, _record: object) -> None:
        """Remember a connection that is read-only from the start."""
        if self._is_read_only(connection):
            self._read_only_since[connection] = time.monotonic()

    def ping(self, connection: Any) -> bool:
        """Return True if *connection* may be used; errors are the driver's."""
        if not self._is_read_only(connection):
            return True
        since = self._read_only_since.get(connection)
        return since is not None and time.monotonic() - since < READ_ONLY_KEPT

    def _is_read_only(self, connection: Any) -> bool:
        row = ask(connection, self._query)
        return row is not None and str(row[0]).lower() not in NO
