"""From one fault of a host to every owner, with everything real but Nova itself.

RabbitMQ, MariaDB, the listener, the ingest API, Ceilometer's agent with our event definitions, and inspectors
are processes of their own; owners' webhooks are real requests.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.cloud import load_notification
from tests.support.doctor import ADMINS, HOST_RULE, SERVER_RULE, SERVICE
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import wait_until
from tests.support.house import House, once, servers
from tests.support.ingest_api import report, send
from tests.support.inspector import Inspectors, server_event

QUEUE = "eventalarm-inspector"


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
