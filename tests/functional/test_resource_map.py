"""The resource map and the faults of the infrastructure on every database."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
from collections.abc import Iterator

import pytest
from oslo_db import exception as db_exception

from eventalarm.model import EPOCH, InfrastructureFault, Resource, ResourceKind
from eventalarm.storage.database import Database, connect
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.policy_matches import PolicyMatch, PolicyMatches
from eventalarm.storage.resource_map import ResourceMap, on_hosts

SERVER, PORT, VOLUME = ResourceKind.SERVER, ResourceKind.PORT, ResourceKind.VOLUME


def at(second: float) -> datetime.datetime:
    return EPOCH + datetime.timedelta(days=20000, seconds=second)


def server(name: str, host: str, second: float = 0, **values: object) -> Resource:
    return Resource(SERVER, name, at(second), project_id="p", host=host, host_at=at(second), **values)  # type: ignore[arg-type]


def fault(second: float = 10, *, raised: bool = True, fault_id: str = "f-1") -> InfrastructureFault:
    return InfrastructureFault("host-down", "c0", ("c0",), raised, at(second), fault_id, {"traits": []})


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    opened = connect(our_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def resources(database: Database) -> ResourceMap:
    return ResourceMap(database)


@pytest.fixture
def faults(database: Database) -> InfrastructureFaults:
    return InfrastructureFaults(database)


def raised(found: tuple[InfrastructureFault, list[Resource]] | None) -> list[Resource]:
    assert found is not None
    return found[1]


def ids(found: list[Resource]) -> list[str]:
    return sorted(one.resource_id for one in found)


def test_ports_are_where_their_server_is(database: Database, resources: ResourceMap) -> None:
    """Fails if the binding of a port counts while its server is elsewhere."""
    resources.apply([server("vm-1", "c0"), server("vm-2", "c1"), server("gone", "c0", deleted=True)])
    ports = [
        Resource(PORT, "p-1", at(0), project_id="p", device_id="vm-1"),
        Resource(PORT, "p-2", at(0), project_id="p", device_id="vm-2", host="c0", host_at=at(0)),
        Resource(PORT, "p-router", at(0), project_id="p", device_id="router", host="c0", host_at=at(0)),
    ]
    resources.apply([*ports, Resource(VOLUME, "v-1", at(0), project_id="p", device_id="vm-1")])
    with database.read() as connection:
        assert ids(on_hosts(connection, ["c0"])) == ["p-1", "p-router", "vm-1"]
    found = resources.stats()
    assert (found.resources, found.hosts) == ({"server": 2, "port": 3, "volume": 1}, 2)


def test_late_observations_change_nothing(resources: ResourceMap) -> None:
    resources.apply([server("vm-1", "c1", 5)])
    (found,) = resources.apply([server("vm-1", "c0", 1), server("vm-1", "c9", 2)])
    assert (found.host, found.seen_at) == ("c1", at(5))
    assert resources.find(["vm-1", "unknown"]) == {"vm-1": found}


def test_two_inspectors_write_the_same_resources(resources: ResourceMap) -> None:
    """Fails with an upsert that replaces a row which another inspector has just inserted."""
    names = [f"vm-{number}" for number in range(50)]
    barrier = threading.Barrier(2)

    def observe(host: str, second: int) -> None:
        barrier.wait()
        resources.apply([server(name, host, second) for name in names])

    threads = [threading.Thread(target=observe, args=one) for one in (("new", 2), ("old", 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.host for one in resources.find(names).values()} == {"new"}


def test_ids_that_the_database_takes_for_one_hold_no_batch(resources: ResourceMap) -> None:
    """MySQL ignores trailing blanks. Fails if the error looks as if a later retry could succeed."""
    resources.apply([server("vm-1", "c0")])
    with contextlib.suppress(db_exception.DBDuplicateEntry):
        resources.apply([server("vm-1 ", "c1", 1)])
    assert resources.find(["vm-1"])["vm-1"].host == "c0"


def test_what_a_snapshot_lacks_is_deleted(resources: ResourceMap) -> None:
    resources.apply([server("seen", "c0"), server("gone", "c0"), server("younger", "c0", 10)])
    assert resources.delete_unseen(SERVER, {"seen"}, at(5)) == 1
    assert sorted(resources.find(["seen", "gone", "younger"])) == ["seen", "younger"]
    resources.apply([server("gone", "c0", 4)])
    assert resources.find(["gone"]) == {}
    resources.forget(at(6))
    resources.apply([server("gone", "c0", 4)])
    assert sorted(resources.find(["gone"])) == ["gone"]


def test_a_fault_affects_what_was_on_its_host(resources: ResourceMap, faults: InfrastructureFaults) -> None:
    """Delivered again after a server has left, the report still finds it."""
    resources.apply([server("vm-1", "c0"), server("vm-2", "c0"), server("vm-3", "c1")])
    assert ids(raised(faults.raise_fault(fault()))) == ["vm-1", "vm-2"]
    resources.apply([server("vm-2", "c1", 11)])
    assert ids(raised(faults.raise_fault(fault()))) == ["vm-1", "vm-2"]
    found = faults.affected_by(fault(20, raised=False))
    assert found is not None
    assert (found[0], ids(found[1])) == (fault(), ["vm-1", "vm-2"])
    assert faults.raised_among([server("vm-2", "c1")]) == [fault()]
    assert faults.raised_among([server("vm-9", "c0")]) == [fault()]
    assert faults.raised_among([server("vm-9", "c1")]) == []
    faults.clear(fault(20, raised=False))
    assert faults.affected_by(fault(21, raised=False)) is None
    assert faults.raised() == []


def test_what_arrives_and_leaves_during_a_fault(resources: ResourceMap, faults: InfrastructureFaults) -> None:
    resources.apply([server("vm-1", "c0"), server("vm-2", "c1"), server("vm-3", "c0")])
    resources.apply([Resource(PORT, "p-1", at(0), project_id="p", device_id="vm-1")])
    found = raised(faults.raise_fault(fault()))
    assert ids(found) == ["p-1", "vm-1", "vm-3"]
    (known,) = faults.raised()
    assert known == fault()
    assert [ids(part) for part in faults.changes(known)] == [["p-1", "vm-1", "vm-3"], []]
    faults.mark_published(known, found)
    assert faults.changes(known) == ([], [])
    resources.apply(
        [server("vm-1", "c1", 11), server("vm-2", "c0", 11), server("vm-3", "c0", 11, deleted=True)]
    )
    arrived, left = faults.changes(known)
    assert (ids(arrived), ids(left)) == (["vm-2"], ["p-1", "vm-1"])
    faults.mark_published(known, arrived)
    faults.forget_affected(known, left)
    assert faults.changes(known) == ([], [])


def test_a_repeated_report_concerns_what_is_new(resources: ResourceMap, faults: InfrastructureFaults) -> None:
    """The first report stays the cause; another severity concerns everybody again."""
    resources.apply([server("vm-1", "c0")])
    faults.mark_published(fault(), raised(faults.raise_fault(fault())))
    resources.apply([server("vm-2", "c0", 11)])
    found = faults.raise_fault(fault(12, fault_id="f-2"))
    assert found is not None
    assert (found[0].fault_id, ids(found[1])) == ("f-1", ["vm-2"])
    worse = dataclasses.replace(fault(13, fault_id="f-3"), body={"traits": [["severity", 1, "critical"]]})
    found = faults.raise_fault(worse)
    assert found is not None
    assert (found[0].fault_id, ids(found[1])) == ("f-3", ["vm-1", "vm-2"])


def test_late_reports_of_a_fault(resources: ResourceMap, faults: InfrastructureFaults) -> None:
    """Fails without the row that remembers an end which arrived before its beginning."""
    resources.apply([server("vm-1", "c0")])
    assert faults.affected_by(fault(20, raised=False)) is None
    assert faults.raise_fault(fault(10)) is None
    assert faults.raise_fault(fault(20)) is None
    assert ids(raised(faults.raise_fault(fault(30)))) == ["vm-1"]
    assert faults.affected_by(fault(25, raised=False)) is None
    assert len(faults.raised()) == 1
    faults.forget(at(29))
    assert len(faults.raised()) == 1
    faults.forget(at(31))
    assert faults.raised() == []


def test_events_count_once_within_their_window(database: Database) -> None:
    """By the events' own times, in whatever order they arrive."""
    matches = PolicyMatches(database)

    def count(message_id: str, second: float, source: str = "c0") -> int:
        (number,) = matches.count([PolicyMatch("policy", source, message_id, at(second), 10)])
        return number

    assert [count("a", 0), count("a", 0), count("b", 9), count("c", 10), count("other", 10, "c1")] == [
        1,
        1,
        2,
        2,
        1,
    ]
    assert count("late", 8) == 2
    assert count("d", 10) == 4
    matches.forget(at(10))
    assert count("e", 10) == 3
    batch = [PolicyMatch("policy", f"c{number}", f"m-{number}", at(20), 10) for number in range(150)]
    assert matches.count([*batch, *batch[:2]]) == [1] * 152
    assert matches.count([]) == []
