"""Who does what one process does for all: a lease by name, by the database's clock."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.database import Database
from eventalarm.storage.tables import duty


class Duty:
    """One duty of one process; not shared between threads."""

    def __init__(self, database: Database, name: str, owner: str, seconds: float) -> None:
        self._database = database
        self._name = name
        self._owner = owner
        self._lease = datetime.timedelta(seconds=seconds)

    def take(self) -> bool:
        """Take or keep the duty for so many seconds; False when another process has it.

        :raises Retryable: when the database failed.
        """
        now = self._database.now()
        this = duty.c.name == self._name
        free = sa.or_(duty.c.owner == self._owner, duty.c.owner.is_(None), duty.c.expires_at <= now)
        values = {"owner": self._owner, "expires_at": now + self._lease}
        with self._database.begin() as connection:
            if connection.execute(sa.update(duty).where(this, free).values(values)).rowcount:
                return True
            if connection.execute(sa.select(duty.c.name).where(this)).first() is not None:
                return False
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(duty).values(name=self._name, **values))
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def done_at(self) -> datetime.datetime | None:
        """Return when the last round began that was finished, whoever did it."""
        with self._database.read() as connection:
            query = sa.select(duty.c.done_at).where(duty.c.name == self._name)
            return connection.execute(query).scalar_one_or_none()

    def done(self, began: datetime.datetime) -> None:
        """Note that a round that *began* then is finished."""
        with self._database.begin() as connection:
            connection.execute(sa.update(duty).where(duty.c.name == self._name).values(done_at=began))

    def leave(self) -> None:
        """Let others take it at once."""
        mine = sa.and_(duty.c.name == self._name, duty.c.owner == self._owner)
        with self._database.begin() as connection:
            connection.execute(sa.update(duty).where(mine).values(owner=None))
