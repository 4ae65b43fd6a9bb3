"""TCP keepalive on database connections: detects a host that lost power or whose address moved.

Nothing resets such a connection, and a process that waits for an answer waits until the kernel gives up: two
hours by default. A batch would be held for two hours although the database is back.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Final

import sqlalchemy as sa

# Seconds of silence before the first probe, seconds between probes, and how many may go unanswered.
IDLE: Final = 5
BETWEEN: Final = 2
PROBES: Final = 3
# Milliseconds that what we sent may stay unacknowledged.
UNACKNOWLEDGED: Final = 10_000

OPTIONS: Final = {
    "TCP_KEEPIDLE": IDLE,
    "TCP_KEEPINTVL": BETWEEN,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED,
}


def probe_connections(engine: sa.Engine) -> None:
    """Have the kernel probe every connection that *engine* opens from now on; on Linux, for TCP."""
    sa.event.listen(engine, "connect", _probe)


def _probe(connection: Any, _record: object) -> None:
    descriptor = _descriptor(connection)
    if descriptor is None:
        return
    with socket.socket(fileno=os.dup(descriptor)) as end, contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in OPTIONS.items():
            if hasattr(socket, name):
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _descriptor(connection: Any) -> int | None:
    """Return a DB-API connection's socket: psycopg tells it, PyMySQL keeps it to itself, SQLite has none."""
    if hasattr(connection, "fileno"):
        return int(connection.fileno())
    end = getattr(connection, "_sock", None)
    return None if end is None else int(end.fileno())
