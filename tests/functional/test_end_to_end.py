"""The main job on real processes: a Nova notification becomes one webhook."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import oslo_messaging
import pytest

from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import ListenerOptions
from tests.support.cloud import USER, Cloud, Spawn, load_notification, make_event
from tests.support.handlers import FakeHandler
from tests.support.helpers import WebhookSink, console_script, wait_until
from tests.support.telemetry import agent_command, notify

QUORUM = "?rabbit_quorum_queue=true"
UPDATE = "nova-compute.instance.update-error.json"
LATENCY_EVENTS = 100


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    """A cloud with the Aodh API running."""
    one = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url + QUORUM)
    one.start_api()
    yield one
    one.close()


def openstack(cloud: Cloud, project: str, *words: str) -> Any:
    """Run the real ``openstack`` client as a tenant would, and return its JSON."""
    identity = {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": cloud.api_url,
        "OS_PROJECT_ID": project,
        "OS_USER_ID": USER,
        "OS_ROLES": "member,reader",
    }
    command = [console_script("openstack"), *words, "-f", "json"]
    done = subprocess.run(
        command, env={**os.environ, **identity}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_nova_fault_becomes_one_webhook(
    cloud: Cloud, spawn: Spawn, tmp_path: pathlib.Path, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    agent = spawn(agent_command(tmp_path, rabbit_url, ["eventalarm://" + QUORUM]))
    fault = load_notification(UPDATE)
    instance, project = fault["payload"]["instance_id"], fault["payload"]["tenant_id"]
    url = webhook_sink.url("/heal")
    alarm = cloud.create_alarm([url], instance=instance, project=project, ok_actions=[url])
    cloud.start_listener()
    cloud.start_listener()
    agent.wait_for_log("Publishing events to")
    began = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    nova = oslo_messaging.get_notification_transport(cloud.conf, rabbit_url)
    notify(nova, fault)

    body = webhook_sink.wait(1, "/heal", timeout=60)[0].json
    assert list(body) == [
        "alarm_name",
        "alarm_id",
        "severity",
        "previous",
        "current",
        "reason",
        "reason_data",
    ]
    assert (body["alarm_id"], body["previous"], body["current"]) == (alarm, "insufficient data", "alarm")
    assert body["reason_data"]["event"]["message_id"] == fault["message_id"]

    shown = openstack(cloud, project, "alarm", "show", alarm)
    assert shown["state"] == "alarm"
    assert datetime.datetime.fromisoformat(shown["state_timestamp"]) >= began
    history = openstack(cloud, project, "alarm-history", "show", alarm)
    states = [json.loads(h["detail"])["state"] for h in history if h["type"] == "state transition"]
    assert states == ["alarm"]

    recovery = load_notification(UPDATE)
    recovery["payload"].update(state="active", old_state="error")
    notify(nova, recovery)
    assert webhook_sink.wait(2, "/heal", timeout=60)[1].json["current"] == "ok"
    cloud.settle()
    assert len(webhook_sink.at("/heal")) == 2
    assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared"]
    nova.cleanup()


def test_actions_are_handed_to_a_running_aodh_notifier(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    """``mode = aodh``: the real aodh-notifier calls the webhook."""
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm_delivery={"mode": "aodh"})
    try:
        alarm = cloud.create_alarm([webhook_sink.url("/by-aodh")])
        spawn([console_script("aodh-notifier"), "--config-file", cloud.conf_path])
        cloud.start_listener()
        cloud.publish(make_event())
        request = webhook_sink.wait(1, "/by-aodh", timeout=60)[0]
        assert request.json["alarm_id"] == alarm
        assert "X-Eventalarm-Delivery-Id" not in request.headers
        cloud.settle()
    finally:
        cloud.close()


def test_the_stock_api_takes_actions_that_speak_to_nfv_software(
    cloud: Cloud, webhook_sink: WebhookSink
) -> None:
    """``sol003+http``: created through Aodh's API, and a VNFM receives an AlarmNotification."""
    alarm = cloud.create_alarm(["sol003+" + webhook_sink.url("/vnfm")])
    cloud.start_listener()
    cloud.publish(make_event())
    notification = webhook_sink.wait(1, "/vnfm", timeout=60)[0].json
    assert notification["notificationType"] == "AlarmNotification"
    assert (notification["alarm"]["id"], notification["alarm"]["perceivedSeverity"]) == (alarm, "CRITICAL")
    cloud.settle()


class _Floor(FakeHandler):
    """The floor: one message through RabbitMQ, and one bare POST."""

    def __init__(self, cloud: Cloud) -> None:
        self.received: list[float] = []
        self._transport = oslo_messaging.get_notification_transport(
            cloud.conf, cloud.conf.transport_url + "&amqp_auto_delete=false"
        )
        self._server = BatchServer(
            self._transport,
            ListenerOptions(topic="floor", exchange="eventalarm", batch_size=500),
            cast(BatchHandler, self),
        )
        self._server.begin()

    def handle(self, messages: Any) -> dict[int, str]:
        """Note the time of each message."""
        self.received.extend(time.monotonic() for _ in messages)
        return {}

    def close(self) -> None:
        """Stop listening."""
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


def milliseconds(seconds: list[float]) -> str:
    """Return p50 and p99 as text."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1000:6.1f} ms   p99 {cuts[98] * 1000:6.1f} ms"


def test_the_latency_and_its_floor_are_printed(
    cloud: Cloud, webhook_sink: WebhookSink, figure: Callable[[str], None]
) -> None:
    """The figures are for people and decide nothing, since machines differ; see also ``benchmarks/``."""
    import requests  # noqa: PLC0415

    from eventalarm import bus  # noqa: PLC0415

    cloud.stop_api()
    for number in range(LATENCY_EVENTS + 1):
        cloud.create_alarm([webhook_sink.url(f"/{number}")], instance=f"vm-{number}")
    cloud.start_listener()
    cloud.publish(make_event("vm-0"))
    webhook_sink.wait(1, "/0")
    ours = []
    for number in range(1, LATENCY_EVENTS + 1):
        sent = time.monotonic()
        cloud.publish(make_event(f"vm-{number}"))
        ours.append(webhook_sink.wait(1, f"/{number}")[0].tick - sent)

    floor = _Floor(cloud)
    null, posts = [], []
    transport = bus.get_transport(cloud.conf)
    with requests.Session() as session:
        for number in range(LATENCY_EVENTS):
            sent = time.monotonic()
            bus.send(
                transport, topic="floor", exchange="eventalarm", event_type="event", payload=[make_event()]
            )
            wait_until(lambda count=number: len(floor.received) > count)  # type: ignore[misc]
            null.append(floor.received[number] - sent)
            sent = time.monotonic()
            session.post(webhook_sink.url("/floor"), json=make_event())
            posts.append(webhook_sink.at("/floor")[-1].tick - sent)
    floor.close()
    transport.cleanup()
    figure(f"publish -> webhook   {milliseconds(ours)}   (RabbitMQ quorum queue, MariaDB)")
    figure(f"  null listener      {milliseconds(null)}")
    figure(f"  raw POST           {milliseconds(posts)}")
    assert len(ours) == len(null) == len(posts) == LATENCY_EVENTS
