"""From one fault of a host to every owner, with everything real but Nova itself.

RabbitMQ, MariaDB, the listener, the ingest API, Ceilometer's agent with our event definitions, and inspectors
are processes of their own; owners' webhooks are real requests.
"""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from tests.functional.conftest import _supply
from tests.functional.test_ingest_api import send
from tests.support.cloud import Spawn, load_notification
from tests.support.doctor import ADMINS, HOST_RULE, SERVER_RULE, SERVICE, Doctor
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import Process, WebhookSink, wait_until
from tests.support.ingest_api import report
from tests.support.inspector import Inspectors, server_event
from tests.support.nova import OpenStack
from tests.support.services import RabbitMQ

QUEUE = "eventalarm-inspector"


# More than two faults that are not critical on one host within 10 minutes: the host is unavailable.
POLICY: dict[str, Any] = {
    "name": "unavailable",
    "event": "compute.host.*",
    "traits": {"severity": ["minor", "warning"]},
    "by": "hostname",
    "at_least": 3,
    "within": 600,
    "emit": {"event": "compute.host.down", "traits": {"status": "down", "severity": "critical"}},
}
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


class House(Doctor):
    """Doctor's cloud; what ``spawn`` starts ends with the module."""

    spawn: Spawn

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

    def masakari(self, event_type: str, **data: Any) -> None:
        """Publish a versioned notification of Masakari."""
        said = {
            "message_id": str(uuid.uuid4()),
            "event_type": event_type,
            "payload": {"masakari_object.name": "X", "masakari_object.data": data},
            "priority": "INFO",
            "publisher_id": "masakari-engine:controller",
            "timestamp": str(datetime.datetime.now(datetime.UTC).replace(tzinfo=None)),
        }
        self.notify(said, "masakari", topic="versioned_notifications")

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
    one.spawn = spawn
    yield one
    one.close()
    for process in reversed(started):
        process.close()
    sink.close()


@pytest.fixture(scope="module")
def crew(house: House, tmp_path_factory: pytest.TempPathFactory) -> Inspectors:
    """The inspectors of all tests here: most need one that runs, whichever test has started it."""
    return Inspectors(house.spawn, tmp_path_factory.mktemp("crew"), house.cloud)


@pytest.fixture
def inspectors(crew: Inspectors, tmp_path_factory: pytest.TempPathFactory) -> Inspectors:
    """Inspectors that know only what events say; with a policy."""
    path = tmp_path_factory.getbasetemp() / "policies.yaml"
    path.write_text(yaml.safe_dump([POLICY]))
    return crew.use(policies=path)


def servers(prefix: str, number: int) -> dict[str, str]:
    return {f"{prefix}-vm-{one}": f"{prefix}-project-{one}" for one in range(number)}


def once(paths: Mapping[str, str], *suffixes: str) -> dict[str, int]:
    return {f"/{path}{suffix}": 1 for path in paths for suffix in suffixes}


@pytest.mark.parametrize("number", [10, 100])
def test_one_report_reaches_every_owner_once(house: House, inspectors: Inspectors, number: int) -> None:
    """No code here knows servers: one event by HTTP, and its end. Red without an inspector."""
    inspectors.running()
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
    inspectors.running()
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
    inspectors.running()
    second = inspectors.start()
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
    # The next tests watch a single one.
    second.close()


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
    victim = inspectors.running()
    owners = servers(run, 20)
    inspectors.place(run, owners)
    house.watch(SERVER_RULE, owners, repeat_actions=True)
    with refusing(house, point):
        house.down(run)
        victim.wait_for_log("Events are held")
        victim.kill()
    inspectors.running()
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
    victim = inspectors.running()
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
    inspectors.running()
    house.wait(owners)
    house.up("unpublished")
    house.wait(owners, "/ok")
    assert house.settled("unpublished") == once(owners, "", "/ok")


def test_a_stale_map_and_migrations_during_the_fault(house: House, inspectors: Inspectors) -> None:
    """A server that is found on the host only later, one that arrives, and one that leaves."""
    inspectors.running()
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
    # As the source of a live migration sends it, after the destination: it still names the old host.
    outdated = server_event(known, owners[known], "stale")
    house.cloud.publish({**outdated, "event_type": "compute.instance.live_migration._post.end"})
    house.up("stale")
    house.wait(owners, "/ok")
    assert house.settled("stale") == once(owners, "", "/ok")


def test_an_event_without_project_reaches_the_owner(house: House, inspectors: Inspectors) -> None:
    """As Masakari and monitors of guests send them."""
    inspectors.running()
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


def test_a_policy_reports_a_host_after_three_small_faults(house: House, inspectors: Inspectors) -> None:
    """More than two faults that are not critical on one host within 10 minutes: the host is unavailable."""
    inspectors.running()
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
    victim = inspectors.running()
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
