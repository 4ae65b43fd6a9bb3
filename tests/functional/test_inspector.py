"""From one fault of a host to every owner, with everything real but Nova itself.

RabbitMQ, MariaDB, the listener, the ingest API, Ceilometer's agent with our event definitions, and inspectors
are processes of their own; owners' webhooks are real requests.
"""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from tests.functional.conftest import _supply
from tests.functional.test_ingest_api import send
from tests.support.cloud import load_notification
from tests.support.doctor import ADMINS, HOST_RULE, SERVER_RULE, SERVICE, Doctor
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import Process, WebhookSink, wait_until
from tests.support.ingest_api import report
from tests.support.inspector import Inspectors, server_event
from tests.support.nova import OpenStack
from tests.support.services import RabbitMQ

QUEUE = "eventalarm-inspector"


class House(Doctor):
    """Doctor's cloud, with inspectors that end with the test."""

    def settled(self, prefix: str) -> dict[str, int]:
        """Return the webhooks so far at paths with a prefix, once all events are evaluated and delivered.

        The marker takes the whole way, inspector, listener and webhook, behind everything else.
        """
        marker = f"marker-{uuid.uuid4()}"
        self.watch(SERVER_RULE, {marker: "bystander"})
        self.cloud.publish(server_event(marker, "bystander", f"host-of-{marker}"))
        self.report(report("compute.host.down", hostname=f"host-of-{marker}", status="down"))
        self.sink.wait(1, f"/{marker}")
        self.cloud.settle()
        found = Counter(request.path for request in self.sink.requests)
        return {path: count for path, count in found.items() if path.startswith(f"/{prefix}")}

    def down(self, host: str, **details: Any) -> None:
        """Post one report that a host is down."""
        self.report(report("compute.host.down", hostname=host, status="down", severity="critical", **details))

    def up(self, host: str) -> None:
        """Post one report that a host is back."""
        self.report(report("compute.host.up", hostname=host, status="up"))

    def wait(self, names: Iterable[str], suffix: str = "") -> None:
        """Wait until the webhook of each owner was called at ``/NAME`` with the suffix."""
        for name in names:
            self.sink.wait(1, f"/{name}{suffix}")


@pytest.fixture(scope="module")
def house(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[House]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("inspector"), WebhookSink()
    started: list[Process] = []

    def spawn(command: list[str], env: dict[str, str] | None = None) -> Process:
        started.append(Process(command, folder / f"{len(started)}.log", env))
        return started[-1]

    one = House(spawn, folder, _supply("mariadb", request).with_ours(), rabbitmq.new_url(), sink)
    yield one
    one.close()
    for process in reversed(started):
        process.close()
    sink.close()


@pytest.fixture
def inspectors(house: House, spawn: Callable[..., Process], tmp_path: pathlib.Path) -> Inspectors:
    return Inspectors(spawn, tmp_path / "inspector", house.cloud)


def servers(prefix: str, number: int) -> dict[str, str]:
    return {f"{prefix}-vm-{one}": f"{prefix}-project-{one}" for one in range(number)}


def once(paths: Mapping[str, str], *suffixes: str) -> dict[str, int]:
    return {f"/{path}{suffix}": 1 for path in paths for suffix in suffixes}


@pytest.mark.parametrize("number", [10, 100])
def test_one_report_reaches_every_owner_once(house: House, inspectors: Inspectors, number: int) -> None:
    """No code here knows servers: one event by HTTP, and its end. Red without an inspector."""
    inspectors.start()
    run, host = f"n{number}", f"compute-{number}"
    owners, elsewhere = servers(run, number), servers(f"{run}-other", number)
    inspectors.place(host, owners)
    inspectors.place(f"{host}-other", elsewhere)
    # Each owner watches its server, and half of them with an alarm of type event.
    house.watch(SERVER_RULE, owners | elsewhere)
    # Of this host alone: the marker is a host too.
    house.watch(HOST_RULE | {"resource_id": host}, {f"{run}-admin": ADMINS, f"{run}-stranger": "stranger"})
    query = [{"field": "traits.status", "op": "eq", "type": "string", "value": "down"}]
    for name in list(owners)[::2]:
        mine = {"field": "traits.resource_id", "op": "eq", "type": "string", "value": name}
        insert_alarms(
            house.cloud.database,
            alarm_row(
                rule={"event_type": "compute.host.*", "query": [mine, *query]},
                project_id=owners[name],
                alarm_actions=[house.sink.url(f"/{name}/event")],
            ),
        )

    house.down(host)
    house.wait(owners)
    house.up(host)
    house.wait(owners, "/ok")

    expected = once(owners, "", "/ok") | once({f"{run}-admin": ""}, "", "/ok")
    expected |= {f"/{name}/event": 1 for name in list(owners)[::2]}
    assert house.settled(run) == expected
    (hook,) = house.sink.at(f"/{run}-vm-0")
    traits = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    (cause,) = house.sink.at(f"/{run}-admin")
    assert traits["fault_id"] == cause.json["reason_data"]["event"]["message_id"]
    assert (traits["is_root_cause"], traits["resource_id"]) == ("False", f"{run}-vm-0")


def test_nova_itself_reports_the_host(house: House, inspectors: Inspectors) -> None:
    """Nova's own notifications, through Ceilometer and our definitions: servers, service down, service up."""
    inspectors.start()
    owners = servers("nova", 3)
    house.watch(SERVER_RULE, owners)
    for name, project in owners.items():
        notification = load_notification("nova-compute.instance.update-error.json")
        state = {"state": "active", "old_state": "building"}
        notification["payload"] |= {
            "instance_id": name,
            "tenant_id": project,
            "host": "compute-nova",
            **state,
        }
        house.notify(notification)
    names = list(owners)
    wait_until(lambda: inspectors.where(names) == dict.fromkeys(names, "compute-nova"), 60)
    house.nova(True, "compute-nova", {})
    house.wait(owners)
    house.nova(False, "compute-nova", {})
    house.wait(owners, "/ok")
    assert house.settled("nova") == once(owners, "", "/ok")


def test_two_inspectors_and_a_report_that_is_repeated(house: House, inspectors: Inspectors) -> None:
    """Both inspectors handle the same report; every owner is notified once."""
    inspectors.start()
    inspectors.start()
    owners = servers("two", 20)
    inspectors.place("compute-two", owners)
    house.watch(SERVER_RULE, owners, repeat_actions=True)
    moment = datetime.datetime.now(datetime.UTC)
    again = report("compute.host.down", moment, hostname="compute-two", status="down", severity="critical")
    for _ in range(6):
        house.report(again)
    house.wait(owners)
    house.up("compute-two")
    house.wait(owners, "/ok")
    assert house.settled("two") == once(owners, "", "/ok")


@contextlib.contextmanager
def refusing(house: House, timing: str) -> Iterator[None]:
    """Let the database refuse writes to one table (a trigger), so that the fan-out stops there."""
    engine = house.cloud.database.engine
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f"CREATE TRIGGER refuse BEFORE {timing} FOR EACH ROW "
                "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by the test'"
            )
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TRIGGER IF EXISTS refuse"))


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("INSERT ON eventalarm_affected", id="before-anything-is-recorded"),
        pytest.param("UPDATE ON eventalarm_affected", id="after-publishing"),
    ],
)
def test_kill_in_mid_fan_out(house: House, inspectors: Inspectors, point: str) -> None:
    """SIGKILL while the fault is being handled; another inspector finishes, nothing is lost or doubled.

    Red if the message is acknowledged first, or if ids were random.
    """
    run = f"kill-{point.split(maxsplit=1)[0].lower()}"
    victim = inspectors.start()
    owners = servers(run, 20)
    inspectors.place(run, owners)
    house.watch(SERVER_RULE, owners, repeat_actions=True)
    with refusing(house, point):
        house.down(run)
        victim.wait_for_log("Events are held")
        victim.kill()
    inspectors.start()
    house.wait(owners)
    house.up(run)
    house.wait(owners, "/ok")
    assert house.settled(run) == once(owners, "", "/ok")


def test_kill_between_recording_and_publishing(
    house: House, inspectors: Inspectors, rabbitmq: RabbitMQ
) -> None:
    """The broker takes no messages (its memory alarm) when the inspector wants to publish; then SIGKILL.

    Meanwhile a server leaves the host: its owner hears of the fault all the same, and of its end.
    """
    victim = inspectors.start()
    owners = servers("unpublished", 20)
    inspectors.place("unpublished", owners)
    house.watch(SERVER_RULE, owners, repeat_actions=True)
    with refusing(house, "INSERT ON eventalarm_affected"):
        house.down("unpublished")
        victim.wait_for_log("Events are held")
        rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1000")
    try:
        count = "SELECT count(*) AS n FROM eventalarm_affected a JOIN eventalarm_infrastructure_fault f "
        count += "ON a.fault_key = f.fault_key WHERE f.source = 'unpublished' AND NOT a.published"
        wait_until(lambda: house.cloud.rows(count)[0]["n"] == 20, 30, "20 recorded")
        victim.kill()
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.6")
    inspectors.start()
    house.wait(owners)
    house.up("unpublished")
    house.wait(owners, "/ok")
    assert house.settled("unpublished") == once(owners, "", "/ok")


def test_a_stale_map_and_migrations_during_the_fault(house: House, inspectors: Inspectors) -> None:
    """A server that is found on the host only later, one that arrives, and one that leaves."""
    inspectors.start()
    owners = servers("stale", 4)
    known, unknown, arriving, staying = owners
    inspectors.place("stale", {name: owners[name] for name in (known, staying)})
    inspectors.place("stale-other", {arriving: owners[arriving]})
    house.watch(SERVER_RULE, owners)
    before = datetime.datetime.now(datetime.UTC)
    house.down("stale")
    house.wait((known, staying))
    inspectors.place("stale", {unknown: owners[unknown]}, at=before)
    house.sink.wait(1, f"/{unknown}")
    inspectors.place("stale", {arriving: owners[arriving]})
    house.sink.wait(1, f"/{arriving}")
    inspectors.place("stale-healthy", {known: owners[known]})
    house.sink.wait(1, f"/{known}/ok")
    house.up("stale")
    house.wait(owners, "/ok")
    assert house.settled("stale") == once(owners, "", "/ok")


def test_an_event_without_project_reaches_the_owner(house: House, inspectors: Inspectors) -> None:
    """As Masakari and monitors of guests send them."""
    inspectors.start()
    owners = servers("guest", 2)
    inspectors.place("compute-guest", owners)
    rule: dict[str, Any] = {"event_type": "health.*", "query": [{"field": "traits.state", "value": "failed"}]}
    rule["clear"] = {"query": [{"field": "traits.state", "value": "ok"}]}
    for name, project in (*owners.items(), ("guest-admin", ADMINS)):
        insert_alarms(
            house.cloud.database,
            alarm_row(
                rule=rule | {"group_by": ["instance_id"]},
                type="notification",
                project_id=project,
                alarm_actions=[house.sink.url(f"/{name}")],
                ok_actions=[house.sink.url(f"/{name}/ok")],
            ),
        )
    house.report(report("health.check", instance_id="guest-vm-0", state="failed"))
    house.sink.wait(1, "/guest-vm-0")
    house.report(report("health.check", instance_id="guest-vm-0", state="ok"))
    house.sink.wait(1, "/guest-vm-0/ok")
    assert house.settled("guest") == once({"guest-vm-0": "", "guest-admin": ""}, "", "/ok")


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    """A stand-in of Nova's and Neutron's HTTP APIs, which the real openstacksdk calls."""
    one = OpenStack()
    yield one
    one.close()


def cloud_of(openstack: OpenStack, folder: pathlib.Path) -> dict[str, str]:
    return {"OS_CLIENT_CONFIG_FILE": str(openstack.clouds_yaml(folder))}


def test_snapshots_fill_and_correct_the_map(
    house: House, openstack: OpenStack, spawn: Callable[..., Process], tmp_path: pathlib.Path
) -> None:
    """Real openstacksdk, paged, against the stand-in; no event says where these servers are.

    Red without paging, or with a snapshot that marks nothing deleted.
    """
    owners = servers("snap", 7)
    for name, project in owners.items():
        openstack.add_server(name, project, "snap", (f"volume-{name}",))
    openstack.groups = [{"id": f"group-{n}", "members": [f"snap-vm-{n}"]} for n in range(7)]
    house.watch(SERVER_RULE, owners)
    options = {"snapshot_interval": 1, "stale_after": 4, "cloud": "stand-in", "page_size": 3}
    inspectors = Inspectors(spawn, tmp_path, house.cloud, **options)
    inspectors.start(cloud_of(openstack, tmp_path))
    names = list(owners)
    wait_until(lambda: inspectors.where(names) == dict.fromkeys(names, "snap"), 30)
    wait_until(lambda: inspectors.status()[0] == 0, 30)
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
    openstack.servers.pop()
    gone, there = names[-1], names[:-1]
    wait_until(lambda: inspectors.where(there) == dict.fromkeys(there, "snap-renamed"), 30)
    query = "SELECT deleted FROM eventalarm_resource WHERE resource_id = :id"
    wait_until(lambda: house.cloud.rows(query, id=gone)[0]["deleted"], 30)
    house.down("snap")
    house.down("snap-renamed")
    house.wait(there)

    openstack.fail = True
    wait_until(lambda: inspectors.status()[0] == 1, 30, "stale")
    house.up("snap-renamed")
    house.wait(there, "/ok")
    assert house.settled("snap") == {path: 1 for name in there for path in (f"/{name}", f"/{name}/ok")}


def test_reactions_in_nova_and_neutron(
    house: House, openstack: OpenStack, spawn: Callable[..., Process], tmp_path: pathlib.Path
) -> None:
    """Real openstacksdk against the stand-in. No requests about hosts in maintenance or disabled."""
    for host in ("react", "react-maintained", "react-disabled"):
        for name, project in servers(host, 3).items():
            openstack.add_server(name, project, host)
    openstack.disabled = {"react-disabled"}
    switched_on = dict.fromkeys(("force_down", "reset_state", "data_plane_status"), True)
    options = {"snapshot_interval": 1, "cloud": "stand-in", "reaction_workers": 2, **switched_on}
    inspectors = Inspectors(spawn, tmp_path, house.cloud, **options)
    process = inspectors.start(cloud_of(openstack, tmp_path))
    ports = [port["id"] for port in openstack.ports]
    wait_until(lambda: len(inspectors.where(ports)) == 9, 30)

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
    wait_until(lambda: sorted(openstack.changes, key=str) == sorted(wanted, key=str), 30)
    openstack.changes.clear()
    house.up("react")
    ended: list[tuple[str, str, Any]] = [
        ("PUT", f"{compute}/os-services/service-react", {"forced_down": False})
    ]
    for name in servers("react", 3):
        ended.append(("PUT", f"{network}/port-{name}", {"port": {"data_plane_status": "ACTIVE"}}))
    wait_until(lambda: sorted(openstack.changes, key=str) == sorted(ended, key=str), 30)
    openstack.changes.clear()

    house.report(report("maintenance.host", host="react-maintained", state="IN_MAINTENANCE"))
    house.down("react-maintained")
    process.wait_for_log("No requests are made about host react-maintained")
    house.down("react-disabled")
    process.wait_for_log("No requests to Nova are made about host react-disabled")
    wait_until(lambda: len(openstack.changes) == 3, 30)
    assert {path for _, path, _ in openstack.changes} == {
        f"{network}/port-{name}" for name in servers("react-disabled", 3)
    }
    house.settled("react")
    later = [path for _, path, _ in openstack.changes if "marker" not in path]
    assert len(later) == 3


def test_a_policy_reports_a_host_after_three_small_faults(
    house: House, spawn: Callable[..., Process], tmp_path: pathlib.Path
) -> None:
    """More than two faults that are not critical on one host within 10 minutes: the host is unavailable."""
    policy = {
        "name": "unavailable",
        "event": "compute.host.*",
        "traits": {"severity": ["minor", "warning"]},
        "by": "hostname",
        "at_least": 3,
        "within": 600,
        "emit": {"event": "compute.host.down", "traits": {"status": "down", "severity": "critical"}},
    }
    path = tmp_path / "policies.yaml"
    path.write_text(yaml.safe_dump([policy]))
    inspectors = Inspectors(spawn, tmp_path / "inspector", house.cloud, policies=path)
    inspectors.start()
    owners = servers("policy", 3)
    inspectors.place("policy", owners)
    house.watch(SERVER_RULE, owners)
    house.watch(HOST_RULE | {"resource_id": "policy"}, {"policy-admin": ADMINS})
    small = [
        report(f"compute.host.{part}", hostname="policy", status="degraded", severity="minor")
        for part in ("nic", "thermal", "disk")
    ]
    house.report(small[0])
    house.report(small[0])
    house.report(small[1])
    assert house.settled("policy") == {}
    house.report(small[2])
    for path_of in (*owners, "policy-admin"):
        house.sink.wait(1, f"/{path_of}")
    assert house.settled("policy") == once({**owners, "policy-admin": ""}, "")


def test_the_broker_is_killed_while_the_inspector_holds_a_fault(
    house: House, inspectors: Inspectors, rabbitmq: RabbitMQ
) -> None:
    """The inspector consumes again by itself, and every owner is notified once."""
    victim = inspectors.start()
    owners = servers("broker", 10)
    inspectors.place("broker", owners)
    house.watch(SERVER_RULE, owners, repeat_actions=True)
    with refusing(house, "UPDATE ON eventalarm_affected"):
        house.down("broker")
        victim.wait_for_log("Events are held")
        rabbitmq.kill()
    rabbitmq.start()
    for name in owners:
        house.sink.wait(1, f"/{name}", timeout=90)
    moment = datetime.datetime.now(datetime.UTC)
    ended = {"events": [report("compute.host.up", moment, hostname="broker", status="up")]}
    url = f"{house.ingest_url}/v1/events"
    wait_until(lambda: send(url, ended, **SERVICE)[0] == 202, 90, "the ingest API publishes again")
    for name in owners:
        house.sink.wait(1, f"/{name}/ok", timeout=90)
    assert house.settled("broker") == once(owners, "", "/ok")
