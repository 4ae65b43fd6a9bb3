"""Leader leases: the right of one process to do singleton work, by name."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.database import Database
from eventalarm.storage.tables import duty
from eventalarm.storage.watch import RenewalWatch

# Of a lease, what may pass between two looks of one that waits for it to end.
BETWEEN: Final = 0.5


class LeaderLease:
    """One leader lease of one process; not shared between threads.

    It is acquired and renewed by :meth:`take`, which must be called several times in *seconds*. Another
    process acquires it once it has seen no renewal for as long, by its own elapsed time, not by any clock.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        owner: str,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._name = name
        self._owner = owner
        self._monotonic = monotonic
        self._watch: RenewalWatch[str] = RenewalWatch(seconds, BETWEEN * seconds)

    def take(self) -> bool:
        """Acquire or renew the lease; return False if another process holds it.

        :raises Retryable: when the database failed.
        """
        now = self._monotonic()
        this = duty.c.name == self._name
        mine = sa.or_(duty.c.owner == self._owner, duty.c.owner.is_(None))
        take = sa.update(duty).values(owner=self._owner, renewals=duty.c.renewals + 1)
        with self._database.begin() as connection:
            if connection.execute(take.where(this, mine)).rowcount:
                return True
            found = connection.execute(sa.select(duty.c.owner, duty.c.renewals).where(this)).first()
            if found is not None:
                ended = self._watch.look({found.owner: found.renewals}, now)
                stands = sa.and_(duty.c.owner == found.owner, duty.c.renewals == found.renewals)
                return bool(ended) and connection.execute(take.where(this, stands)).rowcount == 1
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(duty).values(name=self._name, owner=self._owner, renewals=0))
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def done_at(self) -> datetime.datetime | None:
        """Return when the last finished round of the work began, in any process (aware UTC)."""
        with self._database.read() as connection:
            query = sa.select(duty.c.done_at).where(duty.c.name == self._name)
            return connection.execute(query).scalar_one_or_none()

    def done(self, began: datetime.datetime) -> None:
        """Record that a round that *began* then is finished."""
        with self._database.begin() as connection:
            connection.execute(sa.update(duty).where(duty.c.name == self._name).values(done_at=began))

    def leave(self) -> None:
        """Release the lease: another process can acquire it at once."""
        mine = sa.and_(duty.c.name == self._name, duty.c.owner == self._owner)
        with self._database.begin() as connection:
            connection.execute(sa.update(duty).where(mine).values(owner=None))
