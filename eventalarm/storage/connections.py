"""Connections that stay with a thread between uses, and when they are still to be trusted."""

from __future__ import annotations

import contextlib
import time

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.failover import READ_ONLY_FROM_THE_START

# Seconds of rest after which a kept connection is no longer trusted: the server is asked.
KEEP = 1.0

# Seconds after which the server is asked on a busy connection, and for its role too: for so long may one that
# became read-only be read from.
KEEP_UNASKED = 2.0

# Seconds after which a connection goes through the pool, which recycles those that are old.
KEEP_AT_MOST = 60.0


class KeptConnection:
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
