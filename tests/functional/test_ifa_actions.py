"""Actions with the payloads of NFV software, sent by eventalarm and by Aodh's own notifier."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from aodh import notifier as aodh_notifier
from aodh.api.controllers.v2 import alarms as aodh_alarms
from oslo_config import cfg
from stevedore import extension

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.aodh import PluginSender
from eventalarm.delivery.senders.base import Router
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Delivery, Notification
from tests.support.builders import event_body
from tests.support.deliveries import make_delivery, sender_options
from tests.support.helpers import WebhookSink

SCHEMES = {"sol003+http", "sol003+https", "tacker+http", "tacker+https"}
EVENT = event_body(message_id="m-1", instance_id="vm-1", state="error")
REASON = (
    'Event <id=m-1,event_type=compute.instance.update> hits the query <query=[{"field": '
    '"traits.instance_id", "op": "eq", "type": "string", "value": "vm-1"}]>.'
)
TACKER = "/server_notification/vnf_instances/v-1/servers/{server_id}/notify"


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    return sender_options()


def notification(current: str = "alarm", **fields: Any) -> Notification:
    known: dict[str, Any] = {
        "alarm_name": "server down",
        "alarm_id": "alarm-1",
        "severity": "critical",
        "previous": "ok",
        "current": current,
        "reason": REASON,
        "reason_data": {"type": "event", "event": EVENT},
    }
    return Notification(**{**known, **fields})


def send(conf: cfg.ConfigOpts, *deliveries: Delivery) -> list[Any]:
    """Return the result of each delivery: the status of the response, or the error."""
    from eventalarm.ifa_shim.subscriptions import build  # noqa: PLC0415

    async def run() -> list[Any]:
        settings = DeliveryOptions(total_timeout=5.0)
        router = Router(build.action_senders(conf, HttpSender(settings)), PluginSender(conf, settings))
        found: list[Any] = []
        for one in deliveries:
            try:
                found.append(await router.send(one))
            except DeliveryError as exc:
                found.append(exc)
        await router.close()
        return found

    return asyncio.run(run())


def to(sink: WebhookSink, language: str, path: str, notification: Notification) -> Delivery:
    action = f"{language}+{sink.url(path)}"
    return dataclasses.replace(make_delivery(action, notification.alarm_id), notification=notification)


def test_sol003_actions_are_notifications(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/vnfm", statuses=[503, 204])
    raised = to(webhook_sink, "sol003", "/vnfm", notification())
    cleared = to(webhook_sink, "sol003", "/vnfm", notification("ok", previous="alarm"))
    answers = send(conf, raised, raised, cleared)
    assert answers[1:] == [204, 204]
    assert (answers[0].status, answers[0].permanent) == (503, False)
    first, again, last = [one.json for one in webhook_sink.at("/vnfm")]
    assert first == again, "a repetition has the id of the first"
    assert first["notificationType"] == "AlarmNotification"
    alarm = first["alarm"]
    assert (alarm["id"], alarm["managedObjectId"]) == ("alarm-1", "vm-1")
    assert (alarm["perceivedSeverity"], alarm["faultType"]) == ("CRITICAL", "compute.instance.update")
    assert alarm["rootCauseFaultyResource"]["faultyResourceType"] == "COMPUTE"
    assert "trait.state=error" in alarm["faultDetails"]
    assert last["notificationType"] == "AlarmClearedNotification"
    assert (last["alarmId"], "alarm" in last) == ("alarm-1", False)
    assert last["id"] != first["id"]


def test_sol003_actions_of_stock_alarms(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    data = {"type": "threshold", "disposition": "outside", "count": 1, "most_recent": 99.0}
    stock = notification(
        "insufficient data", severity=None, reason="3 datapoints are unknown", reason_data=data
    )
    assert send(conf, to(webhook_sink, "sol003", "/vnfm", stock)) == [200]
    (alarm,) = [one.json["alarm"] for one in webhook_sink.at("/vnfm")]
    assert (alarm["managedObjectId"], alarm["perceivedSeverity"]) == ("alarm-1", "INDETERMINATE")
    assert alarm["faultType"] == "aodh.threshold"


def test_tacker_actions_are_fault_notifications(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    query = "?fault_id=1111&fault_id=2222&fault_type=21&host_id=compute-3&keep=this"
    raised = to(webhook_sink, "tacker", TACKER + query, notification())
    cleared = to(webhook_sink, "tacker", TACKER + query, notification("ok", previous="alarm"))
    assert send(conf, raised, cleared) == [200, None]
    got = webhook_sink.at(TACKER.replace("{server_id}", "vm-1") + "?keep=this")
    same = {"alarm_id": "alarm-1", "fault_type": "21", "host_id": "compute-3"}
    assert [one.json for one in got] == [
        {"notification": {**same, "fault_id": fault}} for fault in ("1111", "2222")
    ]
    assert len(webhook_sink.requests) == 2, "Tacker does not know clears"


@pytest.mark.parametrize("query", ["", "?fault_id=1", "?fault_id=1111&fault_type=100"])
def test_actions_that_tacker_would_refuse_fail(
    conf: cfg.ConfigOpts, webhook_sink: WebhookSink, query: str
) -> None:
    (error,) = send(conf, to(webhook_sink, "tacker", TACKER + query, notification()))
    assert (error.reason, error.permanent) == ("bad_action", True)
    assert webhook_sink.requests == []


def test_aodh_accepts_and_sends_these_actions(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    assert set(aodh_alarms.ACTIONS_SCHEMA) >= SCHEMES
    plugins: extension.ExtensionManager[Any] = extension.ExtensionManager(
        "aodh.notifier", invoke_on_load=True, invoke_args=(conf,)
    )
    actions = [
        f"sol003+{webhook_sink.url('/vnfm')}",
        f"tacker+{webhook_sink.url(TACKER)}?fault_id=1111",
    ]
    aodh_notifier.AlarmEndpoint._process_alarm(plugins, {"actions": actions, **notification().body()})
    (posted,) = webhook_sink.at("/vnfm")
    (fault,) = webhook_sink.at(TACKER.replace("{server_id}", "vm-1"))
    assert posted.json["alarm"]["managedObjectId"] == "vm-1"
    assert posted.headers["Version"] == "1.3.0"
    assert fault.json["notification"] == {"alarm_id": "alarm-1", "fault_type": "10", "fault_id": "1111"}
