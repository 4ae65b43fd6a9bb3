"""``eventalarm-pulse`` as a service: real processes, a real broker, MariaDB and listener.

The target is an HTTP server of the test.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.cloud import PROJECT, Cloud, Spawn
from tests.support.helpers import Process, WebhookSink, console_script, wait_until

INTERVAL = 1.0
LEADS = "This process runs the health checks"
RULE = {
    "event_type": "pulse.check.failed",
    "query": [{"field": "traits.check", "value": "http"}],
    "clear": {"event_type": "pulse.check.recovered"},
    "group_by": ["resource_id"],
}
SECTIONS: dict[str, dict[str, Any]] = {
    "eventalarm": {"infrastructure_projects": PROJECT, "max_clock_skew": 0.0},
    "eventalarm_delivery": {"poll_interval": 0.2},
}


@pytest.fixture
def cloud(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> Iterator[Cloud]:
    pulse = {"checks": "http", "interval": INTERVAL, "http_urls": webhook_sink.url("/target")}
    one = Cloud(
        spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm_pulse={**pulse, "timeout": 5.0}, **SECTIONS
    )
    one.dbsync()
    one.start_listener()
    yield one
    one.close()


def start(cloud: Cloud, spawn: Spawn) -> Process:
    return spawn([console_script("eventalarm-pulse"), "--config-file", cloud.conf_path])


def create_alarm(cloud: Cloud, sink: WebhookSink, project: str = PROJECT, path: str = "/hook") -> str:
    urls = [sink.url(path)]
    return cloud.create_alarm(
        urls, ok_actions=urls, type="notification", event_rule=RULE, name="health", project=project
    )


def test_a_failure_reaches_the_operator_within_the_interval_and_only_once(
    cloud: Cloud, spawn: Spawn, webhook_sink: WebhookSink, figure: Callable[[str], None]
) -> None:
    """Red when the leader's state is kept in memory, or when events go to every project."""
    create_alarm(cloud, webhook_sink)
    create_alarm(cloud, webhook_sink, "stranger", "/stranger")
    leader = start(cloud, spawn)
    leader.wait_for_log(LEADS)
    follower = start(cloud, spawn)
    webhook_sink.wait(1, "/target")
    webhook_sink.behave("/target", statuses=[503] * 1000)
    failed_at = time.monotonic()
    (raised,) = webhook_sink.wait(1, "/hook")
    took = time.monotonic() - failed_at
    figure(f"pulse: {took:.2f} s from the failure of a target to the webhook, interval {INTERVAL:g} s")
    assert (raised.json["current"], raised.json["severity"]) == ("alarm", "critical")
    traits = {name: value for name, _, value in raised.json["reason_data"]["event"]["traits"]}
    assert (traits["check"], traits["status"]) == ("http", "failed")
    assert "503" in traits["summary"]
    assert traits["remedy"]

    leader.kill()
    follower.wait_for_log(LEADS, timeout=40)
    seen = len(webhook_sink.at("/target"))
    webhook_sink.wait(seen + 2, "/target")
    assert len(webhook_sink.at("/hook")) == 1
    webhook_sink.behave("/target", statuses=[200] * 1000)
    hooks = webhook_sink.wait(2, "/hook")
    assert [hook.json["current"] for hook in hooks] == ["alarm", "ok"]
    assert webhook_sink.at("/stranger") == []
    wait_until(lambda: not cloud.rows("SELECT seq FROM eventalarm_pulse_event"), 10, "no event waits")
    assert follower.terminate() == 0

    changes = run(cloud, "history", "--json")
    assert [one["status"] for one in json.loads(changes.stdout)] == ["ok", "critical", "ok"]


def run(cloud: Cloud, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [console_script("eventalarm-pulse"), *arguments, "--config-file", str(cloud.conf_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_checks_by_hand_exit_as_nagios_plugins(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    well = run(cloud, "run", "--nagios")
    assert (well.returncode, well.stdout.split(" - ")[0]) == (0, "PULSE OK")
    webhook_sink.behave("/target", statuses=[503] * 10)
    bad = run(cloud, "run", "http", "--json")
    assert (bad.returncode, json.loads(bad.stdout)["status"]) == (2, "critical")
    unknown = run(cloud, "run", "nosuch")
    assert unknown.returncode == 2
    assert "no check 'nosuch' is installed" in unknown.stderr
    assert run(cloud, "history").returncode == 1
    listed = {one["name"]: one for one in json.loads(run(cloud, "list", "--json").stdout)}
    assert (listed["http"]["runs"], listed["http"]["interval"]) == (True, f"{INTERVAL:g}")
    assert [one["problem"] for one in listed.values() if one["problem"]] == []
