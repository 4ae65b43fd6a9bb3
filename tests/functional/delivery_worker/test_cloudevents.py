"""Actions ``cloudevents+http``: a stock library reads what a worker and Aodh's notifier send."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aodh import notifier as aodh_notifier
from aodh.api.controllers.v2 import alarms as aodh_alarms
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http
from oslo_config import cfg
from stevedore import extension

from eventalarm.app.build import build_sender
from eventalarm.delivery.options import from_conf
from eventalarm.delivery.senders.cloudevents import SCHEMES
from eventalarm.model import Delivery
from eventalarm.storage import database as storage
from tests.support.deliveries import NOW, make_delivery, sender_options
from tests.support.delivery_worker import StartWorker, all_are, options, send, states
from tests.support.helpers import Received, WebhookSink, wait_until


def to(action: str, managed_object: str = "", **fields: Any) -> Delivery:
    one = make_delivery(action, created_at=NOW)
    data = dict(one.notification.reason_data)
    if managed_object:
        changed = {"id": "o", "managed_object": managed_object, "transition": "raised", "raised": 1}
        data["occurrence"] = changed
    notification = dataclasses.replace(one.notification, reason_data=data, **fields)
    return dataclasses.replace(one, notification=notification)


def parsed(request: Received) -> BaseCloudEvent:
    return http.from_http_event(http.HTTPMessage(dict(request.headers.items()), request.body))


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    return sender_options()


def test_a_worker_sends_cloud_events(
    conf: cfg.ConfigOpts, start: StartWorker, database: storage.Database, webhook_sink: WebhookSink
) -> None:
    """Red without a sender of the scheme, and when another attempt has another id."""
    webhook_sink.behave("/hook?a=b", statuses=[503, 204])
    action = f"cloudevents+{webhook_sink.url('/hook?a=b')}"
    raised, cleared = to(action, 'vm "1" 100% café\n'), to(action, current="insufficient data")
    worker = start(sender=build_sender(conf, options()), give_up_after=1e9)
    send(worker, database, [raised])
    wait_until(lambda: all_are(database, "delivered"))
    send(worker, database, [cleared])
    wait_until(lambda: len(states(database)) == 2 and all_are(database, "delivered"))
    first, again, last = webhook_sink.at("/hook?a=b")
    assert first.json == again.json == raised.notification.body(), "Aodh's body, unchanged"
    one, two, three = map(parsed, (first, again, last))
    assert (one.get_id(), one.get_specversion()) == (raised.delivery_id, "1.0")
    assert one.get_attributes() == two.get_attributes()
    assert one.get_source() == f"/v2/alarms/{raised.alarm_id}"
    assert (one.get_type(), three.get_type()) == (
        "org.openstack.aodh.alarm.alarm",
        "org.openstack.aodh.alarm.insufficient_data",
    )
    assert (one.get_subject(), three.get_subject()) == ('vm "1" 100% café\n', cleared.alarm_id)
    assert (one.get_time(), one.get_datacontenttype()) == (NOW, "application/json")
    assert one.get_data() == raised.notification.body()


def test_cloud_events_do_not_reach_denied_networks(
    conf: cfg.ConfigOpts, start: StartWorker, database: storage.Database, webhook_sink: WebhookSink
) -> None:
    conf.set_override("deny_networks", ["127.0.0.0/8"], group="eventalarm_delivery")
    settings = dataclasses.replace(options(), deny_networks=from_conf(conf).deny_networks)
    worker = start(sender=build_sender(conf, settings))
    send(worker, database, [to(f"cloudevents+{webhook_sink.url('/hook')}")])
    wait_until(lambda: all_are(database, "failed"))
    assert webhook_sink.requests == []


def test_aodh_accepts_and_sends_cloud_events(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    assert set(aodh_alarms.ACTIONS_SCHEMA) >= SCHEMES
    plugins: extension.ExtensionManager[Any] = extension.ExtensionManager(
        "aodh.notifier", invoke_on_load=True, invoke_args=(conf,)
    )
    one = to("", "vm-1")
    action = f"cloudevents+{webhook_sink.url('/hook')}"
    message = {"actions": [action], **one.notification.body()}
    aodh_notifier.AlarmEndpoint._process_alarm(plugins, message)
    (request,) = webhook_sink.at("/hook")
    found = parsed(request)
    assert (found.get_subject(), found.get_data()) == ("vm-1", one.notification.body())
