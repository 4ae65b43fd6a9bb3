"""The page about recorded events, command by command, as a tenant with the command line alone."""

from __future__ import annotations

import pathlib

from tests.support.helpers import WebhookSink, wait_until
from tests.support.standalone import notification, running
from tests.support.walkthrough import blocks, run_here, tenant

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "recorded-events.rst"


def test_a_tenant_learns_why_an_alarm_did_not_fire(tmp_path: pathlib.Path, webhook_sink: WebhookSink) -> None:
    overrides = tmp_path / "data" / "conf.d"
    overrides.mkdir(parents=True)
    (overrides / "recorder.conf").write_text("[eventalarm]\nrecord_events = matched\n")
    commands = blocks(PAGE)
    with running(tmp_path / "data", tmp_path / "log") as cloud:
        env = tenant(cloud.endpoint, "reader", SERVER="vm-1")
        env["ALARM"] = cloud.watch(webhook_sink.url("/hook"), "vm-1")
        for _ in range(2):
            cloud.post(notification("vm-1", "error", message_id=f"m-{_}"))
        webhook_sink.wait(1, "/hook")

        def found() -> list[dict[str, str]]:
            (events,) = run_here(commands["Find the event"], tmp_path, env)
            return events if len(events) == 2 else []

        newest, oldest = wait_until(found)
        assert (newest["Led To"], oldest["Led To"]) == ("already_raised: 1", "raised: 1")
        env["EVENT"] = newest["Event"]
        (shown,) = run_here(commands["See what it did"], tmp_path, env)
        assert shown["transitions"] == []
        assert "repeat_actions is off" in shown["decisions"][0]
        (why,) = run_here(commands["Ask about one alarm"], tmp_path, env)
        assert why["decided"] == "already_raised"
        assert any("traits.state eq 'error'" in line for line in why["text"])
        env["EVENT"] = oldest["Event"]
        (fired,) = run_here(commands["Ask about one alarm"], tmp_path, env)
        assert any("is delivered" in line for line in fired["text"])
        run_here(commands["Try another rule"], tmp_path, env)
        difference = (tmp_path / "difference.txt").read_text()
        assert (
            difference.count("only by the tested rule") == difference.count("only by the present rule") == 1
        )
        assert "2 of 2 recorded events concern the alarm." in difference
