"""Snapshots that correct where servers run while the fault of a host is raised."""

from __future__ import annotations

import datetime
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from eventalarm.catalogue import fault_files
from eventalarm.inspector.cloud import CloudUnavailable
from eventalarm.inspector.engine import Inspector
from eventalarm.inspector.reports import ReportReader
from eventalarm.inspector.sessions import SessionTracker
from eventalarm.inspector.snapshot import LEASE_SECONDS, Snapshot, SnapshotLoop
from eventalarm.metrics import Metrics
from eventalarm.model import STRING, UTC, Event, JSONDict, Resource, ResourceKind, make_body
from eventalarm.owner import Owners
from eventalarm.storage.database import Database, connect
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.maintenance_sessions import MaintenanceSessions
from eventalarm.storage.policy_matches import PolicyMatches
from eventalarm.storage.resource_map import SNAPSHOT_LEASE, ResourceMap
from eventalarm.storage.tables import metadata
from tests.support.helpers import wait_until

START = datetime.datetime(2026, 11, 27, 9, tzinfo=UTC)


class Nova:
    """Stands in for the cloud: servers by name, with the host that Nova names.

    ``meanwhile`` is called while the first request of a snapshot is answered.
    """

    def __init__(self, hosts: Mapping[str, str], meanwhile: Callable[[], object] = lambda: None) -> None:
        self.hosts = dict(hosts)
        self.meanwhile = meanwhile

    def host_ids(self, at: datetime.datetime) -> list[Resource]:
        self.meanwhile()
        return []

    def server_groups(self) -> dict[str, str]:
        return {}

    def servers(self, groups: Mapping[str, str], at: datetime.datetime) -> Iterator[list[Resource]]:
        for name, host in self.hosts.items():
            project = f"project of {name}"
            yield [Resource(ResourceKind.SERVER, name, at, project_id=project, host=host, host_at=at)]

    def ports(self, at: datetime.datetime) -> Iterator[Resource]:
        return iter(())


class Site:
    """An inspector with its stores; ``published`` are the events since the last look."""

    def __init__(self, database: Database, nova: Nova) -> None:
        self.now = START
        # By how much the clock of the database was set back.
        self.set_back = datetime.timedelta(0)
        self.published: list[JSONDict] = []
        owners, metrics, catalogue = Owners(["project_id"]), Metrics(), fault_files.load()
        self.resources = resources = ResourceMap(database)
        tracker = SessionTracker(
            resources,
            MaintenanceSessions(database),
            owners=owners,
            publish=self.published.extend,
            metrics=metrics,
            infrastructure_projects=[],
        )
        self.inspector = Inspector(
            resources,
            InfrastructureFaults(database),
            catalogue,
            reader=ReportReader(catalogue, owners, {}),
            owners=owners,
            publish=self.published.extend,
            metrics=metrics,
            now=lambda: self.now - self.set_back,
            latest=lambda: self.now,
            matches=PolicyMatches(database),
            maintenance=MaintenanceStore(database),
            maintenance_timeout=3600.0,
            sessions=tracker,
        )
        self.snapshot = Snapshot(nova, resources, self.inspector, lambda: True)  # type: ignore[arg-type]

    def report(self, event_type: str, host: str, status: str) -> dict[str, tuple[str, str]]:
        self.handle(event_type, host=host, status=status)
        return self.received()

    def handle(self, event_type: str, **traits: str) -> None:
        """Handle an event that was generated 10 seconds after what came before."""
        self.now += datetime.timedelta(seconds=10)
        listed = [(name, STRING, value) for name, value in traits.items()]
        generated = self.now.replace(tzinfo=None).isoformat()
        message_id = " ".join(traits.values())
        self.inspector.process([Event.parse(make_body(message_id, event_type, generated, listed))])

    def where(self, *names: str) -> dict[str, str]:
        """Return the host of each of the resources that the map has."""
        return {name: one.host for name, one in self.resources.find(names).items()}

    def take(self) -> dict[str, tuple[str, str]]:
        self.now += datetime.timedelta(seconds=10)
        self.snapshot.take(self.now)
        return self.received()

    def received(self) -> dict[str, tuple[str, str]]:
        """Return the status that each server's project received, by server; forget the events."""
        found: dict[str, tuple[str, str]] = {}
        for body in self.published:
            traits: dict[str, Any] = {name: value for name, _, value in body["traits"]}
            if "instance_id" in traits:
                assert traits["instance_id"] not in found
                found[traits["instance_id"]] = traits["project_id"], traits["status"]
        self.published.clear()
        return found


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Iterator[Database]:
    opened = connect(f"sqlite:///{tmp_path}/inspector.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.dispose()


def test_a_server_that_nova_shows_on_another_host_gets_the_clear_alone(database: Database) -> None:
    """As after a renamed host or a move to another cell. Fails if the snapshot does not end old faults."""
    nova = Nova({"vm-1": "c0", "vm-2": "c0", "vm-3": "c1"})
    site = Site(database, nova)
    assert site.take() == {}
    down = {"vm-1": ("project of vm-1", "down"), "vm-2": ("project of vm-2", "down")}
    assert site.report("compute.host.down", "c0", "down") == down
    nova.hosts["vm-1"] = "c0.cell2"
    assert site.take() == {"vm-1": ("project of vm-1", "up")}
    assert site.take() == {}
    assert site.report("compute.host.up", "c0", "up") == {"vm-2": ("project of vm-2", "up")}


def test_a_snapshot_does_not_undo_what_an_event_said_after_it_began(database: Database) -> None:
    """The services answer without what happened meanwhile. Fails if a snapshot is as old as the answers."""
    nova = Nova({"moved": "c0"})
    site = Site(database, nova)

    def meanwhile() -> None:
        for name in ("new", "moved"):
            traits = {"instance_id": name, "project_id": "p", "state": "active", "compute_host": "c1"}
            site.handle("compute.instance.update", **traits)
        site.handle("host.create.end", resource_id="id-of-c1", name="c1")

    nova.meanwhile = meanwhile
    site.take()
    assert site.where("new", "moved", "id-of-c1") == dict.fromkeys(("new", "moved", "id-of-c1"), "c1")
    nova.meanwhile = lambda: None
    nova.hosts["moved"] = "c2"
    site.take()
    assert site.where("new", "moved", "id-of-c1") == {"moved": "c2"}


def test_a_server_moves_although_the_database_clock_was_set_back(database: Database) -> None:
    """Fails if events are dated by that clock: then the second one is older than the first."""
    site = Site(database, Nova({}))
    server = {"instance_id": "vm", "project_id": "p", "state": "active"}
    site.handle("compute.instance.update", **server, compute_host="c0")
    site.set_back = datetime.timedelta(hours=1)
    site.handle("compute.instance.update", **server, compute_host="c1")
    assert site.where("vm") == {"vm": "c1"}


def test_the_rest_of_a_round_is_done_while_nova_is_unavailable(database: Database) -> None:
    """Fails if a failed snapshot ends the round: gauges would stay as they are, and the tables would grow."""

    def unavailable() -> None:
        raise CloudUnavailable("HTTP 503")

    site = Site(database, Nova({}, unavailable))
    server = {"instance_id": "vm", "project_id": "p", "state": "active"}
    site.handle("compute.instance.update", **server, compute_host="c0")
    metrics, forgot = Metrics(), threading.Event()
    loop = SnapshotLoop(
        site.snapshot,
        LeaderLease(database, SNAPSHOT_LEASE, "this inspector", LEASE_SECONDS),
        site.resources,
        forget=lambda now: forgot.set(),
        interval=60.0,
        metrics=metrics,
        now=lambda: site.now,
    )
    loop.start()
    assert forgot.wait(30)
    loop.stop()
    assert metrics.registry.get_sample_value("eventalarm_resource_map_resources") == 1


def test_a_snapshot_is_due_again_after_the_clock_was_set_back(database: Database) -> None:
    """Fails if the time of the last one must pass again first: the map would be old for as long."""
    site = Site(database, Nova({"vm": "c0"}))
    lease = LeaderLease(database, SNAPSHOT_LEASE, "this inspector", LEASE_SECONDS)
    assert lease.take()
    lease.done(site.now + datetime.timedelta(hours=1))
    loop = SnapshotLoop(
        site.snapshot,
        lease,
        site.resources,
        forget=lambda now: None,
        interval=60.0,
        metrics=Metrics(),
        now=lambda: site.now,
    )
    loop.start()
    wait_until(lambda: site.where("vm") == {"vm": "c0"}, what="a snapshot")
    loop.stop()
