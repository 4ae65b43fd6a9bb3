"""What a broker counts as redelivery: killed listeners, outages of the database, lost connections."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu.connection import Connection

from eventalarm.trial.own_cloud.services.restartable import MariaDB, RabbitMQ
from tests.functional.conftest import Spawn
from tests.functional.disruption.delivery_limit import AlarmLocks
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import WebhookSink, wait_until

QUEUE = "event_eval.sample"
LIMIT = 2
EVENTS = 12
FIRST_PREFETCH = 8
QUORUM = "?rabbit_quorum_queue=true"


def make_cloud(spawn: Spawn, tmp_path: pathlib.Path, database: str, broker: str, **options: Any) -> Cloud:
    return Cloud(
        spawn,
        tmp_path,
        database,
        broker,
        eventalarm=options,
        eventalarm_delivery={"lease": 3.0, "poll_interval": 0.2},
    )


@pytest.fixture
def cloud(
    request: pytest.FixtureRequest,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    our_mariadb_url: str,
    rabbit_url: str,
) -> Iterator[Cloud]:
    """A cloud whose queue is a quorum queue, unless the parameter, the query of the URL, says otherwise."""
    query = getattr(request, "param", QUORUM)
    made = make_cloud(spawn, tmp_path, our_mariadb_url, rabbit_url + query, hold_batch=0.5)
    yield made
    made.close()


def alarms_on(cloud: Cloud, sink: WebhookSink, count: int = EVENTS) -> list[str]:
    return [cloud.create_alarm([sink.url(f"/{n}")], instance=f"vm-{n}") for n in range(count)]


def assert_each_fired(cloud: Cloud, sink: WebhookSink, alarms: list[str]) -> None:
    for number, alarm in enumerate(alarms):
        sink.wait(1, f"/{number}", timeout=60)
        assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised"]


@pytest.fixture
def locks(cloud: Cloud) -> Iterator[AlarmLocks]:
    made = AlarmLocks(cloud.database_url)
    yield made
    made.close()


@pytest.mark.parametrize("cloud", [f"{QUORUM}&rabbit_quorum_delivery_limit={LIMIT}"], indirect=True)
def test_a_listener_killed_more_often_than_the_delivery_limit_loses_nothing(
    cloud: Cloud,
    locks: AlarmLocks,
    webhook_sink: WebhookSink,
    rabbitmq: RabbitMQ,
    rabbit_url: str,
    figure: Callable[[str], None],
) -> None:
    """Fails when messages are not renewed before the limit, or when a listener begins with all of them."""
    alarms = alarms_on(cloud, webhook_sink)
    cloud.start_listener().terminate()
    kills = LIMIT + 2
    held = []
    with locks.held(alarms):
        for number in range(EVENTS):
            cloud.publish(make_event(f"vm-{number}"))
        for _ in range(kills):
            listener = cloud.start_listener()
            wait_until(locks.reached, what="a batch in its transaction")
            held.append(rabbitmq.unacknowledged(rabbit_url))
            listener.kill()
            wait_until(lambda: rabbitmq.unacknowledged(rabbit_url) == 0, what="the broker to notice")
    assert max(held) <= FIRST_PREFETCH
    cloud.start_listener()
    assert_each_fired(cloud, webhook_sink, alarms)
    wait_until(lambda: rabbitmq.queues(rabbit_url)[QUEUE]["messages"] == 0, 60, "drained")
    figure(f"delivery limit {LIMIT}: {kills} kills in mid-batch, {len(alarms)} of {EVENTS} events fired")


def deliveries_counted(url: str) -> list[int]:
    """Take every message from the queue, return how often each was taken back, and let them go again."""
    with Connection(url.partition("?")[0].replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        counts = []
        while (message := channel.basic_get(QUEUE)) is not None:
            counts.append(message.headers.get("x-delivery-count", 0))
        return counts


def test_a_long_outage_of_the_database_leaves_the_messages_with_the_broker(
    cloud: Cloud, webhook_sink: WebhookSink, rabbitmq: RabbitMQ, mariadb: MariaDB, rabbit_url: str
) -> None:
    """Fails when a batch is held throughout the outage: the broker's consumer timeout would cut it off."""
    alarms = alarms_on(cloud, webhook_sink)
    listeners = [cloud.start_listener(), cloud.start_listener()]
    mariadb.kill()
    for number in range(EVENTS):
        cloud.publish(make_event(f"vm-{number}"))
    wait_until(
        lambda: (
            all("until the database is back" in one.text() for one in listeners)
            and rabbitmq.queues(rabbit_url)[QUEUE]["consumers"] == 0
            and rabbitmq.ready(rabbit_url) == EVENTS
        ),
        60,
        "every message with the broker, and no consumer",
    )
    # However long the outage lasts, no listener takes any of them again.
    counts = deliveries_counted(rabbit_url)
    assert len(counts) == EVENTS
    assert max(counts) <= len(listeners)
    mariadb.start()
    assert_each_fired(cloud, webhook_sink, alarms)
    wait_until(lambda: rabbitmq.queues(rabbit_url)[QUEUE]["consumers"] == len(listeners), what="consumers")


@pytest.mark.parametrize("cloud", [""], indirect=True)
def test_acknowledgements_lost_with_a_connection_are_repeated(
    cloud: Cloud, locks: AlarmLocks, webhook_sink: WebhookSink, rabbitmq: RabbitMQ, rabbit_url: str
) -> None:
    """Fails when oslo.messaging drops a known message: the broker then waits for its acknowledgement."""
    alarms = alarms_on(cloud, webhook_sink, FIRST_PREFETCH)
    listener = cloud.start_listener()
    with locks.held(alarms):
        for number in range(FIRST_PREFETCH):
            cloud.publish(make_event(f"vm-{number}"))
        wait_until(locks.reached, what="a batch in its transaction")
        rabbitmq.kill()
    wait_until(lambda: cloud.state(alarms[0]) == "alarm", what="the batch to be committed")
    rabbitmq.start()
    assert_each_fired(cloud, webhook_sink, alarms)
    wait_until(lambda: rabbitmq.queues(rabbit_url)[QUEUE]["messages"] == 0, 30, "drained")
    assert "Traceback" not in listener.text()
