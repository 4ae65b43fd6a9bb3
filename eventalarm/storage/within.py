"""The readers of a database inside a transaction that somebody else opened and will commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from eventalarm.storage.database import Database


class Within(Database):
    """Looks like a database and is one open transaction: reads see what it wrote, writes share its fate."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection.engine)
        self._open = connection

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Take part in the transaction; whoever opened it commits."""
        yield self._open

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Read in the transaction."""
        yield self._open

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Read in the transaction, whose isolation level decides what is seen."""
        yield self._open
