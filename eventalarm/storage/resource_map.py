"""The resource map of the inspector: which resource runs on which host, and whose it is."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Resource, ResourceKind, merge_resources
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.inspector_tables import affected, infrastructure_fault, resource

PAGE: Final = 1000
# The leader lease of the snapshots; its ``done_at`` is when the last complete one began.
SNAPSHOT_LEASE: Final = "resource-map"

_IDS: Final[Any] = sa.bindparam("ids", expanding=True)
BY_ID: Final = sa.select(resource).where(resource.c.resource_id.in_(_IDS))
LOCK: Final = BY_ID.order_by(resource.c.resource_id).with_for_update()
UPDATE: Final = sa.update(resource).where(resource.c.resource_id == sa.bindparam("key"))


@dataclasses.dataclass(frozen=True, slots=True)
class MapStats:
    """How much the map holds and how fresh it is; None where there is nothing yet (aware UTC).

    ``seen_at`` is the time of the newest observation, ``raised`` the number of faults that are not cleared.
    """

    resources: dict[str, int]
    hosts: int
    seen_at: datetime.datetime | None
    raised: int
    affected: int


class ResourceMap:
    """The map of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, observed: Iterable[Resource]) -> list[Resource]:
        """Merge observations into the map, and return what it now says of these resources.

        Idempotent, and independent of the order of observations, also between processes.
        """
        newest: dict[str, Resource] = {}
        for one in observed:
            known = newest.get(one.resource_id)
            newest[one.resource_id] = one if known is None else merge_resources(known, one)
        result: list[Resource] = []
        for chunk in in_chunks(newest, PAGE):
            result += self._apply([newest[resource_id] for resource_id in chunk])
        return result

    @retry_conflicts
    def _apply(self, observed: Sequence[Resource]) -> list[Resource]:
        with self._database.begin() as connection:
            return _merge_rows(connection, observed)

    def find(self, resource_ids: Collection[str]) -> dict[str, Resource]:
        """Return those of the resources that exist, by id."""
        found: dict[str, Resource] = {}
        with self._database.read() as connection:
            for chunk in in_chunks(resource_ids):
                rows = connection.execute(BY_ID, {"ids": chunk})
                found |= {row.resource_id: to_resource(row) for row in rows if not row.deleted}
        return found

    def servers(self, hosts: Collection[str] | None, project_id: str = "") -> list[Resource]:
        """Return the servers on some hosts, or on all if None, of one project or of all if it is empty."""
        server = sa.select(resource).where(
            resource.c.kind == ResourceKind.SERVER.value, ~resource.c.deleted, resource.c.project_id != ""
        )
        if project_id:
            server = server.where(resource.c.project_id == project_id)
        chunks = [None] if hosts is None else list(in_chunks(hosts))
        queries = [server if one is None else server.where(resource.c.host.in_(one)) for one in chunks]
        with self._database.read() as connection:
            found = [to_resource(row) for query in queries for row in connection.execute(query)]
        # Compared here as well: databases may compare strings without regard to case.
        return [one for one in found if project_id in ("", one.project_id)]

    def hosts(self) -> list[str]:
        """Return the hosts on which something is known to run, in alphabetical order."""
        query = sa.select(resource.c.host).where(resource.c.host != "", ~resource.c.deleted).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(query).scalars())

    def delete_unseen(self, kind: ResourceKind, seen: Collection[str], began: datetime.datetime) -> int:
        """Mark resources deleted that a complete snapshot does not contain; return their number.

        :param seen: the ids of all resources of this *kind* in the snapshot.
        :param began: when the snapshot began; what was observed since then is left alone.
        """
        total = 0
        for page in self._pages(kind):
            gone = [
                dataclasses.replace(one, deleted=True, seen_at=began, host="", host_at=began)
                for one in page
                if one.resource_id not in seen and one.seen_at < began and (one.host_at or began) <= began
            ]
            total += len(gone)
            self.apply(gone)
        return total

    def _pages(self, kind: ResourceKind) -> Iterator[list[Resource]]:
        after = ""
        while True:
            query = (
                sa.select(resource)
                .where(resource.c.kind == kind.value, ~resource.c.deleted, resource.c.resource_id > after)
                .order_by(resource.c.resource_id)
                .limit(PAGE)
            )
            with self._database.read() as connection:
                page = [to_resource(row) for row in connection.execute(query)]
            if not page:
                return
            yield page
            after = page[-1].resource_id

    def forget(self, before: datetime.datetime) -> None:
        """Remove the rows of resources that were deleted before then."""
        old = sa.and_(resource.c.deleted, resource.c.seen_at < before)
        with self._database.begin() as connection:
            connection.execute(sa.delete(resource).where(old))

    def stats(self) -> MapStats:
        """Return how much the map holds and how fresh it is."""
        living = ~resource.c.deleted
        kinds = (
            sa.select(resource.c.kind, sa.func.count().label("number"))
            .where(living)
            .group_by(resource.c.kind)
        )
        hosts = sa.select(sa.func.count(sa.distinct(resource.c.host))).where(living, resource.c.host != "")
        raised = sa.select(sa.func.count()).select_from(infrastructure_fault)
        with self._database.read() as connection:
            return MapStats(
                resources={row.kind: row.number for row in connection.execute(kinds)},
                hosts=connection.execute(hosts).scalar_one(),
                seen_at=connection.execute(sa.select(sa.func.max(resource.c.seen_at))).scalar_one(),
                raised=connection.execute(raised.where(infrastructure_fault.c.raised)).scalar_one(),
                affected=connection.execute(sa.select(sa.func.count()).select_from(affected)).scalar_one(),
            )


def on_hosts(connection: sa.Connection, hosts: Collection[str]) -> list[Resource]:
    """Return the servers on some hosts with their ports, and the ports there that belong to no known server.

    Where a server runs decides for its ports too: the binding of a port may lag behind a migration.
    """
    found: list[Resource] = []
    for chunk in in_chunks(hosts):
        for query in (_servers(chunk), _of_servers(chunk, ResourceKind.PORT), _other_ports(chunk)):
            found += [to_resource(row) for row in connection.execute(query)]
    return found


def volumes_on(connection: sa.Connection, host: str) -> list[Resource]:
    """Return the volumes of the servers on a host."""
    query = _of_servers([host], ResourceKind.VOLUME)
    return [to_resource(row) for row in connection.execute(query)]


def moved_from(connection: sa.Connection, host: str, resource_ids: Collection[str]) -> set[str]:
    """Return which of the resources run on another host now; ports and volumes are where their server is."""
    placed = resource.alias("placed")
    of_server = sa.and_(resource.c.kind != ResourceKind.SERVER.value, resource.c.device_id != "")
    placed_by = sa.case((of_server, resource.c.device_id), else_=resource.c.resource_id)
    query = sa.select(resource.c.resource_id).join(placed, placed.c.resource_id == placed_by)
    found: set[str] = set()
    for chunk in in_chunks(resource_ids):
        elsewhere = (~placed.c.deleted, placed.c.host.not_in(["", host]))
        rows = connection.execute(query.where(resource.c.resource_id.in_(chunk), *elsewhere))
        found |= set(rows.scalars())
    return found


def _servers(hosts: Sequence[str]) -> Any:
    return sa.select(resource).where(
        resource.c.host.in_(hosts), resource.c.kind == ResourceKind.SERVER.value, ~resource.c.deleted
    )


def _of_servers(hosts: Sequence[str], kind: ResourceKind) -> Any:
    server = resource.alias("server")
    return (
        sa.select(resource)
        .join(server, server.c.resource_id == resource.c.device_id)
        .where(
            server.c.host.in_(hosts),
            server.c.kind == ResourceKind.SERVER.value,
            ~server.c.deleted,
            resource.c.kind == kind.value,
            ~resource.c.deleted,
        )
    )


def _other_ports(hosts: Sequence[str]) -> Any:
    server = resource.alias("server")
    known = sa.and_(
        server.c.resource_id == resource.c.device_id,
        server.c.kind == ResourceKind.SERVER.value,
        ~server.c.deleted,
    )
    return (
        sa.select(resource)
        .outerjoin(server, known)
        .where(
            resource.c.host.in_(hosts),
            resource.c.kind == ResourceKind.PORT.value,
            ~resource.c.deleted,
            server.c.resource_id.is_(None),
        )
    )


def _merge_rows(connection: sa.Connection, observed: Sequence[Resource]) -> list[Resource]:
    rows: Any = connection.execute(LOCK, {"ids": [one.resource_id for one in observed]})
    known = {row.resource_id: to_resource(row) for row in rows}
    merged = [_merged(known.get(one.resource_id), one) for one in observed]
    new = [_row(one) for one in merged if one.resource_id not in known]
    changed = [
        {**_row(one), "key": one.resource_id}
        for one in merged
        if one.resource_id in known and one != known[one.resource_id]
    ]
    if new:
        connection.execute(sa.insert(resource), new)
    if changed:
        values: dict[str, Any] = {name: sa.bindparam(name) for name in changed[0] if name != "key"}
        connection.execute(UPDATE.values(values), changed)
    return merged


def _merged(known: Resource | None, observed: Resource) -> Resource:
    return observed if known is None else merge_resources(known, observed)


def _row(one: Resource) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)} | {
        "kind": one.kind.value
    }


def to_resource(row: Any) -> Resource:
    """Return the resource that a row of ``eventalarm_resource`` holds."""
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(Resource)}
    return Resource(**{**values, "kind": ResourceKind(row.kind)})
