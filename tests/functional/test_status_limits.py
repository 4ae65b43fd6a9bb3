"""The limits that a real RabbitMQ applies to the queue are read and checked, and dropped messages counted."""

from __future__ import annotations

import json
import pathlib
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm import broker, bus
from eventalarm.status.checks import Finding, Level
from eventalarm.status.queue_limits import QueueLimits, check_limits, limits_finding
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event

QUEUE = "event_eval.sample"


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str, rabbit_url: str) -> Iterator[Cloud]:
    made = Cloud(spawn, tmp_path, our_sqlite_url, rabbit_url + "?rabbit_quorum_queue=true")
    broker.check(made.conf, 10.0)
    yield made
    made.close()


def look(cloud: Cloud, rabbitmq: RabbitMQ) -> Finding:
    # Each call starts an Erlang VM.
    return check_limits(cloud.conf, 60.0, shlex.join(rabbitmq.info["ctl"]))


def test_policies_and_timeouts_of_the_broker_are_checked(
    cloud: Cloud, rabbitmq: RabbitMQ, rabbit_url: str
) -> None:
    vhost = rabbit_url.rpartition("/")[2]

    def policy(**definition: Any) -> None:
        text = json.dumps(definition)
        rabbitmq.ctl("set_policy", "-p", vhost, "--apply-to", "queues", "all", ".*", text)

    found = look(cloud, rabbitmq)
    assert (found.level, found.message) == (Level.OK, "no delivery limit, consumer timeout 1800 s")
    policy(**{"delivery-limit": 1})
    found = look(cloud, rabbitmq)
    assert (found.level, found.figures["delivery_limit"]) == (Level.FAILED, 1)
    assert "raise the delivery limit" in found.remedy
    policy(**{"delivery-limit": 20})
    found = look(cloud, rabbitmq)
    assert found.level is Level.WARNING
    assert '"dead-letter-routing-key": "event_eval.dead"' in found.remedy
    policy(**{"delivery-limit": 20, "dead-letter-exchange": "", "dead-letter-routing-key": "event_eval.dead"})
    assert look(cloud, rabbitmq).level is Level.OK

    transport = bus.get_transport(cloud.conf)
    group = cloud.conf.eventalarm
    bus.resend(
        transport, {"payload": [make_event()]}, topic=group.topic, exchange=group.exchange, priority=bus.DEAD
    )
    transport.cleanup()
    found = look(cloud, rabbitmq)
    assert (found.level, found.figures["dead"]) == (Level.WARNING, 1)
    assert "1 messages were moved to event_eval.dead" in found.message


def test_without_rabbitmqctl_unknown_limits_are_named(cloud: Cloud) -> None:
    found = check_limits(cloud.conf, 5.0, "/nowhere/rabbitmqctl")
    assert found.level is Level.OK
    assert "policies were not read" in found.message


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (QueueLimits(True, (4, 0), {}), Level.OK, "delivery limit 20"),
        (QueueLimits(False, (4, 0), {}), Level.OK, "no delivery limit"),
        (QueueLimits(True, (4, 1), {}, {"delivery-limit": -1}), Level.OK, "no delivery limit"),
        (
            QueueLimits(True, (3, 10), {"x-delivery-limit": 9}, {"delivery-limit": 5}),
            Level.WARNING,
            "limit 5",
        ),
        (QueueLimits(False, (3, 12), {}, {}, 15.0), Level.FAILED, "consumer timeout 15 s"),
        (QueueLimits(False, (3, 12), {}, {}, 45.0), Level.WARNING, "cuts off listeners"),
        (QueueLimits(False, (3, 12), {}, {}, 0.0), Level.OK, "no consumer timeout"),
        (QueueLimits(False, (3, 12), {}, {"message-ttl": 1}), Level.WARNING, "drops events: message-ttl"),
    ],
)
def test_the_verdict(facts: QueueLimits, level: Level, words: str) -> None:
    found = limits_finding(facts, QUEUE, "event_eval.dead", renew_after=2, hold=20.0)
    assert (found.level, words in found.message) == (level, True), found
