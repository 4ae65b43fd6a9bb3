"""A queue that was declared differently, a wrong password or vhost: one line with a remedy, then retries."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping

import oslo_messaging
import pytest
from kombu.connection import Connection

from eventalarm import broker, bus
from eventalarm.status.broker import check_queue
from eventalarm.status.checks import Level
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import WebhookSink
from tests.support.telemetry import ceilometer_options

QUEUE = "event_eval.sample"


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str, rabbit_url: str) -> Iterator[Cloud]:
    made = Cloud(spawn, tmp_path, our_sqlite_url, rabbit_url)
    bus.describe(made.conf)  # registers transport_url
    yield made
    made.close()


def publish_plainly(url: str, event: dict[str, object]) -> None:
    """Publish as ``notifier://?topic=event_eval`` of the blueprint does: on a transient queue."""
    transport = oslo_messaging.get_notification_transport(
        ceilometer_options(url), url + "?amqp_durable_queues=false&rabbit_transient_quorum_queue=false"
    )
    notifier = oslo_messaging.Notifier(transport, "x", driver="messagingv2", topics=["event_eval"])
    notifier.sample({}, "event", [event])
    transport.cleanup()


def declare(url: str, there: Mapping[str, object]) -> None:
    """Declare the queue as *there* says: its arguments, and ``durable`` unless it is."""
    arguments = dict(there)
    durable = bool(arguments.pop("durable", True))
    with Connection(url.replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=durable, auto_delete=False, arguments=arguments)


@pytest.mark.parametrize(
    ("wanted", "there", "words"),
    [
        ("", {"x-queue-type": "quorum"}, "x-queue-type is quorum, but classic is required"),
        ("?rabbit_quorum_queue=true", {}, "x-queue-type is classic, but quorum is required"),
        (
            "?rabbit_quorum_queue=true&rabbit_quorum_delivery_limit=20",
            {"x-queue-type": "quorum"},
            "x-delivery-limit is absent, but 20 is required",
        ),
        (
            "?rabbit_quorum_queue=true",
            {"x-queue-type": "quorum", "x-delivery-limit": 5},
            "x-delivery-limit is 5, but absent is required",
        ),
        ("", {"x-message-ttl": 5000}, "x-message-ttl is 5000, but absent is required"),
        ("", {"durable": False}, "durable is false, but true is required"),
    ],
)
def test_the_differing_queue_argument_is_named(
    cloud: Cloud, rabbit_url: str, wanted: str, there: dict[str, object], words: str
) -> None:
    declare(rabbit_url, there)
    cloud.conf.set_override("transport_url", rabbit_url + wanted)
    with pytest.raises(broker.Unusable) as caught:
        broker.check(cloud.conf, 10.0)
    assert words in caught.value.problem
    assert "rabbitmqctl delete_queue -p test-" in caught.value.remedy
    found = check_queue(cloud.conf, 10.0)
    assert (found.level, found.remedy) == (Level.FAILED, caught.value.remedy)
    assert words in found.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("/test-", "/nowhere-"), "the virtual host nowhere-"),
        (("@127", "x@127"), "the broker refuses this user and password"),
    ],
)
def test_a_refused_connection_is_reported_with_its_reason(
    cloud: Cloud, rabbit_url: str, change: tuple[str, str], words: str
) -> None:
    cloud.conf.set_override("transport_url", rabbit_url.replace(*change))
    with pytest.raises(broker.Unusable, match=words) as caught:
        broker.check(cloud.conf, 10.0)
    assert "transport_url" in caught.value.remedy


def test_a_listener_waits_until_the_queue_is_declared_as_required(
    cloud: Cloud, rabbitmq: RabbitMQ, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    """Fails when the listener loops with tracebacks, at its start or when the queue is changed later."""
    vhost = rabbit_url.rpartition("/")[2]
    cloud.create_alarm([webhook_sink.url("/a")], instance="vm-1")
    cloud.create_alarm([webhook_sink.url("/b")], instance="vm-2")
    publish_plainly(rabbit_url, make_event("nobody"))
    listener = cloud.start_listener(wait=False)
    listener.wait_for_log("Waiting for the broker .*durable is false, but true is required.*eventalarm://")
    rabbitmq.ctl("delete_queue", "-p", vhost, QUEUE)
    listener.wait_for_log("Listening on topic")
    cloud.publish(make_event("vm-1"))
    webhook_sink.wait(1, "/a")

    rabbitmq.ctl("delete_queue", "-p", vhost, QUEUE)
    declare(rabbit_url, {"x-queue-type": "quorum"})
    # The listener may have been faster.
    if rabbitmq.queues(rabbit_url)[QUEUE]["type"] == "quorum":
        listener.wait_for_log(
            "Cannot consume messages from the broker .*: .*x-queue-type is quorum, but classic is required"
        )
        rabbitmq.ctl("delete_queue", "-p", vhost, QUEUE)
        listener.wait_for_log("Consuming messages from the broker .* again")
    cloud.publish(make_event("vm-2"))
    webhook_sink.wait(1, "/b")
    assert "Traceback" not in listener.text()
    assert len(listener.text().splitlines()) < 60, listener.text()
