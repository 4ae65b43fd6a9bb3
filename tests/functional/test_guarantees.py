"""G1 to G10 (doc/source/admin/guarantees.rst), on real processes, a real quorum queue and a real MariaDB.

The docstring of each test names the mechanism without which it fails.
"""

from __future__ import annotations

import datetime
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

import oslo_messaging
import pytest
import sqlalchemy as sa

from eventalarm.trial.own_cloud.services.restartable import MariaDB, RabbitMQ
from tests.support.cloud import PROJECT, Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, wait_until

QUORUM = "?rabbit_quorum_queue=true"
QUICK = {"lease": 2.0, "poll_interval": 0.2, "retry_initial": 0.1, "retry_max": 1.0}
ONE_OF_EACH = 20
LEASE = 6.0


@pytest.fixture
def cloud(
    spawn: Spawn,
    tmp_path: pathlib.Path,
    our_mariadb_url: str,
    rabbit_url: str,
    request: pytest.FixtureRequest,
) -> Iterator[Cloud]:
    """A cloud without listeners and API yet; a parameter changes options of delivery."""
    options = QUICK | getattr(request, "param", {})
    one = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url + QUORUM, eventalarm_delivery=options)
    yield one
    one.close()


def fire_many(cloud: Cloud, sink: WebhookSink, count: int = ONE_OF_EACH) -> list[str]:
    """Create *count* alarms, each with its own instance and webhook path."""
    return [cloud.create_alarm([sink.url(f"/{n}")], instance=f"vm-{n}") for n in range(count)]


def assert_each_fired_once(cloud: Cloud, sink: WebhookSink, alarms: list[str]) -> None:
    """Check that every alarm has one transition, and that repeats of its delivery carry the same id."""
    wait_until(lambda: all(cloud.transitions(alarm) for alarm in alarms), 60, "a transition of every alarm")
    cloud.settle()
    for number, alarm in enumerate(alarms):
        assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised"]
        arrived = sink.wait(1, f"/{number}")
        assert len({request.headers["X-Eventalarm-Delivery-Id"] for request in arrived}) == 1
        assert arrived[0].json["alarm_id"] == alarm


def test_g1_killed_listener_loses_nothing(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when no worker takes over the deliveries that a dead process held."""
    alarms = fire_many(cloud, webhook_sink)
    releases = [webhook_sink.hang(f"/{n}") for n in range(len(alarms))]
    first = cloud.start_listener()
    for number in range(len(alarms)):
        cloud.publish(make_event(f"vm-{number}"))
    # Some are committed and being sent to a consumer that does not respond, some may not be claimed yet.
    webhook_sink.wait(1)
    first.kill()
    for release in releases:
        release()
    cloud.start_listener()
    assert_each_fired_once(cloud, webhook_sink, alarms)


@pytest.mark.parametrize("cloud", [{"lease": LEASE}], indirect=True)
def test_g1_the_other_listener_finishes_within_the_lease(
    cloud: Cloud, webhook_sink: WebhookSink, figure: Callable[[str], None]
) -> None:
    """From the kill to the last response, not only to the takeover. Fails when no worker takes over."""
    alarms = fire_many(cloud, webhook_sink)
    releases = [webhook_sink.hang(f"/{n}") for n in range(len(alarms))]
    dying, _other = cloud.start_listener(), cloud.start_listener()
    for number in range(len(alarms)):
        cloud.publish(make_event(f"vm-{number}"))
    wait_until(
        lambda: len(cloud.rows("SELECT DISTINCT alarm_id FROM eventalarm_delivery")) == len(alarms), 60
    )
    held = len(cloud.rows("SELECT DISTINCT owner FROM eventalarm_delivery WHERE state = 'leased'"))
    killed = time.monotonic()
    dying.kill()
    for release in releases:
        release()
    assert_each_fired_once(cloud, webhook_sink, alarms)
    took = time.monotonic() - killed
    figure(f"takeover: all delivered {took:.1f} s after the kill, the lease is {LEASE:.0f} s")
    assert held == 2, "each of the two held some"
    assert took < LEASE


def test_g1_listener_killed_in_mid_batch_loses_nothing(
    cloud: Cloud, webhook_sink: WebhookSink, rabbitmq: RabbitMQ, rabbit_url: str
) -> None:
    """Fails when messages are acknowledged before their transitions are committed."""
    alarms = fire_many(cloud, webhook_sink)
    first = cloud.start_listener()
    # Not locked by a session of ours, which the database would end when it idles in a transaction.
    somebody = sa.create_engine(cloud.database_url, poolclass=sa.NullPool)
    with somebody.begin() as connection:
        connection.execute(sa.text("SELECT alarm_id FROM alarm FOR UPDATE"))
        for number in range(len(alarms)):
            cloud.publish(make_event(f"vm-{number}"))
        wait_until(lambda: rabbitmq.unacknowledged(rabbit_url) > 0, what="messages taken")
        wait_until(
            lambda: (
                "is locked by another session" in first.text()
                or cloud.rows("SELECT count(*) AS n FROM information_schema.innodb_lock_waits")[0]["n"]
            ),
            what="the listener waits for the rows",
        )
        first.kill()
    cloud.start_listener()
    assert_each_fired_once(cloud, webhook_sink, alarms)


def test_g1_killed_broker_loses_nothing(
    cloud: Cloud, webhook_sink: WebhookSink, rabbitmq: RabbitMQ, rabbit_url: str
) -> None:
    """Fails when the queue is neither durable nor a quorum queue."""
    alarms = fire_many(cloud, webhook_sink)
    # A node that dies within seconds of creating a queue forgets it (RabbitMQ 3.10 registers it lazily).
    cloud.start_listener().terminate()
    for number in range(len(alarms)):
        cloud.publish(make_event(f"vm-{number}"))
    name = "event_eval.sample"
    wait_until(lambda: rabbitmq.queues(rabbit_url)[name]["messages"] == len(alarms), what="the queue is full")
    rabbitmq.kill()
    listener = cloud.start_listener(wait=False)
    listener.wait_for_log("Waiting for the broker")
    rabbitmq.start()
    assert_each_fired_once(cloud, webhook_sink, alarms)


def test_g1_killed_database_loses_nothing(cloud: Cloud, webhook_sink: WebhookSink, mariadb: MariaDB) -> None:
    """Fails when a failed batch is acknowledged instead of held."""
    alarms = fire_many(cloud, webhook_sink)
    listener = cloud.start_listener()
    mariadb.kill()
    for number in range(len(alarms)):
        cloud.publish(make_event(f"vm-{number}"))
    # Or its delivery worker noticed first.
    listener.wait_for_log("Holding|Receiving no events")
    mariadb.start()
    assert_each_fired_once(cloud, webhook_sink, alarms)


def test_g2_two_listeners_and_repeated_events_fire_once(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when the transaction does not look for transitions that the event already caused."""
    alarms = [
        cloud.create_alarm([webhook_sink.url(f"/{n}")], instance=f"vm-{n}", repeat_actions=True)
        for n in range(5)
    ]
    cloud.start_listener()
    cloud.start_listener()
    events = [make_event(f"vm-{number}") for number in range(5)]
    for _ in range(10):
        for event in events:
            cloud.publish(event)
    cloud.publish(*(events * 3))
    last = make_event("vm-0")
    cloud.publish(last)
    wait_until(lambda: len(cloud.transitions(alarms[0])) == 2, what="the last event")
    cloud.settle()
    for number, alarm in enumerate(alarms):
        expected = [events[number]["message_id"]] + ([last["message_id"]] if number == 0 else [])
        assert Counter(t["message_id"] for t in cloud.transitions(alarm)) == Counter(expected)
        assert len(webhook_sink.at(f"/{number}")) == len(expected)


def test_g3_alarm_created_just_before_its_event_fires(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when definitions are not refreshed for each batch (stock Aodh: 0 of 10)."""
    cloud.start_api()
    cloud.start_listener()
    warm = cloud.create_alarm([webhook_sink.url("/warm")], instance="warm")
    cloud.publish(make_event("warm"))
    cloud.wait_for_state(warm, "alarm")
    for number in range(10):
        cloud.create_alarm([webhook_sink.url(f"/{number}")], instance=f"vm-{number}")
        cloud.publish(make_event(f"vm-{number}"))
    for number in range(10):
        assert webhook_sink.wait(1, f"/{number}")


def test_g4_edits_win(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when cached definitions are evaluated instead of the locked rows.

    Edits between look and lock are made in ``engine/test_edits.py``.
    """
    cloud.start_api()
    client = cloud.client()
    cloud.start_listener()
    edits = {
        "disabled": {"enabled": False},
        "renamed": {"name": "a new name", "severity": "low"},
        "retargeted": {"alarm_actions": [webhook_sink.url("/elsewhere")]},
    }
    alarms = {
        name: cloud.create_alarm([webhook_sink.url(f"/{name}")], instance=name)
        for name in (*edits, "deleted", "reset")
    }
    cloud.publish(make_event("nobody"), make_event("reset"))
    cloud.wait_for_state(alarms["reset"], "alarm")
    for name, fields in edits.items():
        client.alarm.update(alarms[name], fields)
    client.alarm.delete(alarms["deleted"])
    client.alarm.set_state(alarms["reset"], "ok")
    for name in alarms:
        cloud.publish(make_event(name))
    webhook_sink.wait(2, "/reset")
    moved = webhook_sink.wait(1, "/elsewhere")
    renamed = webhook_sink.wait(1, "/renamed")
    cloud.settle()
    assert [r.json["alarm_id"] for r in moved] == [alarms["retargeted"]]
    assert [(r.json["alarm_name"], r.json["severity"]) for r in renamed] == [("a new name", "low")]
    for silent in ("/disabled", "/deleted", "/retargeted"):
        assert webhook_sink.at(silent) == []
    row = client.alarm.get(alarms["renamed"])
    assert (row["name"], row["severity"], row["state"]) == ("a new name", "low", "alarm")
    assert client.alarm.get(alarms["disabled"])["state"] == "insufficient data"


def test_g5_projects_never_see_each_other(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when alarms are looked up by resource alone."""
    cloud.start_listener()
    mine = cloud.create_alarm([webhook_sink.url("/mine")])
    theirs = cloud.create_alarm([webhook_sink.url("/theirs")], project="project-2")
    # An administrator's action carries the caller as tenant_id and the owner as project_id.
    cloud.publish(make_event(project=PROJECT, tenant_id="project-2"))
    cloud.wait_for_state(mine, "alarm")
    cloud.settle()
    assert cloud.state(theirs) == "insufficient data"
    assert webhook_sink.at("/theirs") == []
    assert len(webhook_sink.at("/mine")) == 1


def test_g6_poison_hurts_only_itself(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when a batch is requeued for its content, and when one bad rule empties its project."""
    bad_rules = [
        {"field": "traits.state", "op": "eq", "type": "boolean", "value": "true"},
        {"field": "message_id.", "op": "lt", "type": "integer", "value": "5"},
        {"field": "traits.state", "op": "gt", "type": "float", "value": "1"},
        {"field": "traits.vcpus", "op": "eq", "type": "integer", "value": "many"},
        {"field": "traits.state", "op": "resembles", "type": "string", "value": "error"},
    ]
    for rule in bad_rules:
        cloud.create_alarm(event_rule={"event_type": "*", "query": [rule]})
    alarm = cloud.create_alarm([webhook_sink.url("/good")])
    cloud.start_listener()
    bad_trait = make_event()
    bad_trait["traits"][0:0] = [["vcpus", 2, "many"], ["launched_at", 4, "yesterday"], "junk"]
    hostile = make_event("\x00\ud800", "error")
    cloud.publish("junk", {"message_id": 5}, hostile, {}, [], make_event(event_type="\U0001f4a3" * 300))  # type: ignore[arg-type]
    cloud.publish(bad_trait)
    cloud.wait_for_state(alarm, "alarm")
    cloud.settle()
    assert len(webhook_sink.at("/good")) == 1


def test_g7_hung_consumer_hurts_only_itself(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when deliveries of different destinations share one queue."""
    hung = WebhookSink()
    try:
        release = hung.hang("/hung")
        cloud.start_listener()
        for number in range(50):
            cloud.create_alarm([hung.url("/hung")], instance=f"vm-{number}")
        healthy = cloud.create_alarm([webhook_sink.url("/healthy")], instance="vm-healthy")
        cloud.publish(*(make_event(f"vm-{number}") for number in range(50)))
        hung.wait(1, "/hung")
        started = time.monotonic()
        cloud.publish(make_event("vm-healthy"))
        arrived = webhook_sink.wait(1, "/healthy", timeout=5)
        assert arrived[0].json["alarm_id"] == healthy
        assert arrived[0].tick - started < 2.0
        release()
        hung.wait(50, "/hung")
        cloud.settle()
    finally:
        hung.close()


def test_g8_keystone_and_api_down(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    """Fails when a firing asks Keystone for the ids of the history record, as Aodh's evaluator does."""
    nobody = "http://127.0.0.1:1/v3"
    credentials = {
        "auth_type": "password",
        "auth_url": nobody,
        "username": "aodh",
        "password": "secret",
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, service_credentials=credentials)
    try:
        cloud.start_api()
        alarm = cloud.create_alarm([webhook_sink.url("/a")])
        cloud.stop_api()
        cloud.start_listener()
        cloud.publish(make_event())
        assert webhook_sink.wait(1, "/a")[0].json["current"] == "alarm"
        cloud.start_api()
        assert [h["type"] for h in cloud.client().alarm_history.get(alarm)].count("state transition") == 1
    finally:
        cloud.close()


def test_g9_late_event_changes_nothing(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when event times are not compared."""
    now = datetime.datetime.now(datetime.UTC)
    minute = datetime.timedelta(minutes=1)
    cloud.start_listener()
    url = webhook_sink.url("/life")
    alarm = cloud.create_alarm([url], ok_actions=[url])
    cloud.publish(make_event(state="error", generated=now - 3 * minute))
    cloud.wait_for_state(alarm, "alarm")
    cloud.publish(make_event(state="active", generated=now - minute))
    cloud.wait_for_state(alarm, "ok")
    cloud.publish(make_event(state="error", generated=now - 2 * minute))
    wait_until(lambda: len(cloud.transitions(alarm)) == 3, what="the late event is recorded")
    cloud.settle()
    assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared", "late"]
    assert cloud.state(alarm) == "ok"
    assert [r.json["current"] for r in webhook_sink.at("/life")] == ["alarm", "ok"]


def test_g10_backlog_stays_on_the_broker(cloud: Cloud, rabbitmq: RabbitMQ, rabbit_url: str) -> None:
    """Fails when no prefetch limit is set: the listener then takes the whole queue into memory."""
    prefetch = cloud.conf.eventalarm.prefetch
    # After its first batch it takes as many as it may.
    first = cloud.create_alarm(instance="vm-1")
    cloud.start_listener()
    cloud.publish(make_event("vm-1"))
    cloud.wait_for_state(first, "alarm")
    somebody = sa.create_engine(cloud.database_url, poolclass=sa.NullPool)

    def enough_waiting() -> bool:
        taken = rabbitmq.unacknowledged(rabbit_url)
        assert taken <= prefetch
        return bool(taken and rabbitmq.ready(rabbit_url) >= prefetch)

    with somebody.connect() as connection:
        connection.exec_driver_sql("LOCK TABLES alarm WRITE")
        for _ in range(2 * prefetch + 1):
            cloud.publish(make_event("nobody"))
        wait_until(enough_waiting, what="messages that the listener leaves on the broker")
    wait_until(lambda: rabbitmq.queues(rabbit_url)["event_eval.sample"]["messages"] == 0, 60, "drained")


def test_listener_finishes_its_batch_on_sigterm(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """A stopped listener exits with 0 and finishes what it began."""
    alarms = fire_many(cloud, webhook_sink)
    listener = cloud.start_listener()
    for number in range(len(alarms)):
        cloud.publish(make_event(f"vm-{number}"))
    webhook_sink.wait(1)
    assert listener.terminate() == 0, listener.text()
    cloud.start_listener()
    assert_each_fired_once(cloud, webhook_sink, alarms)


def test_unreadable_message_is_acknowledged(cloud: Cloud, rabbitmq: RabbitMQ, rabbit_url: str) -> None:
    """A message that oslo.messaging can carry but we cannot read is dropped and logged once."""
    listener = cloud.start_listener()
    transport = oslo_messaging.get_notification_transport(cloud.conf)
    notifier = oslo_messaging.Notifier(
        transport, "stranger", driver="messagingv2", topics=[cloud.conf.eventalarm.topic]
    )
    notifier.sample({}, "odd", {"no": "event"})
    notifier.sample({}, "odd", ["no", None, 7, [[]]])
    listener.wait_for_log("Ignored unreadable event")
    wait_until(lambda: rabbitmq.queues(rabbit_url)["event_eval.sample"]["messages"] == 0, 60, "drained")
    transport.cleanup()
