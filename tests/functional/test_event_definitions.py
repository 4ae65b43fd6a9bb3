"""The event definitions that we ship, through Ceilometer's converter: owners, hosts, states."""

from __future__ import annotations

import datetime
import fnmatch
import json
from typing import Any

import pytest
import yaml

from tests.support.cloud import ROOT, load_notification
from tests.support.definitions import FRAGMENTS, SHIPPED, Converter

NOTHING = object()
LATER = datetime.datetime(2026, 11, 21, 6, 0)


def nova(**data: Any) -> dict[str, Any]:
    return {"nova_object.data": data, "nova_object.name": "X", "nova_object.namespace": "nova"}


def masakari(**data: Any) -> dict[str, Any]:
    return {"masakari_object.data": data, "masakari_object.namespace": "masakari"}


FORCED_DOWN = json.loads((ROOT / "tests/data/nova-service.update-forced-down.json").read_text())
PORT = {
    "id": "port-1",
    "name": "eth0",
    "project_id": "owners",
    "tenant_id": "owners",
    "status": "ACTIVE",
    "data_plane_status": "DOWN",
    "admin_state_up": True,
    "device_id": "vm-1",
    "device_owner": "compute:nova",
    "network_id": "net-1",
    "binding:host_id": "compute0",
}
MASAKARI = masakari(
    notification_uuid="n-1",
    source_host_uuid="host-uuid",
    type="COMPUTE_HOST",
    status="running",
    generated_time="2026-11-20T23:01:30Z",
    payload={"event": "STOPPED", "host_status": "UNKNOWN", "cluster_status": "OFFLINE"},
)
GUEST = masakari(
    notification_uuid="n-2",
    source_host_uuid="host-uuid",
    type="VM",
    payload={"event": "QEMU_GUEST_AGENT_ERROR", "instance_uuid": "vm-1"},
)
VOLUME = {
    "volume_id": "vol-1",
    "state": "error",
    "reason": "No valid backend was found.",
    "request_spec": {"volume_properties": {"project_id": "owners", "size": 5, "display_name": "data"}},
}
SESSION = {
    "project_id": "owners",
    "session_id": "s-1",
    "state": "PLANNED_MAINTENANCE",
    "reply_url": "http://admin-tool/s-1/owners",
    "reply_at": "2026-11-21T05:00:00",
    "actions_at": "2026-11-21T06:00:00",
    "allowed_actions": ["MIGRATE", "OWN_ACTION"],
    "instance_ids": ["vm-1", "vm-2"],
    "metadata": {"openstack_version": "2026.2"},
}
NO_OWNER = {"project_id": NOTHING, "tenant_id": NOTHING}
OWNERS = {"project_id": "owners", "tenant_id": "owners"}
CALLERS = {"project_id": "callers", "tenant_id": "callers"}


@pytest.mark.parametrize(
    ("event_type", "payload", "publisher", "expected"),
    [
        (
            "service.update",
            FORCED_DOWN["payload"],
            "nova-compute:compute0",
            {
                "resource_id": "compute0",
                "host": "compute0",
                "hostname": "compute0",
                "binary": "nova-compute",
                "forced_down": "True",
                "disabled": "False",
                "availability_zone": NOTHING,
                "last_seen_up": datetime.datetime(2026, 11, 20, 23, 1, 30),
                **NO_OWNER,
            },
        ),
        (
            "compute.instance.create.error",
            {
                "instance_id": "vm-1",
                "tenant_id": "owners",
                "code": 500,
                "message": "No valid host",
                "host": None,
            },
            "compute.compute0",
            {"fault_code": 500, "fault_message": "No valid host", "compute_host": NOTHING, **OWNERS},
        ),
        (
            "compute.libvirt.error",
            {"ip": "10.0.0.1", "reason": {"exception": "libvirtError", "kwargs": {}}},
            "compute.compute0",
            {"host": "compute0", "resource_id": "compute0", "ip": "10.0.0.1", **NO_OWNER},
        ),
        (
            "compute.libvirt.error",
            {"ip": "10.0.0.1", "method": "_connect", "reason": "internal error: no socket"},
            "compute.compute0.example.com",
            {"host": "compute0.example.com", "reason": "internal error: no socket", **NO_OWNER},
        ),
        (
            "libvirt.connect.error",
            nova(ip="10.0.0.1", reason=nova(exception="libvirtError", exception_message="no socket")),
            "nova-compute:compute0",
            {"host": "compute0", "ip": "10.0.0.1", "reason": "no socket", **NO_OWNER},
        ),
        (
            "port.update.end",
            {"port": PORT},
            "network.controller",
            {
                "resource_id": "port-1",
                "port_id": "port-1",
                "status": "ACTIVE",
                "data_plane_status": "DOWN",
                "device_id": "vm-1",
                "host": "compute0",
                "user_id": "caller",
                **OWNERS,
            },
        ),
        ("port.create.end", {"port": {**PORT, "project_id": None}}, "network.controller", OWNERS),
        ("port.delete.end", {"port_id": "port-1"}, "network.c", {"resource_id": "port-1", **CALLERS}),
        ("network.update.end", {"network": PORT}, "network.c", {"resource_id": "port-1", **OWNERS}),
        ("router.update.end", {"router": PORT}, "network.c", {"status": "ACTIVE", **OWNERS}),
        ("floatingip.update.end", {"floatingip": PORT}, "network.c", {"status": "ACTIVE", **OWNERS}),
        (
            "scheduler.create_volume",
            VOLUME,
            "scheduler.controller",
            {
                "resource_id": "vol-1",
                "status": "error",
                "reason": "No valid backend was found.",
                "size": 5,
                **OWNERS,
            },
        ),
        (
            "scheduler.extend_volume",
            {**VOLUME, "state": {"status": "available", "previous_status": None}, "method": "extend_volume"},
            "scheduler.controller",
            {"resource_id": "vol-1", "status": "available", "method": "extend_volume", **OWNERS},
        ),
        (
            "scheduler.migrate_volume_to_host",
            {**VOLUME, "state": {"migration_status": "error"}},
            "scheduler.controller",
            {"status": NOTHING, "migration_status": "error", **OWNERS},
        ),
        (
            "scheduler.create_snapshot",
            {"request_spec": {}, "snapshot_id": "snap-1", "state": "error", "reason": "full"},
            "scheduler.controller",
            {"resource_id": "snap-1", "status": "error", "reason": "full", **CALLERS},
        ),
        (
            "backup.create.end",
            {"tenant_id": "owners", "backup_id": "b-1", "status": "error", "fail_reason": "full"},
            "backup.controller",
            {"resource_id": "b-1", "status": "error", "fail_reason": "full", **OWNERS},
        ),
        (
            "maintenance.scheduled",
            SESSION,
            "fenix.controller",
            {
                "resource_id": "s-1",
                "session_id": "s-1",
                "state": "PLANNED_MAINTENANCE",
                "reply_url": "http://admin-tool/s-1/owners",
                "actions_at": LATER,
                "allowed_actions": "['MIGRATE', 'OWN_ACTION']",
                "instance_ids": "['vm-1', 'vm-2']",
                **OWNERS,
            },
        ),
        (
            "maintenance.host",
            {"host": "compute0", "state": "IN_MAINTENANCE", "session_id": "s-1", "project_id": "owners"},
            "fenix.controller",
            {"resource_id": "compute0", "hostname": "compute0", "state": "IN_MAINTENANCE", **OWNERS},
        ),
        ("maintenance.host", {"host": "compute0"}, "fenix.controller", NO_OWNER),
        (
            "health.guest",
            {"instance_id": "vm-1", "project_id": "owners", "state": "failed", "check": "guest-agent"},
            "monitor.compute0",
            {"resource_id": "vm-1", "state": "failed", "status": "failed", "check": "guest-agent", **OWNERS},
        ),
        (
            "guest.heartbeat.missed",
            {"instance_id": "vm-1", "tenant_id": "owners", "last_seen": "2026-11-21T06:00:00Z"},
            "monitor.compute0",
            {"last_seen": LATER, **OWNERS},
        ),
        (
            "notification.process.error",
            MASAKARI,
            "masakari-engine:controller",
            {
                "resource_id": "host-uuid",
                "type": "COMPUTE_HOST",
                "failure": "STOPPED",
                "host_status": "UNKNOWN",
                **NO_OWNER,
            },
        ),
        (
            "notification.create.end",
            GUEST,
            "masakari-api:controller",
            {"resource_id": "vm-1", "instance_id": "vm-1", "failure": "QEMU_GUEST_AGENT_ERROR", **NO_OWNER},
        ),
        *(
            (
                f"compute.host.{component}",
                {"hostname": "compute0", "status": "failed", "severity": "CRITICAL", "value": 97.5},
                "monitor.compute0",
                {
                    "resource_id": "compute0",
                    "status": "failed",
                    "severity": "CRITICAL",
                    "value": 97.5,
                    **NO_OWNER,
                },
            )
            for component in (
                "processor",
                "memory",
                "nic",
                "disk",
                "power",
                "thermal",
                "os",
                "hypervisor",
                "down",
            )
        ),
        (
            "compute.host.down",
            {"hostname": "compute0", "instance_id": "vm-1", "project_id": "owners", "state": "down"},
            "inspector.controller",
            {"resource_id": "vm-1", "host": "compute0", "status": "down", **OWNERS},
        ),
        (
            "network.switch.port",
            {"switch": "tor-1", "port": "eth7", "status": "failed"},
            "monitor.rack1",
            {"resource_id": "tor-1", "port": "eth7", "status": "failed", **NO_OWNER},
        ),
    ],
)
def test_traits(
    converter: Converter, event_type: str, payload: Any, publisher: str, expected: dict[str, Any]
) -> None:
    found = converter.traits(event_type, payload, publisher)
    assert {name: found.get(name, NOTHING) for name in expected} == expected


def test_a_reset_state_names_the_failed_host(converter: Converter, stock: Converter) -> None:
    """A real notification of Nova; the traits of Ceilometer's definition are kept, and missing ones added."""
    notification = load_notification("nova-compute.instance.update-error.json")
    arguments = (notification["event_type"], notification["payload"], notification["publisher_id"])
    found, before = converter.traits(*arguments), stock.traits(*arguments)

    assert {name: found.get(name) for name in before} == before
    assert (found["host"], found["compute_host"], found["node"]) == ("lab-controller", "compute0", "compute0")
    assert {name for name in found if name not in before} == {
        "compute_host",
        "node",
        "state_description",
        "availability_zone",
        "audit_period_beginning",
        "audit_period_ending",
    }


def test_without_our_definitions_alarms_of_port_owners_do_not_fire(stock: Converter) -> None:
    assert stock.traits("port.update.end", {"port": PORT})["tenant_id"] == "callers"


def test_definitions_of_other_event_types_stay(converter: Converter, stock: Converter) -> None:
    volume = {"tenant_id": "owners", "volume_id": "vol-1", "status": "error", "host": "storage0"}
    for event_type in ("volume.create.end", "image.update", "dns.zone.update", "network.monitor.down"):
        assert converter.traits(event_type, volume) == stock.traits(event_type, volume)


def test_every_trait_of_ceilometer_is_kept() -> None:
    """Our definitions replace those of Ceilometer for common types, so they must have all of their traits."""
    ours = [one for path in FRAGMENTS.glob("*.yaml") for one in yaml.safe_load(path.read_text())]
    lacking = {}
    for theirs in yaml.safe_load(SHIPPED.read_text()):
        for kind in patterns(theirs):
            for mine in ours:
                if any(fnmatch.fnmatchcase(one.replace("*", "x"), kind) for one in patterns(mine)):
                    lacking[kind] = set(theirs["traits"]) - set(mine["traits"])
    assert len(lacking) > 10
    assert {kind: names for kind, names in lacking.items() if names} == {}


def patterns(definition: dict[str, Any]) -> list[str]:
    """Return the event types of a definition."""
    types = definition["event_type"]
    return [types] if isinstance(types, str) else list(types)


CASES = yaml.safe_load((ROOT / "tests/data/notifications.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_notifications_of_current_services_have_the_expected_traits(
    converter: Converter, case: dict[str, Any]
) -> None:
    """Whole notifications of each service, in the form of its present source, with the caller's context."""
    found = converter.traits_of(case["notification"], case["ctxt"])
    expected = {**case["expected"], "project_id": case["owner"], "tenant_id": case["owner"]}
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("path", sorted(FRAGMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_definitions_file_can_be_used_alone(path: Any) -> None:
    """A deployer may use only one of them, so none may depend on the anchors of another."""
    for definition in yaml.safe_load(path.read_text()):
        assert {"project_id", "tenant_id", "resource_id"} <= set(definition["traits"])
    assert Converter(path).traits("anything.else", {})
