"""The ingest API beside the others in ``eventalarm-standalone``."""

from __future__ import annotations

import json
import pathlib
import urllib.request

from tests.support.helpers import WebhookSink, wait_until
from tests.support.ingest_api import HOST_RULE, report, send
from tests.support.signing import valid
from tests.support.standalone import running

SERVICE = {"X-Project-Id": "admins", "X-User-Id": "u", "X-Roles": "service,reader"}


def test_a_report_raises_and_clears(tmp_path: pathlib.Path, webhook_sink: WebhookSink) -> None:
    """Fails without a route to the API, and without its connection to the bus of the process."""
    with running(tmp_path / "data", tmp_path / "log") as standalone:
        alarm = {
            "name": "host-down",
            "type": "notification",
            "notification_rule": HOST_RULE,
            "alarm_actions": [webhook_sink.url("/bad")],
            "ok_actions": [webhook_sink.url("/good")],
        }
        project = "tenant-a"
        alarm_id = standalone.client(project).alarm.create(alarm)["alarm_id"]
        url = f"{standalone.endpoint}/v1/events"
        for status, path in (("down", "/bad"), ("up", "/good")):
            reported = report("compute.host.nic", hostname="h", status=status, project_id=project)
            answer = send(url, {"event": reported}, **SERVICE)
            (hook,) = webhook_sink.wait(1, path)
            assert answer[0] == 202
            assert hook.json["alarm_id"] == alarm_id
            assert hook.json["reason_data"]["event"]["message_id"] == answer[1]["message_ids"][0]
        assert send(url, {"event": reported}, **{**SERVICE, "X-Roles": "reader"})[0] == 403
        asked = {"rule": HOST_RULE, "event": reported}
        code, said = send(f"{standalone.endpoint}/v1/rules/test", asked, **SERVICE)
        assert (code, said["verdict"], said["seen"]) == (200, "clears", False)
        with urllib.request.urlopen(f"{standalone.endpoint}/v1/openapi.json", timeout=10) as document:
            assert json.load(document)["info"]["title"] == "Events for alarms"


def test_webhooks_are_signed(tmp_path: pathlib.Path, webhook_sink: WebhookSink) -> None:
    """The whole listener. Fails without a key in the data directory, and when no sender has the signer."""
    overrides = tmp_path / "data" / "conf.d"
    overrides.mkdir(parents=True)
    (overrides / "signing.conf").write_text("[eventalarm_delivery]\nsecret_refresh = 0.1\n")
    with running(tmp_path / "data", tmp_path / "log") as standalone:
        actions = {"alarm_actions": [webhook_sink.url("/bad")], "ok_actions": [webhook_sink.url("/good")]}
        alarm = {"name": "host-down", "type": "notification", "notification_rule": HOST_RULE, **actions}
        standalone.client("tenant-a").alarm.create(alarm)
        member = {"X-Project-Id": "tenant-a", "X-User-Id": "u", "X-Roles": "member"}
        _, made = send(f"{standalone.endpoint}/v1/secret", None, **member)

        def signed() -> bool:
            before = len(webhook_sink.at("/good"))
            for status, path in (("down", "/bad"), ("up", "/good")):
                reported = report("compute.host.nic", hostname="h", status=status, project_id="tenant-a")
                send(f"{standalone.endpoint}/v1/events", {"event": reported}, **SERVICE)
                webhook_sink.wait(before + 1, path)
            return valid(made["secret"], webhook_sink.at("/good")[-1])

        wait_until(signed)
