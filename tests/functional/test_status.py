"""``eventalarm-status`` on a real cloud: it names the broken hop, and sends a canary through all hops."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
import sqlalchemy as sa
from cryptography import fernet

from eventalarm import bus
from eventalarm.cmd import status
from eventalarm.delivery.senders.signer import close_secret
from eventalarm.model import Resource, ResourceKind
from eventalarm.status import canary
from eventalarm.status.assemble import CheckOptions, HealthChecks
from eventalarm.status.checks import Finding, Level, Runner
from eventalarm.storage import ifa_tables, tables
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.project_secrets import ProjectSecrets
from eventalarm.storage.resource_map import SNAPSHOT_LEASE, ResourceMap
from eventalarm.storage.synthetic_alarms import insert_alarm
from eventalarm.storage.upgrade import upgrade
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from eventalarm.vault import Vault
from tests.functional.conftest import Spawn
from tests.support import inprocess
from tests.support.cloud import Cloud, load_notification, make_event
from tests.support.helpers import WebhookSink, console_script, wait_until
from tests.support.telemetry import agent_command, notify

QUEUE = "event_eval.sample"
UPDATE = "nova-compute.instance.update-error.json"


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, aodh_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    made = Cloud(spawn, tmp_path, aodh_mariadb_url, rabbit_url, eventalarm_delivery={"lease": 5.0})
    yield made
    made.close()


def look(cloud: Cloud, **wishes: Any) -> dict[str, Finding]:
    checkup = HealthChecks(cloud.conf, CheckOptions(**{"timeout": 10.0, "rabbitmqctl": "false", **wishes}))
    try:
        results = Runner(checkup.checks(), 10.0, lambda _text: None).run()
    finally:
        checkup.close()
    return {result.name: result.finding for result in results}


def levels(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.level.value for name, finding in found.items()}


def left_over(cloud: Cloud) -> int:
    with cloud.database.read() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).where(table.c.alarm_id.startswith(canary.PREFIX)))
            for table in (
                tables.alarm,
                tables.alarm_history,
                tables.occurrence,
                tables.transition,
                tables.delivery,
            )
        ]
        return sum(count.scalar_one() for count in counts)


def command(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    return inprocess.run(status.main, *words, "--config-file", str(cloud.conf_path))


def test_checks_from_an_empty_cloud_to_an_arrived_canary(cloud: Cloud, figure: Any) -> None:
    found = look(cloud, canary=True)
    assert levels(found) == {
        "configuration": "OK",
        "pipeline": "WARNING",
        "broker": "OK",
        "queue": "FAILED",
        "broker limits": "OK",
        "inspector queue": "OK",
        "database": "OK",
        "schema": "FAILED",
        "listeners": "SKIPPED",
        "alarms": "SKIPPED",
        "outbox": "SKIPPED",
        "failed deliveries": "SKIPPED",
        "subscriptions": "SKIPPED",
        "secrets": "SKIPPED",
        "resource map": "SKIPPED",
        "clocks": "SKIPPED",
        "canary": "SKIPPED",
    }
    assert found["schema"].remedy == "run eventalarm-dbsync"
    assert "there is no queue event_eval.sample" in found["queue"].message

    cloud.dbsync()
    cloud.create_alarm()
    found = look(cloud)
    assert (found["schema"].level, found["listeners"].level) == (Level.OK, Level.FAILED)
    assert "start eventalarm-listener" in found["listeners"].remedy

    listener = cloud.start_listener()
    wait_until(lambda: look(cloud)["listeners"].level is Level.OK, 30.0, "the listener to be registered")
    installed = [console_script("eventalarm-status"), "check", "--canary", "--json"]
    done = subprocess.run(
        [*installed, "--config-file", str(cloud.conf_path)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    report = json.loads(done.stdout)
    checks = {check["check"]: check for check in report["checks"]}
    assert (report["code"], done.returncode) == (1, 1)
    assert not [line for line in done.stderr.splitlines() if "still waiting" not in line]
    assert {name for name, check in checks.items() if check["level"] != "OK"} == {"pipeline"}
    assert "no event was received from Ceilometer" in checks["pipeline"]["message"]
    assert checks["queue"]["figures"] == {"messages": 0, "consumers": 1}
    assert checks["alarms"]["figures"] == {"event": 1}
    figure(f"canary: {checks['canary']['figures']['milliseconds']} ms from event to webhook")
    assert left_over(cloud) == 0

    cloud.publish(make_event("vm-9"))
    wait_until(lambda: look(cloud)["pipeline"].level is Level.OK, 30.0, "the event to be seen")
    assert "the last event was received" in look(cloud)["pipeline"].message
    assert set(levels(look(cloud, canary=True)).values()) == {"OK"}

    listener.kill()
    wait_until(lambda: look(cloud)["listeners"].level is Level.FAILED, 30.0, "the lease to end")
    assert "no listener consumes it" in look(cloud)["queue"].message


def test_an_inspector_queue_that_nobody_consumes_is_reported(
    spawn: Spawn, tmp_path: pathlib.Path, aodh_mariadb_url: str, rabbit_url: str
) -> None:
    options = {"eventalarm_inspector": {"snapshot_interval": 0}}
    cloud = Cloud(spawn, tmp_path, aodh_mariadb_url, rabbit_url, **options)
    assert look(cloud)["inspector queue"].message.endswith("no eventalarm-inspector has been used")
    upgrade(cloud.database)
    inspector = spawn([console_script("eventalarm-inspector"), "--config-file", cloud.conf_path])
    wait_until(lambda: look(cloud)["inspector queue"].figures.get("consumers") == 1, 30.0, "the inspector")
    assert look(cloud)["inspector queue"].level is Level.OK

    inspector.kill()
    cloud.publish(make_event("vm-9"))
    wait_until(lambda: look(cloud)["inspector queue"].figures == {"messages": 1, "consumers": 0})
    found = look(cloud)["inspector queue"]
    assert found.level is Level.WARNING
    assert "rabbitmqctl delete_queue eventalarm-inspector" in found.remedy
    cloud.close()


def test_a_canary_that_does_not_arrive_leaves_nothing_and_reports_how_far_it_got(cloud: Cloud) -> None:
    upgrade(cloud.database)
    options = canary.CanaryOptions("127.0.0.1", 0, 0.2, "project_id", "resource_id")
    lost = canary.send(cloud.database, lambda _event: None, options, canary.new_id())
    assert (lost.level, left_over(cloud)) == (Level.FAILED, 0)
    assert "no listener evaluated the event" in lost.message

    def defect(_event: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        canary.send(cloud.database, defect, options, canary.new_id())
    assert left_over(cloud) == 0

    # Two killed listeners: one long ago, one just now.
    old, young = canary.new_id(), canary.new_id()
    for alarm_id in (old, young):
        insert_alarm(cloud.database, canary.alarm_row(alarm_id, "http://127.0.0.1:1/"))
    with cloud.database.begin() as connection:
        change = sa.update(tables.alarm).where(tables.alarm.c.alarm_id == old)
        connection.execute(change.values(timestamp=cloud.database.now() - 2 * canary.LEFT_AFTER))
    canary.remove_left_behind(cloud.database)
    with cloud.database.read() as connection:
        left = list(connection.execute(sa.select(tables.alarm.c.alarm_id)).scalars())
    assert left == [young]


def test_a_canary_that_the_egress_filter_denies_is_not_sent(
    spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    denied = {"deny_networks": "127.0.0.0/8", "allow_networks": ""}
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://", eventalarm_delivery=denied)
    with cloud.database.begin() as connection:
        row = {"worker_id": "w", "host": "elsewhere", "expires_at": cloud.database.now().replace(year=2999)}
        connection.execute(sa.insert(tables.worker), row)
    found = look(cloud, canary=True, canary_address="127.0.0.1")
    assert found["canary"].level is Level.SKIPPED
    assert "deny_networks" in found["canary"].message
    assert (found["broker"].level, found["queue"].level) == (Level.SKIPPED, Level.SKIPPED)
    cloud.close()


def test_a_transient_queue_and_an_old_outbox_are_reported(
    cloud: Cloud, rabbitmq: RabbitMQ, webhook_sink: WebhookSink
) -> None:
    upgrade(cloud.database)
    transport = bus.get_transport(
        cloud.conf, options={"amqp_durable_queues": "false", "rabbit_transient_quorum_queue": "false"}
    )
    names = {"topic": cloud.conf.eventalarm.topic, "exchange": "other"}
    bus.send(transport, event_type="e", payload=[], **names)
    transport.cleanup()
    assert not rabbitmq.queues(cloud.conf.transport_url)["event_eval.sample"]["durable"]
    now = cloud.database.now()
    long_ago = now.replace(year=now.year - 1)
    row = {
        "delivery_id": "d",
        "transition_id": "t",
        "order_key": "k",
        "alarm_id": "a",
        "project_id": "p",
        "action": "http://h/",
        "created_at": long_ago,
        "next_attempt_at": long_ago,
    }
    failed = {**row, "delivery_id": "f", "order_key": "l", "state": "failed", "finished_at": now}
    with cloud.database.begin() as connection:
        connection.execute(sa.insert(tables.delivery), {**row, "state": "pending"})
        connection.execute(sa.insert(tables.delivery), failed)
    found = look(cloud)
    assert "it is not durable" in found["queue"].message
    assert (found["outbox"].level, found["outbox"].figures["due"]) == (Level.FAILED, 1)
    assert found["outbox"].figures["oldest_due"] == pytest.approx(365 * 86400, rel=0.01)
    assert found["failed deliveries"].level is Level.WARNING
    assert "eventalarm-delivery list" in found["failed deliveries"].remedy


def test_invalid_configuration_and_the_upgrade_check_are_reported(cloud: Cloud) -> None:
    said = command(cloud, "upgrade", "check")
    assert (said.returncode, "run eventalarm-dbsync" in said.stdout) == (2, True)
    upgrade(cloud.database)
    with cloud.conf_path.open("a") as conf:
        conf.write("\n[eventalarm]\nwokers = 4\n")
    said = command(cloud, "upgrade", "check")
    assert said.returncode == 1
    assert "[eventalarm] wokers" in said.stdout
    with cloud.conf_path.open("a") as conf:
        conf.write("workers = many\n")
    done = command(cloud, "check")
    assert (done.returncode, done.stderr) == (2, "")
    assert re.match(r"eventalarm FAILED: configuration\n.*\[eventalarm\] workers", done.stdout)


def test_an_old_resource_map_is_reported(spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str) -> None:
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    found = look(cloud)["resource map"]
    assert (found.level, found.message[:6]) == (Level.OK, "empty:")
    now = datetime.datetime.now(datetime.UTC)
    server = Resource(ResourceKind.SERVER, "vm-1", now, "p", host="c0", host_at=now)
    ResourceMap(cloud.database).apply([server])
    lease = LeaderLease(cloud.database, SNAPSHOT_LEASE, "inspector", 60.0)
    said = "1 resources on 1 hosts; faults raised: 0"
    assert look(cloud)["resource map"].message == f"{said}; no snapshot was ever complete"
    assert lease.take()
    for age, level in ((3600, Level.WARNING), (0, Level.OK)):
        lease.done(cloud.database.now() - datetime.timedelta(seconds=age))
        assert look(cloud)["resource map"].level is level
    cloud.close()


def test_secrets_that_no_key_decrypts_are_reported(
    spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    """Fails if it is found only when webhooks arrive unsigned."""
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    assert look(cloud)["secrets"].message == "no secrets are stored"
    first, second = (fernet.Fernet.generate_key().decode() for _ in range(2))
    secrets = ProjectSecrets(cloud.database)
    for project, key in (("p1", first), ("p2", second)):
        secrets.add(project, close_secret(Vault(key), project, "whsec_" + "A" * 32))
    said = "[eventalarm_ifa] credentials_key decrypts {} of 2 secrets, not those of {}"
    for keys, level, message in (
        ("", Level.FAILED, said.format(0, "project p1, project p2")),
        (second, Level.FAILED, said.format(1, "project p1")),
        (f"{second},{first}", Level.OK, "2 secrets can be decrypted"),
    ):
        cloud.conf.set_override("credentials_key", keys, group="eventalarm_ifa")
        found = look(cloud)["secrets"]
        assert (found.level, found.message) == (level, message)
    cloud.close()


def test_alarms_at_a_limit_and_endless_subscriptions_are_reported(
    spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    assert look(cloud)["subscriptions"].message == "no subscriptions"
    full, awaiting, disabled = (cloud.create_alarm() for _ in range(3))
    now = cloud.database.now()
    counts = {"raised": 9, "changes": 1, "changed_at": now, "awaited": 0}
    never_ending = {
        "subscription_id": "s",
        "project_id": "p",
        "all_projects": False,
        "callback_uri": "https://h/",
        "filter": "{}",
        "digest": "d",
        "state": "active",
        "created_at": now,
        "confirmed_at": now,
        "api_root": "",
    }
    with cloud.database.begin() as connection:
        for alarm_id in (full, disabled):
            row = {**counts, "alarm_id": alarm_id, "is_full": True, "is_full_awaited": False}
            connection.execute(sa.insert(tables.alarm_count), row)
        row = {**counts, "alarm_id": awaiting, "is_full": False, "is_full_awaited": True}
        connection.execute(sa.insert(tables.alarm_count), row)
        off = sa.update(tables.alarm).where(tables.alarm.c.alarm_id == disabled).values(enabled=False)
        connection.execute(off)
        connection.execute(sa.insert(ifa_tables.subscription), never_ending)
    found = look(cloud)
    assert found["alarms"].level is Level.WARNING
    assert found["alarms"].message.endswith(f"are not recorded: {full}")
    assert "max_occurrences_per_alarm" in found["alarms"].remedy
    assert found["subscriptions"].level is Level.WARNING
    assert "they never expire" in found["subscriptions"].message
    with cloud.database.begin() as connection:
        connection.execute(sa.update(tables.alarm_count).values(is_full=False))
    assert look(cloud)["alarms"].message.endswith(f"are not observed: {awaiting}")
    cloud.conf.set_override("subscription_lifetime", 604800.0, group="eventalarm_ifa")
    assert look(cloud)["subscriptions"].level is Level.OK
    cloud.close()


def test_an_agent_on_another_vhost_is_named(
    cloud: Cloud,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    rabbitmq: RabbitMQ,
    rabbit_url: str,
    webhook_sink: WebhookSink,
) -> None:
    """Telemetry and alarming on two virtual hosts: the canary arrives, but no event of Ceilometer."""
    telemetry_url = rabbitmq.new_url()
    upgrade(cloud.database)
    fault = load_notification(UPDATE)
    instance, project = fault["payload"]["instance_id"], fault["payload"]["tenant_id"]
    cloud.create_alarm([webhook_sink.url("/hook")], instance=instance, project=project)
    cloud.start_listener()
    agent = spawn(agent_command(tmp_path, telemetry_url, ["eventalarm://"]))
    agent.wait_for_log("Publishing events to")
    theirs = oslo_messaging.get_notification_transport(cloud.conf, telemetry_url)
    try:
        notify(theirs, fault)
        wait_until(lambda: rabbitmq.queues(telemetry_url).get(QUEUE, {}).get("messages"), 60, "the event")
        found = look(cloud, canary=True, ceilometer_conf=str(tmp_path / "ceilometer.conf"))
        assert (found["canary"].level, found["pipeline"].level) == (Level.OK, Level.FAILED)
        for url in (telemetry_url, rabbit_url):
            assert url.rpartition("/")[2] in found["pipeline"].message
        assert webhook_sink.at("/hook") == []

        agent.terminate()
        spawn(agent_command(tmp_path, telemetry_url, [rabbit_url.replace("rabbit://", "eventalarm://")]))
        notify(theirs, fault)
        webhook_sink.wait(1, "/hook", timeout=60)
    finally:
        theirs.cleanup()
    wait_until(
        lambda: look(cloud, ceilometer_conf=str(tmp_path / "ceilometer.conf"))["pipeline"].level is Level.OK,
        30.0,
        "the remedy to be seen",
    )
