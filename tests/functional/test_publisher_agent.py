"""An unmodified ceilometer-agent-notification with our line in its event pipeline."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest

from eventalarm import bus
from eventalarm.publisher.codec import decode
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import Spawn
from tests.support.cloud import load_notification
from tests.support.helpers import TopicListener
from tests.support.telemetry import agent_command, ceilometer_options, notify

UPDATE = "nova-compute.instance.update-error.json"


@pytest.fixture
def nova(rabbit_url: str) -> Iterator[Any]:
    """The bus as Nova has it."""
    transport = oslo_messaging.get_notification_transport(ceilometer_options(rabbit_url))
    yield transport
    transport.cleanup()


@pytest.fixture
def listener(rabbit_url: str) -> Iterator[TopicListener]:
    listener = TopicListener(bus.get_transport(ceilometer_options(rabbit_url)))
    yield listener
    listener.close()


def test_a_nova_notification_becomes_an_event_on_the_topic(
    rabbit_url: str,
    nova: Any,
    listener: TopicListener,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    figure: Callable[[str], None],
) -> None:
    begun = time.monotonic()
    agent = spawn(agent_command(tmp_path, rabbit_url, ["eventalarm://?rabbit_qos_prefetch_count=5"]))
    agent.wait_for_log(r"Publishing events to rabbit://127\.0\.0\.1:\d+/\S+ topic event_eval, policy default")
    notification = load_notification(UPDATE)
    notify(nova, notification)
    listener.wait(1)
    figure(f"ceilometer-agent-notification: first event {time.monotonic() - begun:.1f} s after its start")
    (event,), invalid = decode(listener.messages[0]["payload"])
    assert invalid == []
    assert event.message_id == notification["message_id"]
    assert event.event_type == "compute.instance.update"
    expected = {
        "state": "error",
        "old_state": "active",
        "resource_id": notification["payload"]["instance_id"],
        "project_id": notification["payload"]["tenant_id"],
        "vcpus": 1,
    }
    assert {name: event.trait(name) for name in expected} == expected

    latencies = []
    for count in range(2, 32):
        at = time.monotonic()
        notify(nova, load_notification(UPDATE))
        listener.wait(count)
        latencies.append((listener.ticks[-1] - at) * 1000)
    latencies.sort()
    figure(f"notification -> event_eval: median {latencies[15]:.1f} ms, worst of 30 {latencies[-1]:.1f} ms")
    assert agent.terminate() == 0


def test_the_agent_publishes_again_after_the_broker_was_killed(
    rabbitmq: RabbitMQ, rabbit_url: str, nova: Any, spawn: Spawn, tmp_path: pathlib.Path
) -> None:
    """Nova's queue is transient by default, so that notifications sent meanwhile may be lost."""
    agent = spawn(agent_command(tmp_path, rabbit_url, ["eventalarm://"]))
    agent.wait_for_log("Publishing events to")
    before = load_notification(UPDATE)
    notify(nova, before)
    first = TopicListener(bus.get_transport(ceilometer_options(rabbit_url)))
    first.wait(1)
    first.close()
    rabbitmq.kill()
    rabbitmq.start()
    after = load_notification(UPDATE)
    notify(nova, after)
    second = TopicListener(bus.get_transport(ceilometer_options(rabbit_url)))
    try:
        second.wait(1, timeout=60)
        assert second.ids[-1] == after["message_id"]
    finally:
        second.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("policy=que", "policy: 'que' is unknown; use one of: default, queue, drop"),
        ("polcy=queue", "polcy: unknown, also to the rabbit driver of oslo.messaging; correct or remove it"),
        ("rabbit_quorum_queue=perhaps", "rabbit_quorum_queue: 'perhaps' is not valid"),
    ],
)
def test_a_wrong_option_is_named_in_the_log_of_the_agent(
    rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path, query: str, words: str
) -> None:
    agent = spawn(agent_command(tmp_path, rabbit_url, [f"eventalarm://?{query}"]))
    agent.wait_for_log("Unable to load publisher eventalarm")
    (line,) = [line for line in agent.text().splitlines() if "publishes nothing until" in line]
    assert " ERROR eventalarm.publisher.event_eval " in line
    assert words in line
    assert "options: topic, exchange, driver, policy" in line
