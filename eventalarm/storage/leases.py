"""Leases: how other processes detect that one has ended, and leader leases for singleton work.

A lease is renewed by incrementing a number in a row. A process that sees the same number for as long as a
lease lasts knows that it was not renewed, whatever any clock shows: neither a step of the database's clock
nor one of a host's clock makes a running process look dead, or keeps a dead one from being replaced.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.database import Database
from eventalarm.storage.tables import leader_lease, worker

# The longest time between two looks of a process that waits for a lease to end, as a fraction of the lease.
BETWEEN: Final = 0.5


class WorkerLease(NamedTuple):
    """How often a worker has renewed its lease, and how many seconds that lasts; None: unknown."""

    renewals: int
    seconds: float | None


# In the order in which the database compares the names.
LEASES: Final = sa.select(worker.c.worker_id, worker.c.renewals, worker.c.lease).order_by(worker.c.worker_id)


def read_leases(rows: sa.Result[Any]) -> dict[str, WorkerLease]:
    """Return the lease of each worker in the rows of :data:`LEASES`."""
    return {row.worker_id: WorkerLease(row.renewals, row.lease) for row in rows}


@dataclasses.dataclass(frozen=True, slots=True)
class SeenLeases:
    """The lease of each worker, and when it was asked for and known, in seconds of the monotonic clock."""

    leases: Mapping[str, WorkerLease]
    asked_at: float
    answered_at: float


def remove_workers(connection: sa.Connection, ended: Mapping[str, int]) -> None:
    """Remove the workers *ended* whose number of renewals is still the given one."""
    same = (
        sa.and_(worker.c.worker_id == name, worker.c.renewals == number)
        for name, number in sorted(ended.items())
    )
    connection.execute(sa.delete(worker).where(sa.or_(*same)))


class RenewalWatch:
    """Measures for how long each of several leases has not been renewed; not shared between threads.

    :param seconds: how long a lease lasts after its renewal, unless its holder has stored another length.
    :param between: the longest usual time in seconds between two looks. A longer pause counts as no more than
        that: while this process did not look, because it was stopped or the database was down, the watched
        processes may not have been able to renew either.
    """

    def __init__(self, seconds: float, between: float) -> None:
        self._seconds = seconds
        self._between = between
        self._looked_at: float | None = None
        self._seen: dict[str, tuple[int, float]] = {}

    def look(
        self,
        renewals: Mapping[str, int],
        now: float,
        lasting: Mapping[str, float | None] | None = None,
        *,
        answered_at: float | None = None,
    ) -> dict[str, int]:
        """Take the numbers of renewals as they are at *now*; return those of the leases that have ended.

        *now* is monotonic time in seconds, read before the numbers were. *lasting* are the seconds for which
        each lease lasts, where its holder has stored them. *answered_at* is when the numbers were known, by
        default *now*: the last renewal of each lease may be as young as that, if the database was slow.
        """
        lasting = lasting or {}
        passed = 0.0 if self._looked_at is None else min(max(0.0, now - self._looked_at), self._between)
        self._looked_at = now
        late = 0.0 if answered_at is None else min(max(0.0, answered_at - now), self._between)
        silent = {name: self._silence(name, number, passed, late) for name, number in renewals.items()}
        self._seen = {name: (renewals[name], seconds) for name, seconds in silent.items()}
        return {
            name: renewals[name]
            for name, seconds in silent.items()
            if seconds >= (lasting.get(name) or self._seconds)
        }

    def _silence(self, name: str, number: int, passed: float, late: float) -> float:
        before = self._seen.get(name)
        return before[1] + passed if before is not None and before[0] == number else -late


class LeaderLease:
    """One leader lease of one process; not shared between threads.

    It is acquired and renewed by :meth:`take`, which must be called several times in *seconds*. Another
    process acquires it once it has seen no renewal for as long and *max_skew* seconds, by its monotonic time,
    not by any clock.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        owner: str,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        max_skew: float = 0.0,
    ) -> None:
        self._database = database
        self._name = name
        self._owner = owner
        self._monotonic = monotonic
        self._watch = RenewalWatch(seconds + max_skew, BETWEEN * seconds)

    def take(self) -> bool:
        """Acquire or renew the lease; return False if another process holds it.

        :raises Retryable: when the database failed.
        """
        now = self._monotonic()
        this = leader_lease.c.name == self._name
        mine = sa.or_(leader_lease.c.owner == self._owner, leader_lease.c.owner.is_(None))
        take = sa.update(leader_lease).values(owner=self._owner, renewals=leader_lease.c.renewals + 1)
        with self._database.begin() as connection:
            if connection.execute(take.where(this, mine)).rowcount:
                return True
            found = connection.execute(
                sa.select(leader_lease.c.owner, leader_lease.c.renewals).where(this)
            ).first()
            if found is not None:
                ended = self._watch.look({found.owner: found.renewals}, now)
                stands = sa.and_(
                    leader_lease.c.owner == found.owner, leader_lease.c.renewals == found.renewals
                )
                return bool(ended) and connection.execute(take.where(this, stands)).rowcount == 1
        try:
            with self._database.begin() as connection:
                connection.execute(
                    sa.insert(leader_lease).values(name=self._name, owner=self._owner, renewals=0)
                )
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def done_at(self) -> datetime.datetime | None:
        """Return when the last finished round of the work began, in any process (aware UTC), or None."""
        with self._database.read() as connection:
            query = sa.select(leader_lease.c.done_at).where(leader_lease.c.name == self._name)
            return connection.execute(query).scalar_one_or_none()

    def done(self, began: datetime.datetime) -> None:
        """Record that the round that began at *began* is finished."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(leader_lease).where(leader_lease.c.name == self._name).values(done_at=began)
            )

    def leave(self) -> None:
        """Release the lease: another process can acquire it at once."""
        mine = sa.and_(leader_lease.c.name == self._name, leader_lease.c.owner == self._owner)
        with self._database.begin() as connection:
            connection.execute(sa.update(leader_lease).where(mine).values(owner=None))
