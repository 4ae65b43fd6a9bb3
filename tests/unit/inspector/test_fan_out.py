"""Which events report faults of hosts and switches, and what their owners receive: by table."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eventalarm.catalogue import fault_files
from eventalarm.catalogue.faults import FanOut
from eventalarm.inspector import fan_out
from eventalarm.inspector.reports import ReportReader, with_host_name
from eventalarm.model import UTC, Event, InfrastructureFault, Resource, ResourceKind
from eventalarm.owner import Owners

RECEIVED = datetime.datetime(2026, 11, 27, 10, tzinfo=UTC)
AT = datetime.datetime(2026, 11, 27, 9, tzinfo=UTC)
OWNERS = Owners(["project_id", "tenant_id", "caller_project_id"])
CATALOGUE = fault_files.load()
READER = ReportReader(CATALOGUE, OWNERS, {"tor-1": ("c0", "c1")})
VM = Resource(ResourceKind.SERVER, "vm-1", AT, project_id="p")
PORT = Resource(ResourceKind.PORT, "port-1", AT, project_id="p", device_id="vm-1")


def event(event_type: str, message_id: str = "m-1", **traits: Any) -> Event:
    listed = [[name, 1, value] for name, value in traits.items()]
    body = {
        "message_id": message_id,
        "event_type": event_type,
        "generated": "2026-11-27T09:00:00",
        "traits": listed,
    }
    return Event.parse(body)


def read(event_type: str, **traits: Any) -> list[InfrastructureFault]:
    return READER.read(event(event_type, **traits), RECEIVED)


NOVA = {"host": "c0", "binary": "nova-compute"}


@pytest.mark.parametrize(
    ("event_type", "traits", "raised", "hosts"),
    [
        ("compute.host.down", {"hostname": "c0", "status": "down"}, True, ("c0",)),
        ("compute.host.up", {"hostname": "c0", "status": "up"}, False, ("c0",)),
        ("service.update", {**NOVA, "forced_down": "True"}, True, ("c0",)),
        ("service.update", {**NOVA, "forced_down": "False"}, False, ("c0",)),
        ("compute.host.nic", {"host": "c0", "status": "failed"}, True, ("c0",)),
        ("compute.host.nic", {"host": "c0", "status": "ok"}, False, ("c0",)),
        ("network.switch.down", {"switch": "tor-1"}, True, ("c0", "c1")),
        ("network.switch.up", {"switch": "tor-1"}, False, ("c0", "c1")),
        ("network.switch.down", {"switch": "tor-9", "hosts": "c5, c6"}, True, ("c5", "c6")),
        ("network.switch.down", {"switch": "unknown"}, True, ()),
        ("libvirt.connect.error", {"host": "c0"}, True, ("c0",)),
    ],
)
def test_reports(event_type: str, traits: dict[str, str], raised: bool, hosts: tuple[str, ...]) -> None:
    found = read(event_type, **traits)
    assert {(one.raised, one.hosts, one.at) for one in found} == {(raised, hosts, AT)}


@pytest.mark.parametrize(
    ("event_type", "traits"),
    [
        # About one server: its owner alone is concerned.
        ("compute.host.down", {"hostname": "c0", "instance_id": "vm-1"}),
        ("compute.host.down", {}),
        ("service.update", {"host": "c0", "binary": "nova-scheduler", "forced_down": "True"}),
        ("compute.instance.update", {"host": "c0", "state": "error"}),
        ("unheard.of", {"host": "c0"}),
    ],
)
def test_other_events_report_nothing(event_type: str, traits: dict[str, str]) -> None:
    assert read(event_type, **traits) == []


def test_a_host_that_masakari_names_by_an_id() -> None:
    """It is the same fault as that of another report about the host; without the map it affects nothing."""
    known = {
        "h-1": Resource(ResourceKind.HOST_ID, "h-1", AT, host="c0"),
        "vm-1": VM,
    }
    about = event("notification.process.end", type="COMPUTE_HOST", failure="STOPPED", resource_id="h-1")
    named = with_host_name(about, known)
    (found,), (other,) = READER.read(named, RECEIVED), read("compute.host.down", hostname="c0")
    assert (found.name, found.source, found.hosts) == (other.name, "c0", ("c0",))
    assert named.message_id == about.message_id
    assert [one.hosts for one in READER.read(with_host_name(about, {}), RECEIVED)] == [("h-1",)]
    for same in (
        event("compute.host.down", hostname="c0", resource_id="h-1"),
        event("x", resource_id="vm-1"),
    ):
        assert with_host_name(same, known) is same


def test_a_fault_and_its_end_have_the_same_name() -> None:
    """Fails if an event that ends a fault were found under another entry of the catalogue."""
    pairs = [
        (read("compute.host.down", host="c0"), read("compute.host.up", host="c0")),
        (
            read("service.update", **NOVA, forced_down="True"),
            read("service.update", **NOVA, forced_down="False"),
        ),
        (
            read("compute.host.nic", host="c0", status="failed"),
            read("compute.host.nic", host="c0", status="ok"),
        ),
        (read("network.switch.down", switch="tor-1"), read("network.switch.up", switch="tor-1")),
    ]
    for reported, ended in pairs:
        assert {one.name for one in reported} <= {one.name for one in ended}


def test_an_owner_or_a_published_event_is_left_alone() -> None:
    assert READER.is_unowned(event("compute.host.down", host="c0"))
    assert not READER.is_unowned(event("compute.host.down", host="c0", project_id="p"))
    (fault,) = read("compute.host.down", host="c0")
    entry = CATALOGUE.get(fault.name)
    assert entry is not None
    published = fan_out.raised_events(entry, fault, [VM, PORT])
    assert [READER.is_unowned(Event.parse(body)) for body in published] == [False] * 3
    again = fan_out.owned_event(event("notification.create.end", instance_id="vm-1").body, VM)
    assert not READER.is_unowned(Event.parse(again))


def traits_of(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, _, value in body["traits"]}


def test_events_of_a_fault() -> None:
    (fault,) = read("compute.host.down", hostname="c0", status="down", severity="critical")
    entry = CATALOGUE.get(fault.name)
    assert entry is not None
    root, server, port = fan_out.raised_events(entry, fault, [VM, PORT])
    assert (root["message_id"], traits_of(root)["is_root_cause"], traits_of(root)["fault_id"]) == (
        "m-1",
        "True",
        "m-1",
    )
    assert traits_of(server) == {
        "hostname": "c0",
        "status": "down",
        "severity": "critical",
        "project_id": "p",
        "tenant_id": "p",
        "resource_id": "vm-1",
        "instance_id": "vm-1",
        "fault_id": "m-1",
        "is_root_cause": "False",
    }
    assert traits_of(port)["device_id"] == "vm-1"
    assert "instance_id" not in traits_of(port)
    assert server["message_id"] == fan_out.event_id("m-1", "vm-1") != port["message_id"]
    assert fan_out.raised_events(entry, fault, [VM, PORT]) == [root, server, port]
    assert {OWNERS.of(Event.parse(one)) for one in (server, port)} == {"p"}
    assert OWNERS.of(Event.parse(root)) == ""


@pytest.mark.parametrize(
    ("down", "up", "types", "statuses"),
    [
        (
            event("compute.host.down", host="c0"),
            event("compute.host.up", "m-2", host="c0"),
            ("compute.host.down", "compute.host.up"),
            ("down", "up"),
        ),
        # Owners of servers know nothing of Nova's services: the fault has the same name for them.
        (
            event("service.update", **NOVA, forced_down="True"),
            event("service.update", "m-2", **NOVA, forced_down="False"),
            ("compute.host.down", "compute.host.up"),
            ("down", "up"),
        ),
        (
            event("compute.host.nic", host="c0", status="failed"),
            event("compute.host.nic", "m-2", host="c0", status="ok"),
            ("compute.host.nic", "compute.host.nic"),
            ("failed", "ok"),
        ),
    ],
)
def test_the_type_and_status_of_a_fault_and_its_end(
    down: Event, up: Event, types: tuple[str, str], statuses: tuple[str, str]
) -> None:
    (fault,), (ended,) = READER.read(down, RECEIVED), READER.read(up, RECEIVED)
    entry = CATALOGUE.get(fault.name)
    assert entry is not None
    _, raised = fan_out.raised_events(entry, fault, [VM])
    root, cleared = fan_out.cleared_events(entry, ended, fault.fault_id, [VM])
    assert (raised["event_type"], cleared["event_type"]) == types
    assert (traits_of(raised)["status"], traits_of(cleared)["status"]) == statuses
    assert traits_of(cleared)["fault_id"] == traits_of(root)["fault_id"] == "m-1"
    assert cleared["message_id"] == fan_out.event_id("m-2", "vm-1")
    (left,) = fan_out.left_events(entry, fault, [VM], RECEIVED)
    assert (left["event_type"], traits_of(left)["status"]) == (types[1], statuses[1])
    assert left["generated"] == "2026-11-27T10:00:00"
    assert len({raised["message_id"], cleared["message_id"], left["message_id"]}) == 3


def test_an_event_without_owner_is_published_with_it() -> None:
    body = event("notification.create.end", "m-3", instance_id="vm-1", type="VM").body
    found = fan_out.owned_event(body, VM)
    assert traits_of(found) == {
        "instance_id": "vm-1",
        "type": "VM",
        "project_id": "p",
        "tenant_id": "p",
        "fault_id": "m-3",
        "is_root_cause": "True",
    }
    assert found["event_type"] == "notification.create.end"


def test_every_entry_that_fans_out_can_be_ended_or_says_so() -> None:
    """An entry of the catalogue whose own end is not recognised would leave its owners' alarms raised."""
    for entry in CATALOGUE.faults:
        if entry.fan_out is FanOut.NONE:
            continue
        for condition in entry.cleared_by:
            traits = {name: patterns[0] for name, patterns in condition.traits}
            event_type = condition.event_type.replace("*", "something")
            assert entry in CATALOGUE.find_cleared(event_type, traits), entry.name
