"""The states of resources and hosts in the IFA API."""

from __future__ import annotations

import datetime
from typing import Any

from eventalarm.model import (
    ALARM,
    UTC,
    HostMaintenance,
    InfrastructureFault,
    Resource,
    ResourceKind,
    object_alarm_id,
)
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.resource_map import ResourceMap
from tests.support.builders import PROJECT, event_body, rule
from tests.support.ifa_api import ADMIN, RESOURCES, THRESHOLD, IfaApi, bound, fault, threshold

HOSTS = "/ifa/v1/physical-resources"
OTHER = "project-b"
NOW = datetime.datetime.now(UTC)
HOUR = datetime.timedelta(hours=1)


def states(found: list[Any], name: str = "managedObjectId") -> dict[str, str]:
    return {one[name]: one["state"] for one in found}


def maintain(api: IfaApi, host: str, *servers: str) -> None:
    """Let an inspector record servers on a host, and the maintenance of the host."""
    place(api, host, *servers)
    MaintenanceStore(api.database).begin(HostMaintenance("s-1", host, "IN_MAINTENANCE", NOW, NOW + HOUR), NOW)


def place(api: IfaApi, host: str, *servers: str) -> None:
    observed = [
        Resource(ResourceKind.SERVER, one, NOW, project_id=PROJECT, host=host, host_at=NOW) for one in servers
    ]
    ResourceMap(api.database).apply(observed)


def test_active_alarms_are_folded_by_resource(api: IfaApi) -> None:
    server = api.alarm(bound("vm-1"), severity="critical", ok_actions=["http://ok"])
    api.engine.process(fault("vm-1"))
    # Two alarms on one server: the event says that the port is down, whatever the severity.
    any_port = api.alarm(rule("port.update.end", state="down"), severity="low")
    api.engine.process(event_body("port.update.end", resource_id="port-1", state="down"))
    api.alarm(rule("snapshot.*", state="odd"), severity="low")
    api.engine.process(event_body("snapshot.update.end", resource_id="snap-1", state="odd"))
    threshold(api, "of-vm-1", ALARM, severity="moderate", name="cpu")
    threshold(api, "t", ALARM, severity="moderate")
    found = api.get(RESOURCES).json
    assert states(found) == {
        "vm-1": "down",
        "port-1": "down",
        "snap-1": "normal",
        "of-of-vm-1": "error",
        "of-t": "error",
    }
    (first, *_) = found
    assert first["alarmIds"] == [server]
    assert (first["perceivedSeverity"], first["faultyResourceType"]) == ("CRITICAL", "COMPUTE")
    assert first["since"] == api.get(f"/ifa/v1/alarms/{server}").json["alarmRaisedTime"]
    assert api.get(f"{RESOURCES}/port-1").json["alarmIds"] == [object_alarm_id(any_port, "port-1")]
    assert states(api.get(RESOURCES, state="normal,error").json).keys() == {"snap-1", "of-of-vm-1", "of-t"}
    assert states(api.get(RESOURCES, resource_type="NETWORK", severity="WARNING").json) == {"port-1": "down"}
    assert api.get(RESOURCES, state="broken").status_code == 400
    api.engine.process(fault("vm-1", state="active"))
    recovered = api.get(f"{RESOURCES}/vm-1").json
    assert recovered == {"managedObjectId": "vm-1", "state": "normal", "alarmIds": [], "projectIds": []}
    assert "vm-1" not in states(api.get(RESOURCES).json)
    assert api.get(f"{RESOURCES}/vm-9").status_code == 404


def test_a_resource_is_on_one_page_whatever_its_alarms(api: IfaApi) -> None:
    for number in range(3):
        for server in ("vm-1", "vm-2", "vm-3"):
            api.alarm(bound(server), f"{server}-{number}")
    of_gnocchi = {"type": "gnocchi_resources_threshold", "state": ALARM}
    for server in ("vm-2", "vm-4"):
        api.alarm(THRESHOLD | {"resource_id": server}, f"t-{server}", **of_gnocchi)
    for server in ("vm-2", "vm-1", "vm-3"):
        api.engine.process(fault(server))
    for limit in (1, 2, 5):
        found = api.pages(RESOURCES, limit=limit)
        assert [one["managedObjectId"] for one in found] == ["vm-2", "vm-1", "vm-3", "vm-4"]
        assert "t-vm-2" in found[0]["alarmIds"]
        assert found[1]["alarmIds"] == ["vm-1-0", "vm-1-1", "vm-1-2"]


def test_maintenance_outranks_faults(api: IfaApi) -> None:
    api.alarm(bound("vm-1"), severity="critical")
    api.alarm(rule("maintenance.instance", instance_id="vm-2"))
    api.engine.process(
        fault("vm-1"), event_body("maintenance.instance", instance_id="vm-2", status="planned")
    )
    assert states(api.get(RESOURCES).json) == {"vm-1": "down", "vm-2": "maintenance"}
    maintain(api, "compute-1", "vm-1", "vm-3")
    found = api.get(f"{RESOURCES}/vm-1").json
    assert (found["state"], found["inhibitedBy"], found["perceivedSeverity"]) == (
        "maintenance",
        "s-1",
        "CRITICAL",
    )
    # Known by the resource map alone.
    assert api.get(f"{RESOURCES}/vm-3").json["state"] == "maintenance"


def test_tenants_see_only_resources_of_their_alarms(api: IfaApi) -> None:
    api.alarm(bound("vm-1"))
    api.engine.process(fault("vm-1"))
    place(api, "compute-1", "vm-2")
    api.alarm(bound("vm-1"), "theirs", project_id=OTHER)
    assert api.get(RESOURCES, project=OTHER).json == []
    for server in ("vm-1", "vm-2"):
        assert api.get(f"{RESOURCES}/{server}").status_code == 200
        assert api.get(f"{RESOURCES}/{server}", project=OTHER).status_code == 404
    api.engine.process(fault("vm-1", project=OTHER))
    assert api.get(f"{RESOURCES}/vm-1", project=OTHER).json["alarmIds"] == ["theirs"]
    assert len(api.get(f"{RESOURCES}/vm-1").json["alarmIds"]) == 1
    assert api.get(RESOURCES, all_projects="true").status_code == 403
    (one,) = api.get(RESOURCES, all_projects="true", roles=ADMIN).json
    assert one["projectIds"] == sorted([PROJECT, OTHER])


def test_maintenance_is_shown_to_the_owners_of_resources(api: IfaApi) -> None:
    maintain(api, "compute-1", "vm-1")
    # Aodh's table ignores case on MariaDB.
    for project, number in ((PROJECT, 1), (OTHER, 2), (PROJECT.upper(), 3)):
        for name in ("vm-1", "compute-1"):
            named = {"type": "gnocchi_resources_threshold", "state": ALARM, "severity": "moderate"}
            api.alarm(THRESHOLD | {"resource_id": name}, f"{name} {number}", project_id=project, **named)
    shown = {project: api.get(RESOURCES, project=project).json for project in (PROJECT, OTHER)}
    assert states(shown[PROJECT]) == {"vm-1": "maintenance", "compute-1": "error"}
    # Any project may create an alarm that names a server of another one, or a host.
    assert states(shown[OTHER]) == {"vm-1": "error", "compute-1": "error"}
    for project, number in ((PROJECT, 1), (OTHER, 2)):
        for one in shown[project]:
            assert one == api.get(f"{RESOURCES}/{one['managedObjectId']}", project=project).json
            assert one["alarmIds"] == [f"{one['managedObjectId']} {number}"]
    everything = api.get(RESOURCES, all_projects="true", roles=ADMIN).json
    assert states(everything) == {"vm-1": "maintenance", "compute-1": "maintenance"}


def test_hosts_are_shown_to_administrators(api: IfaApi) -> None:
    for path in (HOSTS, f"{HOSTS}/compute-1"):
        assert api.get(path).status_code == 403
        missing = api.get(path, roles=ADMIN)
        assert (missing.status_code, "run eventalarm-inspector" in missing.json["detail"]) == (404, True)
    place(api, "compute-1", "vm-1", "vm-2")
    place(api, "compute-2", "vm-3")
    maintain(api, "compute-3", "vm-4")
    faults = InfrastructureFaults(api.database)
    body: dict[str, object] = {"message_id": "m-1", "traits": [["severity", 1, "Critical"]]}
    faults.raise_fault(InfrastructureFault("host-down", "compute-1", ("compute-1",), True, NOW, "m-1", body))
    body = {"message_id": "m-2", "traits": []}
    faults.raise_fault(InfrastructureFault("host-fan", "compute-9", ("compute-9",), True, NOW, "m-2", body))
    found = api.pages(HOSTS, roles=ADMIN, limit=1)
    assert states(found, "host") == {
        "compute-1": "down",
        "compute-2": "normal",
        "compute-3": "maintenance",
        "compute-9": "normal",
    }
    assert [one["servers"] for one in found] == [2, 1, 1, 0]
    (shown,) = found[0]["faults"]
    assert (shown["name"], shown["perceivedSeverity"], shown["faultId"]) == ("host-down", "CRITICAL", "m-1")
    assert found[2]["maintenance"][0]["sessionId"] == "s-1"
    # There was no snapshot.
    assert (found[0]["stale"], "snapshotTime" in found[0]) == (True, False)
    assert states(api.get(HOSTS, roles=ADMIN, state="down").json, "host") == {"compute-1": "down"}
    assert api.get(f"{HOSTS}/compute-9", roles=ADMIN).json == found[3]
    assert api.get(f"{HOSTS}/compute-8", roles=ADMIN).json["detail"] == "host not found"
