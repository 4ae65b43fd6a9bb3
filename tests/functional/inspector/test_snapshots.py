"""Snapshots of Nova, hosts as Masakari names them, and reactions in Nova and Neutron."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.doctor import SERVER_RULE
from tests.support.helpers import wait_until
from tests.support.house import House, once, servers
from tests.support.ingest_api import report
from tests.support.inspector import Inspectors
from tests.support.nova import OpenStack

# An inspector that uses everything, for the tests with a stand-in of Nova, Neutron and Masakari.
STALE_AFTER = 4
EVERYTHING: dict[str, Any] = {
    "snapshot_interval": 1,
    "stale_after": STALE_AFTER,
    "cloud": "stand-in",
    "page_size": 3,
    "reaction_workers": 2,
    **dict.fromkeys(("force_down", "reset_state", "data_plane_status"), True),
}


@pytest.fixture(scope="module")
def openstack() -> Iterator[OpenStack]:
    """A stand-in of the HTTP APIs of Nova, Neutron and Masakari, which the real openstacksdk calls."""
    one = OpenStack()
    yield one
    one.close()


@pytest.fixture
def observers(crew: Inspectors, openstack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> Inspectors:
    """An inspector that also takes snapshots of the stand-in, and makes requests to it."""
    file = openstack.clouds_yaml(tmp_path_factory.getbasetemp())
    crew.use(**EVERYTHING).running({"OS_CLIENT_CONFIG_FILE": str(file)})
    return crew


def test_snapshots_fill_and_correct_the_map(
    house: House, openstack: OpenStack, observers: Inspectors
) -> None:
    """Real openstacksdk, paged, against the stand-in; no event says where these servers are.

    Red without paging, or with a snapshot that marks nothing deleted.
    """
    owners = servers("snap", 7)
    for name, project in owners.items():
        openstack.add_server(name, project, "snap", (f"volume-{name}",))
    openstack.groups = [{"id": f"group-{n}", "members": [f"snap-vm-{n}"]} for n in range(7)]
    house.watch(SERVER_RULE, owners)
    names = list(owners)
    wait_until(lambda: observers.where(names) == dict.fromkeys(names, "snap"), 30)
    wait_until(lambda: not observers.stale(STALE_AFTER), 30, "up to date")
    rows = house.cloud.rows("SELECT * FROM eventalarm_resource WHERE resource_id LIKE '%snap-vm-6'")
    found = {row["resource_id"]: (row["kind"], row["device_id"], row["server_group"]) for row in rows}
    assert found == {
        "snap-vm-6": ("server", "", "group-6"),
        "port-snap-vm-6": ("port", "snap-vm-6", ""),
        "volume-snap-vm-6": ("volume", "snap-vm-6", ""),
    }

    # The host is renamed, one server is gone, and no event says so.
    for name in owners:
        openstack.move(name, "snap-renamed")
    openstack.servers[:] = [one for one in openstack.servers if one["id"] != names[-1]]
    gone, there = names[-1], names[:-1]
    wait_until(lambda: observers.where(there) == dict.fromkeys(there, "snap-renamed"), 30)
    query = "SELECT deleted FROM eventalarm_resource WHERE resource_id = :id"
    wait_until(lambda: house.cloud.rows(query, id=gone)[0]["deleted"], 30)
    house.down("snap")
    house.down("snap-renamed")
    house.wait(there)

    openstack.fail = True
    wait_until(lambda: observers.stale(STALE_AFTER), 30, "stale")
    assert observers.status()[0] == 1
    openstack.fail = False
    house.up("snap-renamed")
    house.wait(there, "/ok")
    assert house.settled("snap") == {path: 1 for name in there for path in (f"/{name}", f"/{name}/ok")}


def test_masakari_names_hosts_by_its_own_ids(
    house: House, openstack: OpenStack, observers: Inspectors
) -> None:
    """Ids from Masakari's API (by the real openstacksdk), and from its notification about a new host.

    Each failure is reported several times, and Nova reports the end. Red without the map's ids of hosts.
    """
    hosts = {"masakari-0": "5e0c7d1e-0000", "masakari-1": "5e0c7d1e-0001"}
    openstack.watched["5e0c7d1e-0000"] = "masakari-0"
    for host in hosts:
        for name, project in servers(host, 2).items():
            openstack.add_server(name, project, host)
    owners = {name: project for host in hosts for name, project in servers(host, 2).items()}
    house.watch(SERVER_RULE, owners)
    wait_until(lambda: observers.where(list(owners)).keys() == owners.keys(), 30)
    # As in Masakari, whose API shows the host before the notification: a later snapshot must not forget it.
    openstack.watched["5e0c7d1e-0001"] = "masakari-1"
    house.masakari("host.update.end", uuid="5e0c7d1e-0001", name="masakari-1", on_maintenance=False)
    known = {host_id: host for host, host_id in hosts.items()}
    wait_until(lambda: observers.where(list(known)) == known, 30)
    for host_id in hosts.values():
        for phase in ("create.end", "process.start", "process.end"):
            failure = {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"}
            house.masakari(
                f"notification.{phase}", type="COMPUTE_HOST", source_host_uuid=host_id, payload=failure
            )
    house.wait(owners)
    for host in hosts:
        house.nova(False, host, {})
    house.wait(owners, "/ok")
    assert house.settled("masakari") == once(owners, "", "/ok")
    (hook,) = house.sink.at("/masakari-0-vm-0")
    traits = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    assert (traits["hostname"], traits["is_root_cause"]) == ("masakari-0", "False")


def test_reactions_in_nova_and_neutron(house: House, openstack: OpenStack, observers: Inspectors) -> None:
    """Real openstacksdk against the stand-in. No requests about hosts in maintenance or disabled."""
    for host in ("react", "react-maintained", "react-disabled"):
        for name, project in servers(host, 3).items():
            openstack.add_server(name, project, host)
    openstack.disabled = {"react-disabled"}
    process = observers.running()
    ports = [port["id"] for port in openstack.ports if port["id"].startswith("port-react")]
    wait_until(lambda: len(observers.where(ports)) == 9, 30)

    def changes() -> list[tuple[str, str, Any]]:
        return [one for one in openstack.changes if "react" in one[1]]

    house.down("react")
    compute, network = "/compute/v2.1", "/network/v2.0/ports"
    wanted: list[tuple[str, str, Any]] = [
        ("PUT", f"{compute}/os-services/service-react", {"forced_down": True})
    ]
    for name in servers("react", 3):
        wanted += [
            ("POST", f"{compute}/servers/{name}/action", {"os-resetState": {"state": "error"}}),
            ("PUT", f"{network}/port-{name}", {"port": {"data_plane_status": "DOWN"}}),
        ]
    wait_until(lambda: sorted(changes(), key=str) == sorted(wanted, key=str), 30)
    openstack.changes.clear()
    house.up("react")
    ended: list[tuple[str, str, Any]] = [
        ("PUT", f"{compute}/os-services/service-react", {"forced_down": False})
    ]
    for name in servers("react", 3):
        ended.append(("PUT", f"{network}/port-{name}", {"port": {"data_plane_status": "ACTIVE"}}))
    wait_until(lambda: sorted(changes(), key=str) == sorted(ended, key=str), 30)
    openstack.changes.clear()

    house.report(report("maintenance.host", host="react-maintained", state="IN_MAINTENANCE"))
    house.down("react-maintained")
    process.wait_for_log("No requests are made about host react-maintained")
    house.down("react-disabled")
    process.wait_for_log("No requests to Nova are made about host react-disabled")
    wait_until(lambda: len(changes()) == 3, 30)
    assert {path for _, path, _ in changes()} == {
        f"{network}/port-{name}" for name in servers("react-disabled", 3)
    }
    house.settled("react")
    later = [path for _, path, _ in changes()]
    assert len(later) == 3
