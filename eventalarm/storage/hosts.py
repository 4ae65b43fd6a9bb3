"""The hosts of the inspector's tables: those of the resource map, and those with faults or in maintenance."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from eventalarm.model import HostMaintenance, InfrastructureFault, ResourceKind
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.inspector_tables import resource
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.resource_map import SNAPSHOT_LEASE
from eventalarm.storage.tables import leader_lease


@dataclasses.dataclass(frozen=True, slots=True)
class HostRecord:
    """What the inspector knows of a host; times are aware UTC.

    ``seen_at`` is the time of the newest observation of one of its ``servers``, None if it has none.
    """

    host: str
    servers: int = 0
    seen_at: datetime.datetime | None = None
    faults: tuple[InfrastructureFault, ...] = ()
    maintenance: tuple[HostMaintenance, ...] = ()


class Hosts:
    """Reads of one database; a page is a constant number of statements. *now* is the present (aware UTC)."""

    def __init__(self, database: Database, now: datetime.datetime) -> None:
        self._database = database
        self._now = now
        self._faults = InfrastructureFaults(database)
        self._maintenance = MaintenanceStore(database)

    def snapshot_at(self) -> datetime.datetime | None:
        """Return when the last complete snapshot of the cloud began (aware UTC), or None."""
        query = sa.select(leader_lease.c.done_at).where(leader_lease.c.name == SNAPSHOT_LEASE)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def with_servers(self, after: str, limit: int) -> list[HostRecord]:
        """Return the next hosts on which servers run, by name."""
        query = (
            _COUNTED.where(resource.c.host > after)
            .group_by(resource.c.host)
            .order_by(resource.c.host)
            .limit(limit)
        )
        with self._database.read() as connection:
            return self._completed([HostRecord(*row) for row in connection.execute(query)])

    def without_servers(self) -> list[HostRecord]:
        """Return the hosts with a raised fault or in maintenance on which no server runs, by name."""
        names = {host for fault in self._faults.raised() for host in fault.hosts}
        names |= {one.host for one in self._maintenance.active(self._now)}
        others = names - {one.host for one in self._counted(names)} - {""}
        return self._completed([HostRecord(name) for name in sorted(others)])

    def find(self, host: str) -> HostRecord | None:
        """Return one host, or None if nothing is known of it."""
        counted = [one for one in self._counted([host]) if one.host == host]
        (found,) = self._completed(counted or [HostRecord(host)])
        return found if found != HostRecord(host) else None

    def _counted(self, names: Collection[str]) -> list[HostRecord]:
        with self._database.read() as connection:
            return [
                HostRecord(*row)
                for chunk in in_chunks(names)
                for row in connection.execute(
                    _COUNTED.where(resource.c.host.in_(chunk)).group_by(resource.c.host)
                )
            ]

    def _completed(self, records: Iterable[HostRecord]) -> list[HostRecord]:
        found = {one.host: one for one in records}
        faults = self._faults.raised() if found else []
        maintenance = self._maintenance.active(self._now, found) if found else []
        return [
            dataclasses.replace(
                one,
                faults=tuple(fault for fault in faults if host in fault.hosts),
                maintenance=tuple(entry for entry in maintenance if entry.host == host),
            )
            for host, one in found.items()
        ]


_COUNTED = sa.select(resource.c.host, sa.func.count(), sa.func.max(resource.c.seen_at)).where(
    resource.c.kind == ResourceKind.SERVER.value, ~resource.c.deleted, resource.c.host != ""
)
