"""The maintenance of hosts and what it inhibits, on every database."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from eventalarm.model import EPOCH, HostMaintenance, Resource, ResourceKind
from eventalarm.storage.database import Database, connect
from eventalarm.storage.inspector_tables import inhibition
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.resource_map import ResourceMap


def at(second: float) -> datetime.datetime:
    return EPOCH + datetime.timedelta(days=20000, seconds=second)


def report(
    second: float, *, session: str = "s-1", host: str = "c0", expires: float = 1000
) -> HostMaintenance:
    return HostMaintenance(session, host, "IN_MAINTENANCE", at(second), at(expires))


def server(name: str, host: str, second: float = 0) -> Resource:
    return Resource(ResourceKind.SERVER, name, at(second), project_id="p", host=host, host_at=at(second))


def of_server(kind: ResourceKind, name: str, device: str) -> Resource:
    return Resource(kind, name, at(0), project_id="p", device_id=device)


@dataclasses.dataclass
class Site:
    """The tables of one database."""

    database: Database
    resources: ResourceMap
    store: MaintenanceStore

    def inhibited(self) -> set[tuple[str, str]]:
        """Return the resources and sessions of the inhibitions that have not ended."""
        query = sa.select(inhibition.c.resource_id, inhibition.c.session_id)
        with self.database.read() as connection:
            return {(a, b) for a, b in connection.execute(query.where(inhibition.c.ended_at.is_(None)))}


@pytest.fixture
def site(our_database_url: str) -> Iterator[Site]:
    database = connect(our_database_url)
    yield Site(database, ResourceMap(database), MaintenanceStore(database))
    database.dispose()


def test_a_maintenance_inhibits_its_host_and_what_is_on_it(site: Site) -> None:
    """Fails if the ports and volumes of its servers, or the host itself, are not inhibited."""
    attached = [of_server(ResourceKind.PORT, "p-1", "vm-1"), of_server(ResourceKind.VOLUME, "v-1", "vm-1")]
    elsewhere = [server("vm-2", "c1"), of_server(ResourceKind.VOLUME, "v-2", "vm-2")]
    site.resources.apply([server("vm-1", "c0"), *attached, *elsewhere])
    assert site.store.begin(report(1), at(1))
    assert site.inhibited() == {(name, "s-1") for name in ("c0", "vm-1", "p-1", "v-1")}
    assert site.store.in_maintenance(["c0", "c1"], at(2)) == {"c0"}
    assert site.store.end(report(5), at(5))
    assert site.inhibited() == set()
    assert site.store.in_maintenance(["c0"], at(5)) == set()


def test_the_order_of_reports_does_not_matter(site: Site) -> None:
    """Fails if a beginning that arrives after the end begins the maintenance again."""
    assert site.store.end(report(5), at(6))
    assert not site.store.begin(report(1), at(7))
    assert not site.store.begin(report(5), at(7))
    assert site.inhibited() == set()
    assert site.store.begin(report(8), at(8))
    assert not site.store.end(report(7), at(9))
    assert site.inhibited() == {("c0", "s-1")}


def test_inhibition_follows_migrations(site: Site) -> None:
    """Fails if a server that left stays inhibited, or one that arrived or came back does not become so."""
    site.resources.apply(
        [server("vm-1", "c0"), of_server(ResourceKind.PORT, "p-1", "vm-1"), server("vm-2", "c1")]
    )
    site.store.begin(report(1), at(1))
    site.store.begin(report(1, session="s-2", host="c2"), at(1))
    site.store.follow(site.resources.apply([server("vm-1", "c3", 2), server("vm-2", "c0", 2)]), at(2))
    assert site.inhibited() == {("c0", "s-1"), ("vm-2", "s-1"), ("c2", "s-2")}
    site.store.follow(site.resources.apply([server("vm-1", "c0", 3), server("vm-2", "c2", 3)]), at(3))
    expected = {("c0", "s-1"), ("vm-1", "s-1"), ("p-1", "s-1"), ("c2", "s-2"), ("vm-2", "s-2")}
    assert site.inhibited() == expected
    # What was deleted has not left: it stays inhibited.
    gone = dataclasses.replace(server("vm-1", "", 4), deleted=True)
    site.store.follow(site.resources.apply([gone]), at(4))
    assert site.inhibited() == expected


def test_a_maintenance_expires_unless_it_is_prolonged(site: Site) -> None:
    site.resources.apply([server("vm-1", "c0")])
    site.store.begin(report(1, expires=10), at(1))
    site.store.begin(report(5, expires=20), at(5))
    query = sa.select(inhibition.c.expires_at).distinct()
    with site.database.read() as connection:
        assert set(connection.execute(query).scalars()) == {at(20)}
    assert site.store.in_maintenance(["c0"], at(19)) == {"c0"}
    assert site.store.in_maintenance(["c0"], at(20)) == set()
    site.store.forget(at(21))
    assert site.inhibited() == set()


def test_two_inspectors_record_the_same_maintenance(site: Site) -> None:
    """Fails if one of several reports at the same moment is lost, must be repeated, or leaves rows twice."""
    site.resources.apply([server(f"vm-{number}", "c0") for number in range(50)])
    sessions = [f"s-{number}" for number in range(10)]

    def begin(session: str) -> bool:
        return site.store.begin(report(1, session=session), at(1))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(list(pool.map(begin, [session] * 4)) == [True] * 4 for session in sessions)
    assert len(site.inhibited()) == 51 * len(sessions)
