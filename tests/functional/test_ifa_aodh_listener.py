"""Aodh's own notifications over a real broker: changes by stock evaluators and users are notified at once."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from aodh import messaging

from eventalarm import bus
from eventalarm.ifa_shim.subscriptions import aodh_listener
from eventalarm.model import ALARM, UTC
from eventalarm.storage import database as storage
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.helpers import WebhookSink, wait_until
from tests.support.listening import listening
from tests.support.subscribers import SUBSCRIPTIONS, THRESHOLD, World, threshold


class Neighbour:
    """Another service that consumes the same notifications, as Vitrage does."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def info(self, context: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:
        self.received.append(event_type)


@pytest.fixture
def world(our_sqlite_url: str, rabbit_url: str, webhook_sink: WebhookSink) -> Iterator[World]:
    database = storage.connect(our_sqlite_url)
    bus.set_defaults()
    made = World(database, webhook_sink)
    conf = made.api.conf
    oslo_messaging.get_notification_transport(conf, rabbit_url)
    oslo_messaging.Notifier(oslo_messaging.get_notification_transport(conf, "fake://"))
    conf.set_override("transport_url", rabbit_url)
    conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
    conf.set_override("aodh_notifications", True, group="eventalarm_ifa")
    with listening(conf, database) as made.listener:
        yield made
        made.listener.notifier.stop()
    database.dispose()


def report(world: World, alarm_id: str, kind: str) -> None:
    """Send Aodh's notification of a change, with Aodh's own code."""
    transport = oslo_messaging.get_notification_transport(world.api.conf)
    payload: dict[str, Any] = {
        "alarm_id": alarm_id,
        "type": kind,
        "detail": '{"state": "alarm"}',
        "event_id": "e",
    }
    payload |= {"timestamp": str(datetime.datetime.now(UTC)), "severity": "low", "project_id": None}
    notifier = messaging.get_notifier(transport, publisher_id="aodh.evaluator")
    notifier.info({}, f"alarm.{kind}", payload)


def test_changes_are_notified_as_soon_as_aodh_reports_them(world: World) -> None:
    conf = world.api.conf
    for name in ("a", "b"):
        world.api.alarm(THRESHOLD | {"resource_id": name}, name, type="gnocchi_resources_threshold")
    neighbour = Neighbour()
    rival = oslo_messaging.get_notification_listener(
        oslo_messaging.get_notification_transport(conf),
        [oslo_messaging.Target(topic="notifications")],
        [neighbour],
        executor="threading",
    )
    rival.start()
    world.subscribe("/nfvo")
    world.run_once()
    wait_until(lambda: world.listener.notifier.is_listening)
    for name in ("a", "b"):
        threshold(world, name, ALARM)
        report(world, name, "state_transition")
    received = world.received("/nfvo", 2)
    assert {one["alarm"]["id"] for one in received} == {"a", "b"}
    world.api.delete("a")
    report(world, "a", "deletion")
    (last,) = world.received("/nfvo", 3)[2:]
    assert (last["notificationType"], last["alarmId"]) == ("AlarmClearedNotification", "a")
    wait_until(lambda: len(neighbour.received) == 3, what="everything for the neighbour too")
    rival.stop()
    rival.wait()


def test_a_failed_attempt_to_listen_is_retried(world: World) -> None:
    """The broker refuses once, as it does while its permissions are being set up."""
    notifier = world.listener.notifier
    listen = notifier._parts.listen
    tries: list[Exception] = []

    def refused_once() -> Callable[[], None]:
        if not tries:
            tries.append(oslo_messaging.MessagingException("403"))
            raise tries[0]
        assert listen is not None
        return listen()

    notifier._parts = dataclasses.replace(notifier._parts, listen=refused_once)
    notifier._interval = 0.05
    world.subscribe("/nfvo")

    def is_listening() -> bool:
        world.run_once()
        return notifier.is_listening

    wait_until(is_listening, 20, "the second try")
    assert len(tries) == 1


def test_the_queue_is_deleted_with_the_last_subscription(world: World, rabbitmq: RabbitMQ) -> None:
    notifier = world.listener.notifier

    def queued() -> bool:
        return aodh_listener.POOL in rabbitmq.queues(world.api.conf.transport_url)

    subscription = world.subscribe("/nfvo")
    world.run_once()
    wait_until(lambda: notifier.is_listening)
    wait_until(queued)
    assert world.api.call("DELETE", f"{SUBSCRIPTIONS}/{subscription}").status_code == 204
    world.run_until(lambda: not notifier.is_listening)
    world.run_until(lambda: not queued(), what="no queue without a subscription")
    world.subscribe("/again")
    world.run_until(lambda: notifier.is_listening)
    wait_until(queued)


def test_a_queue_of_a_dead_listener_is_deleted_too(world: World, rabbitmq: RabbitMQ) -> None:
    conf = world.api.conf
    aodh_listener.listen(conf, lambda ids: None)()
    assert aodh_listener.POOL in rabbitmq.queues(conf.transport_url)
    world.run_until(lambda: aodh_listener.POOL not in rabbitmq.queues(conf.transport_url))
