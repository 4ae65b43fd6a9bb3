"""Redelivered messages, and how often their evaluation was begun without ending."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.alarms import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.tables import suspect

_IDS: Final[Any] = sa.bindparam("ids", expanding=True)
TRIES: Final = sa.select(suspect.c.message_id, suspect.c.tries).where(suspect.c.message_id.in_(_IDS))
AGAIN: Final = (
    sa.update(suspect)
    .where(suspect.c.message_id.in_(_IDS))
    .values(tries=suspect.c.tries + 1, tried_at=sa.bindparam("now", type_=suspect.c.tried_at.type))
)
CLEAR: Final = sa.delete(suspect).where(suspect.c.message_id.in_(_IDS))


class Suspects:
    """The counts of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tries(self, message_ids: Collection[str]) -> dict[str, int]:
        """Return how often the evaluation of each of these messages was begun since it was redelivered."""
        found: dict[str, int] = {}
        with self._database.read() as connection:
            for chunk in in_chunks(message_ids):
                rows: Any = connection.execute(TRIES, {"ids": chunk})
                found.update({row.message_id: row.tries for row in rows})
        return found

    def count(self, message_ids: Collection[str]) -> None:
        """Count that the evaluation of these messages begins now."""
        now = self._database.about_now()
        known = self.tries(message_ids)
        new = [{"message_id": one, "tries": 1, "tried_at": now} for one in sorted({*message_ids} - {*known})]
        with self._database.begin() as connection:
            if new:
                connection.execute(suspect.insert(), new)
            for chunk in in_chunks(known):
                connection.execute(AGAIN, {"ids": chunk, "now": now})

    def clear(self, message_ids: Collection[str]) -> None:
        """Forget messages: their evaluation ended."""
        with self._database.begin() as connection:
            for chunk in in_chunks(message_ids):
                connection.execute(CLEAR, {"ids": chunk})
