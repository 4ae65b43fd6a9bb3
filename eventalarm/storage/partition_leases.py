"""Leases on partitions: which listener process consumes which partition, and which processes take part.

Both are rows of the table of leader leases: ``partition.4.0`` for a partition, by its label, and
``member.ID`` for a process. Their owner renews all of them in one statement. A row of a partition stays when
no source uses the partition any more: so listeners know of every topic that may still hold events.

``done_at`` of a partition is the time (of the database's clock) up to which everything that was on its topic
has been evaluated; ``IDLE`` once nothing has arrived for a while.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.model import UTC
from eventalarm.storage import clock
from eventalarm.storage.database import Database
from eventalarm.storage.tables import leader_lease

PARTITION: Final = "partition."
MEMBER: Final = "member."
IDLE: Final = datetime.datetime(9999, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """One row; ``owner`` is None if no process holds it."""

    owner: str | None
    renewals: int
    settled_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Leases:
    """All rows at the time *now* (aware UTC): partitions by label, processes by id."""

    now: datetime.datetime
    partitions: Mapping[str, Lease]
    members: Mapping[str, Lease]


class PartitionLeases:
    """The leases of one process, whose id is *owner* (at most 25 characters); used on one thread."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def exist(self) -> bool:
        """Return True if partitions were ever shared out.

        :raises Retryable: when the database failed.
        """
        query = sa.select(leader_lease.c.name).where(_starts_with(PARTITION)).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def register(self, labels: Sequence[str]) -> None:
        """Add the rows of this process and of partitions that have none.

        :raises Retryable: when the database failed.
        """
        self._insert(f"{MEMBER}{self._owner}", self._owner)
        known = self.look(()).partitions
        for label in labels:
            if label not in known:
                self._insert(f"{PARTITION}{label}", None)

    def _insert(self, name: str, owner: str | None) -> None:
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(leader_lease).values(name=name, owner=owner, renewals=0))
        except db_exception.DBDuplicateEntry:
            return

    def look(self, settled: Collection[tuple[str, datetime.datetime]]) -> Leases:
        """Renew all leases of this process, record *settled* (label, time), and return all rows.

        :raises Retryable: when the database failed.
        """
        ours = leader_lease.c.owner == self._owner
        table = leader_lease.c
        with self._database.begin() as connection:
            connection.execute(sa.update(leader_lease).where(ours).values(renewals=table.renewals + 1))
            for label, moment in settled:
                this = table.name == f"{PARTITION}{label}"
                connection.execute(sa.update(leader_lease).where(ours, this).values(done_at=moment))
            ranges = sa.or_(_starts_with(PARTITION), _starts_with(MEMBER))
            query = sa.select(table.name, table.owner, table.renewals, table.done_at).where(ranges)
            rows = {
                row.name: Lease(row.owner, row.renewals, row.done_at) for row in connection.execute(query)
            }
            now = clock.ask(connection)
        return Leases(now, _under(PARTITION, rows), _under(MEMBER, rows))

    def take(self, label: str, seen: Lease) -> bool:
        """Acquire a partition that is still as it was *seen*; return False if another process was first.

        :raises Retryable: when the database failed.
        """
        as_seen = sa.and_(
            leader_lease.c.name == f"{PARTITION}{label}",
            leader_lease.c.owner.is_(None) if seen.owner is None else leader_lease.c.owner == seen.owner,
            leader_lease.c.renewals == seen.renewals,
        )
        taken = {"owner": self._owner, "renewals": leader_lease.c.renewals + 1}
        with self._database.begin() as connection:
            return connection.execute(sa.update(leader_lease).where(as_seen).values(taken)).rowcount == 1

    def give(self, labels: Collection[str]) -> None:
        """Release partitions: other processes can acquire them at once.

        :raises Retryable: when the database failed.
        """
        ours = leader_lease.c.owner == self._owner
        names = [f"{PARTITION}{label}" for label in labels]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(leader_lease).where(ours, leader_lease.c.name.in_(names)).values(owner=None)
            )

    def forget(self, member: str, renewals: int) -> None:
        """Remove a process whose number of renewals is still *renewals*; its partitions can be acquired.

        :raises Retryable: when the database failed.
        """
        table = leader_lease.c
        ended = sa.and_(table.name == f"{MEMBER}{member}", table.renewals == renewals)
        with self._database.begin() as connection:
            connection.execute(sa.delete(leader_lease).where(ended))

    def leave(self) -> None:
        """Release everything when this process ends.

        :raises Retryable: when the database failed.
        """
        with self._database.begin() as connection:
            mine = leader_lease.c.owner == self._owner
            member = leader_lease.c.name == f"{MEMBER}{self._owner}"
            connection.execute(sa.delete(leader_lease).where(member))
            connection.execute(sa.update(leader_lease).where(mine).values(owner=None))


def _starts_with(prefix: str) -> sa.ColumnElement[bool]:
    return leader_lease.c.name.startswith(prefix, autoescape=True)


def _under(prefix: str, rows: Mapping[str, Lease]) -> dict[str, Lease]:
    return {name.removeprefix(prefix): row for name, row in rows.items() if name.startswith(prefix)}
