"""Hosts in maintenance, for tests: what the inspector writes while it handles a session."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import sqlalchemy as sa

from eventalarm.model import HostMaintenance, Resource, ResourceKind
from eventalarm.storage.database import Database
from eventalarm.storage.inspector_tables import inhibition
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.resource_map import ResourceMap


class Maintenance:
    """Begins and ends the maintenance of hosts; each server of the map runs on one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = MaintenanceStore(database)
        self.resources = ResourceMap(database)

    def place(self, host: str, servers: Iterable[str]) -> None:
        """Let *servers* run on *host* from now on, after a migration if they ran elsewhere."""
        now = self.database.now()
        observed = [
            Resource(ResourceKind.SERVER, name, now, project_id="project-a", host=host, host_at=now)
            for name in servers
        ]
        self.store.follow(self.resources.apply(observed), now)

    def begin(self, host: str, session: str = "s-1", *, lasts: float = 3600) -> None:
        now = self.database.now()
        expires_at = now + datetime.timedelta(seconds=lasts)
        assert self.store.begin(HostMaintenance(session, host, "IN_MAINTENANCE", now, expires_at), now)

    def end(self, host: str, session: str = "s-1") -> None:
        now = self.database.now()
        assert self.store.end(HostMaintenance(session, host, "MAINTENANCE_COMPLETE", now, now), now)

    def expire(self) -> None:
        """Let the time until every maintenance expires pass."""
        past = self.database.now() - datetime.timedelta(seconds=1)
        with self.database.begin() as connection:
            connection.execute(sa.update(inhibition).values(expires_at=past))
