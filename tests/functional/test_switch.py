"""Moving from a stock ``aodh-listener`` and back, with both topics fed: nothing is lost or duplicated."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest

from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import Process, WebhookSink, console_script, wait_until
from tests.support.telemetry import agent_command, notify

STOCK_QUEUE, OUR_QUEUE = "alarm.all.sample", "event_eval.sample"
BOTH = ["notifier://?topic=alarm.all", "eventalarm://"]


def fault(instance: str, state: str = "error") -> dict[str, Any]:
    """Return a Nova notification about *instance*."""
    event = make_event(instance, state)
    return {
        "message_id": event["message_id"],
        "event_type": event["event_type"],
        "priority": "INFO",
        "publisher_id": "compute.host-1",
        "timestamp": str(datetime.datetime.now(datetime.UTC).replace(tzinfo=None)),
        "payload": {"instance_id": instance, "tenant_id": "project-1", "state": state, "user_id": "u"},
    }


class Switch:
    """A cloud whose Ceilometer feeds both topics, and the evaluators that come and go."""

    def __init__(self, cloud: Cloud, spawn: Spawn, rabbitmq: RabbitMQ, url: str) -> None:
        self.cloud = cloud
        self._spawn = spawn
        self._rabbitmq = rabbitmq
        self._url = url
        self._nova = oslo_messaging.get_notification_transport(cloud.conf, url)

    def notify(self, *instances: str) -> None:
        """Publish Nova's notification of a fault of each instance."""
        for instance in instances:
            notify(self._nova, fault(instance))

    def start_stock(self) -> Process:
        """Start Aodh's own listener."""
        return self._spawn([console_script("aodh-listener"), "--config-file", self.cloud.conf_path])

    def waiting(self, queue: str) -> int:
        """Return how many messages are on *queue*, taken or not."""
        found = self._rabbitmq.queues(self._url).get(queue)
        return int(found["messages"]) if found else -1

    def purge_stock_queue(self) -> None:
        """Follow the instructions for moving back of the page on moving from aodh-listener."""
        vhost = self._url.rpartition("/")[2]
        self._rabbitmq.ctl("purge_queue", "-p", vhost, STOCK_QUEUE)

    def wait_for_queue(self, queue: str, messages: int) -> None:
        """Wait until *queue* holds that many messages."""
        wait_until(lambda: self.waiting(queue) == messages, 60, f"{messages} on {queue}")

    def fired(self, alarm_id: str) -> list[str]:
        """Return the ids of the events that Aodh's history names for an alarm."""
        rows = self.cloud.rows(
            "SELECT detail FROM alarm_history WHERE alarm_id = :id AND type = 'state transition'", id=alarm_id
        )
        reasons = [json.loads(row["detail"])["transition_reason"] for row in rows]
        return [reason.partition("<id=")[2].partition(",")[0] for reason in reasons]

    def close(self) -> None:
        """Close the transport."""
        self._nova.cleanup()


@pytest.fixture
def switch(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, rabbitmq: RabbitMQ
) -> Iterator[Switch]:
    """Both topics fed, Aodh's notifier running, no evaluator yet."""
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm={"beside_aodh_listener": True})
    one = Switch(cloud, spawn, rabbitmq, rabbit_url)
    spawn([console_script("aodh-notifier"), "--config-file", cloud.conf_path])
    agent = spawn(agent_command(tmp_path, rabbit_url, BOTH))
    agent.wait_for_log("Publishing events to")
    yield one
    one.close()
    cloud.close()


def test_moving_from_aodh_listener_and_back_loses_nothing(switch: Switch, webhook_sink: WebhookSink) -> None:
    """Fails without the look into Aodh's history: the repeating alarms then fire again for old events."""
    cloud = switch.cloud
    names = [f"{kind}-{n}" for kind in ("once", "repeat") for n in range(5)]
    alarms = {
        name: cloud.create_alarm(
            [webhook_sink.url(f"/{name}")], instance=name, repeat_actions=name.startswith("repeat")
        )
        for name in names
    }
    stock = switch.start_stock()
    switch.notify(*names)
    for name in names:
        webhook_sink.wait(1, f"/{name}", timeout=90)
    switch.wait_for_queue(STOCK_QUEUE, 0)
    assert stock.terminate() == 0
    # No evaluator runs now; both queues fill.
    switch.notify(*names)
    switch.wait_for_queue(STOCK_QUEUE, len(names))

    ours = cloud.start_listener()
    for name in names:
        if name.startswith("repeat"):
            webhook_sink.wait(2, f"/{name}")
    switch.wait_for_queue(OUR_QUEUE, 0)
    cloud.settle()
    arrived = Counter(request.path for request in webhook_sink.requests)
    assert arrived == {f"/{name}": 2 if name.startswith("repeat") else 1 for name in names}

    # And back: our queue is empty; the stock queue holds events that we have processed and must be purged.
    assert ours.terminate() == 0
    switch.purge_stock_queue()
    switch.start_stock()
    switch.notify(*names)
    for name in names:
        if name.startswith("repeat"):
            webhook_sink.wait(3, f"/{name}", timeout=90)
    switch.wait_for_queue(STOCK_QUEUE, 0)
    arrived = Counter(request.path for request in webhook_sink.requests)
    assert arrived == {f"/{name}": 3 if name.startswith("repeat") else 1 for name in names}
    for name, alarm_id in alarms.items():
        events = switch.fired(alarm_id)
        assert len(events) == len(set(events)) == (3 if name.startswith("repeat") else 1)
