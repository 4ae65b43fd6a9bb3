"""The faults of hosts, hypervisors and switches that the inspector knows, and the resources they affect."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import EPOCH, Affected, InfrastructureFault, Resource, ResourceKind
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.inspector_tables import affected, infrastructure_fault, resource
from eventalarm.storage.resource_map import on_hosts

# Namespace of the keys of faults. Never change it: a fault that is raised keeps its key.
KEYS: Final = uuid.UUID("6d1a3a3e-56a5-5c0b-8e05-8d9a3f6f2b11")


def fault_key(name: str, source: str) -> str:
    """Return the key of the fault *name* of one host, hypervisor or switch."""
    return str(uuid.uuid5(KEYS, f"{name}/{source}"))


class InfrastructureFaults:
    """The faults of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_conflicts
    def raise_fault(self, fault: InfrastructureFault) -> tuple[InfrastructureFault, list[Resource]] | None:
        """Record a fault, and return it with the resources whose owners must be notified; None if it is late.

        Late is a report that is older than what is known of the fault. A further report of a raised fault
        concerns only resources whose owners were not notified yet, unless it names another severity; the
        first report stays the cause. The resources are recorded as affected and not yet published
        (:meth:`mark_published`), so that the same report, delivered again, finds them even if they moved.
        """
        key = fault_key(fault.name, fault.source)
        with self._database.begin() as connection:
            known = _lock(connection, key)
            if known is not None and (fault.at < known.at or (fault.at == known.at and not known.raised)):
                return None
            repeated = known is not None and _repeats(known, fault)
            if known is not None and repeated:
                fault = dataclasses.replace(known, at=fault.at)
            _put(connection, key, fault, known is not None)
            found = _refresh(connection, key, fault.hosts)
        return fault, [one.resource for one in found if not (repeated and one.published)]

    @retry_conflicts
    def affected_by(self, fault: InfrastructureFault) -> tuple[InfrastructureFault, list[Resource]] | None:
        """Return a raised fault and the resources it was found to affect, for a report that clears it.

        None if there is nothing to clear: the fault is not raised, or was reported after *fault* ``.at``.
        Then the time is recorded, so that an older report that arrives late does not raise it.
        """
        key = fault_key(fault.name, fault.source)
        with self._database.begin() as connection:
            known = _lock(connection, key)
            if known is None or (not known.raised and known.at < fault.at):
                _put(connection, key, fault, known is not None)
                return None
            if not known.raised or fault.at < known.at:
                return None
            return known, [one.resource for one in _affected(connection, key)]

    def clear(self, fault: InfrastructureFault) -> None:
        """Record that a fault is cleared, once every owner's event is published."""
        key = fault_key(fault.name, fault.source)
        with self._database.begin() as connection:
            known = _lock(connection, key)
            if known is not None and known.raised and known.at <= fault.at:
                _put(connection, key, fault, exists=True)
                connection.execute(sa.delete(affected).where(affected.c.fault_key == key))

    def raised(self) -> list[InfrastructureFault]:
        """Return the faults that are raised."""
        query = sa.select(infrastructure_fault).where(infrastructure_fault.c.raised)
        with self._database.read() as connection:
            return [_fault(row) for row in connection.execute(query)]

    def raised_among(self, resources: Collection[Resource]) -> list[InfrastructureFault]:
        """Return the raised faults that affect some resources, or the hosts where they run now."""
        raised = self.raised()
        if not raised:
            return []
        keys: set[str] = set()
        with self._database.read() as connection:
            for chunk in in_chunks({one.resource_id for one in resources}):
                query = sa.select(affected.c.fault_key).where(affected.c.resource_id.in_(chunk)).distinct()
                keys |= set(connection.execute(query).scalars())
        hosts = {one.host for one in resources}
        return [
            one
            for one in raised
            if not hosts.isdisjoint(one.hosts) or fault_key(one.name, one.source) in keys
        ]

    def changes(self, fault: InfrastructureFault) -> tuple[list[Resource], list[Resource]]:
        """Return the resources whose owners do not know of a raised fault yet, and those that left its hosts.

        What left is returned only if its owner knows of the fault. A resource that was deleted has not left.
        """
        key = fault_key(fault.name, fault.source)
        with self._database.begin() as connection:
            known = _lock(connection, key)
            if known is None or not known.raised:
                return [], []
            everything = _refresh(connection, key, known.hosts)
            left = _left(connection, key, known.hosts)
        there = [
            one.resource for one in everything if not one.published and one.resource.resource_id not in left
        ]
        gone = [one.resource for one in everything if one.published and one.resource.resource_id in left]
        return there, gone

    def mark_published(self, fault: InfrastructureFault, resources: Iterable[Resource]) -> None:
        """Record that the broker has confirmed the events about these resources."""
        update = sa.update(affected).values(published=True)
        self._change(update, fault, resources)

    def forget_affected(self, fault: InfrastructureFault, resources: Iterable[Resource]) -> None:
        """Record that these resources are not affected any more."""
        self._change(sa.delete(affected), fault, resources)

    def _change(self, statement: Any, fault: InfrastructureFault, resources: Iterable[Resource]) -> None:
        key = fault_key(fault.name, fault.source)
        with self._database.begin() as connection:
            for chunk in in_chunks([one.resource_id for one in resources]):
                connection.execute(
                    statement.where(affected.c.fault_key == key, affected.c.resource_id.in_(chunk))
                )

    def forget(self, before: datetime.datetime) -> None:
        """Remove faults of which nothing was reported since then, with what they affect."""
        with self._database.begin() as connection:
            old = sa.select(infrastructure_fault.c.fault_key).where(infrastructure_fault.c.at < before)
            keys: Sequence[str] = connection.execute(old).scalars().all()
            for chunk in in_chunks(keys):
                for table in (affected, infrastructure_fault):
                    connection.execute(sa.delete(table).where(table.c.fault_key.in_(chunk)))


def _lock(connection: sa.Connection, key: str) -> InfrastructureFault | None:
    query = sa.select(infrastructure_fault).where(infrastructure_fault.c.fault_key == key)
    row = connection.execute(query.with_for_update()).first()
    return None if row is None else _fault(row)


def _repeats(known: InfrastructureFault, fault: InfrastructureFault) -> bool:
    """Return True if *fault* is another report of a fault that is raised, and says nothing new."""
    same = fault.severity in ("", known.severity)
    return known.raised and known.fault_id != fault.fault_id and same


def _put(connection: sa.Connection, key: str, fault: InfrastructureFault, exists: bool) -> None:
    values = {
        "name": fault.name,
        "source": fault.source,
        "hosts": list(fault.hosts),
        "raised": fault.raised,
        "at": fault.at,
        "fault_id": fault.fault_id,
        "body": json.dumps(fault.body),
    }
    if exists:
        this = infrastructure_fault.c.fault_key == key
        connection.execute(sa.update(infrastructure_fault).where(this).values(values))
    else:
        connection.execute(sa.insert(infrastructure_fault), [{"fault_key": key, **values}])


def _refresh(connection: sa.Connection, key: str, hosts: Collection[str]) -> list[Affected]:
    """Record what is on the hosts as affected, and return all that the fault affects."""
    known = _affected(connection, key)
    ids = {one.resource.resource_id for one in known}
    new = [one for one in on_hosts(connection, hosts) if one.project_id and one.resource_id not in ids]
    if new:
        connection.execute(sa.insert(affected), [_affected_row(key, one) for one in new])
    return [*known, *(Affected(one, published=False) for one in new)]


def _left(connection: sa.Connection, key: str, hosts: Sequence[str]) -> set[str]:
    """Return the ids of affected resources that now run elsewhere: a port where its server runs."""
    of_port = sa.and_(affected.c.kind == ResourceKind.PORT.value, affected.c.device_id != "")
    placed_by = sa.case((of_port, affected.c.device_id), else_=affected.c.resource_id)
    query = (
        sa.select(affected.c.resource_id)
        .join(resource, resource.c.resource_id == placed_by)
        .where(affected.c.fault_key == key, ~resource.c.deleted, resource.c.host.not_in(["", *hosts]))
    )
    return set(connection.execute(query).scalars())


def _affected(connection: sa.Connection, key: str) -> list[Affected]:
    query = sa.select(affected).where(affected.c.fault_key == key).order_by(affected.c.resource_id)
    return [Affected(_affected_resource(row), row.published) for row in connection.execute(query)]


def _affected_row(key: str, one: Resource) -> dict[str, Any]:
    return {
        "fault_key": key,
        "resource_id": one.resource_id,
        "kind": one.kind.value,
        "project_id": one.project_id,
        "device_id": one.device_id,
        "published": False,
    }


def _affected_resource(row: Any) -> Resource:
    kind = ResourceKind(row.kind)
    return Resource(kind, row.resource_id, EPOCH, project_id=row.project_id, device_id=row.device_id)


def _fault(row: Any) -> InfrastructureFault:
    return InfrastructureFault(
        name=row.name,
        source=row.source,
        hosts=tuple(row.hosts or ()),
        raised=row.raised,
        at=row.at,
        fault_id=row.fault_id,
        body=json.loads(row.body),
    )
