"""``openstack ifa alarm …``: the real client against the API behind a socket."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from eventalarm.model import UTC, Resource, ResourceKind
from eventalarm.storage import database as storage
from eventalarm.storage.resource_map import ResourceMap
from tests.functional.conftest import Spawn
from tests.functional.test_ifa_service import TOKEN, keystone
from tests.support import openstack_client
from tests.support.builders import PROJECT, event_body, rule
from tests.support.helpers import WebhookSink, console_script, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.ifa_server import serving


class Cloud(NamedTuple):
    """The API, its URL, and the environment in which a tenant calls ``openstack``."""

    api: IfaApi
    url: str
    env: dict[str, str]

    def fault(self, server: str, state: str = "error") -> None:
        """Process a notification of Nova about a changed state."""
        generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
        self.api.engine.process(event_body(instance_id=server, state=state, generated=generated))


def identity(url: str, **others: str) -> dict[str, str]:
    return {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": url,
        "OS_PROJECT_ID": PROJECT,
        "OS_USER_ID": "noc",
        "OS_ROLES": "admin,member,reader",
        **others,
    }


@pytest.fixture
def cloud(our_sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Two alarms may be raised: of vm-1, critical, and of vm-2, low."""
    opened = storage.connect(our_sqlite_url)
    api = IfaApi(opened, page_size=2)
    for server, severity in (("vm-1", "critical"), ("vm-2", "low"), ("vm-3", "moderate")):
        api.alarm(
            rule(instance_id=server, state="error"),
            server.replace("vm", "a"),
            severity=severity,
            ok_actions=["http://ok"],
        )
    with serving(api) as url:
        env = identity(url)
        for name in [name for name in os.environ if name.startswith("OS_")]:
            monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield Cloud(api, url, env)
    opened.dispose()


# "history list" is a command of its own, "history ALARM" one of alarms.
OTHERS = ("history list", "resource", "physical")


def openstack(*words: str) -> tuple[int, str, str]:
    """Run ``openstack ifa``, by default ``alarm``; return exit code and what it printed."""
    group = ["ifa", *([] if " ".join(words).startswith(OTHERS) else ["alarm"])]
    done = openstack_client.openstack(*group, *words)
    return done.returncode, done.stdout, done.stderr


def answer(*words: str) -> Any:
    code, output, errors = openstack(*words, "-f", "json")
    assert code == 0, errors
    return json.loads(output)


def test_a_tenant_lists_shows_and_acknowledges(cloud: Cloud) -> None:
    for server in ("vm-1", "vm-2", "vm-3"):
        cloud.fault(server)
    cloud.fault("vm-3", "active")
    # Two to a page: the third is behind a link.
    every = answer("list", "--state", "fired", "--state", "cleared", "--all-projects")
    assert {row["ID"]: row["State"] for row in every} == {"a-1": "FIRED", "a-2": "FIRED", "a-3": "CLEARED"}
    assert [row["Managed Object"] for row in answer("list")] == ["vm-2", "vm-1"]
    assert [row["ID"] for row in answer("list", "--severity", "critical", "--long")] == ["a-1"]
    assert [row["ID"] for row in answer("list", "--order", "oldest", "--limit", "1")] == ["a-1"]
    assert answer("list", "--raised-before", "2020-01-01T00:00:00Z") == []
    rows = list(csv.reader(io.StringIO(openstack("list", "-f", "csv", "-c", "ID", "--order", "oldest")[1])))
    assert rows == [["ID"], ["a-1"], ["a-2"]]
    assert openstack("ack", "a-1", "--comment", "replacing the disk") == (0, "", "")
    acknowledged = {row["ID"]: (row["Name"], row["Acknowledgement"]) for row in answer("list")}
    assert acknowledged == {"a-1": ("an alarm", "ACKNOWLEDGED"), "a-2": ("an alarm", "UNACKNOWLEDGED")}
    assert "Project" not in answer("list")[0]
    assert {row["Project"] for row in answer("list", "--all-projects")} == {PROJECT}
    (noted,) = [row for row in answer("history", "a-1") if row["Kind"] == "acknowledged"]
    assert (noted["By"], noted["Reason"]) == ("noc", "replacing the disk")
    found = answer("show", "a-1")
    assert (found["perceivedSeverity"], found["ackState"]) == ("CRITICAL", "ACKNOWLEDGED")
    assert "trait.state=error" in found["faultDetails"]
    lines = [line.strip("| ") for line in openstack("show", "a-1", "-c", "faultDetails")[1].splitlines()]
    assert "trait.state=error" in lines
    assert openstack("ack", "a-1", "--undo")[0] == 0
    assert answer("show", "a-1")["ackState"] == "UNACKNOWLEDGED"
    history = answer("history", "a-3")
    assert [(row["Kind"], row["Severity"]) for row in history] == [
        ("raised", "MAJOR"),
        ("cleared", "CLEARED"),
    ]
    assert history[0]["Event Type"] == "compute.instance.update"


def test_the_history_continues_where_the_last_call_ended(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    kept = ["--marker-file", str(tmp_path / "marker")]
    for server in ("vm-1", "vm-2", "vm-3"):
        cloud.fault(server)
    assert [row["Managed Object"] for row in answer("history", "list", *kept)] == ["vm-1", "vm-2", "vm-3"]
    assert answer("history", "list", *kept) == []
    cloud.fault("vm-2", "active")
    (row,) = answer("history", "list", *kept, "--all-projects")
    assert (row["Alarm"], row["Kind"], row["Severity"], row["Project"]) == (
        "a-2",
        "cleared",
        "CLEARED",
        PROJECT,
    )
    assert answer("history", "list", "--since", row["Time"], "--kind", "raised") == []
    (tmp_path / "marker").write_text("no marker")
    assert "unknown or expired paging marker" in openstack("history", "list", *kept)[2]


def test_resources_and_hosts_are_listed_and_shown(cloud: Cloud) -> None:
    for server in ("vm-1", "vm-2", "vm-3"):
        cloud.fault(server)
    listed = answer("resource", "list", "--all-projects")
    assert [(row["Managed Object"], row["State"]) for row in listed] == [
        ("vm-1", "down"),
        ("vm-2", "down"),
        ("vm-3", "down"),
    ]
    assert (listed[0]["Alarms"], listed[0]["Projects"]) == (["a-1"], [PROJECT])
    assert len(answer("resource", "list", "--state", "down", "--limit", "1")) == 1
    assert answer("resource", "list", "--state", "normal") == []
    assert answer("resource", "show", "vm-1")["perceivedSeverity"] == "CRITICAL"
    code, _, errors = openstack("physical", "resource", "list")
    assert (code, "run eventalarm-inspector" in errors) == (1, True)
    now = datetime.datetime.now(UTC)
    observed = Resource(ResourceKind.SERVER, "vm-1", now, project_id=PROJECT, host="compute-1", host_at=now)
    ResourceMap(cloud.api.database).apply([observed])
    (host,) = answer("physical", "resource", "list", "--state", "normal")
    assert (host["Host"], host["Servers"], host["Stale"], host["Faults"]) == ("compute-1", 1, True, [])
    assert answer("physical", "resource", "show", "compute-1")["state"] == "normal"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nobody"], "404: alarm not found"),
        (["ack", "nobody", "vm/../1"], "vm/../1"),
        (
            ["list", "--min-severity", "awful"],
            "400: min_severity must be an integer from 0 to 999, or one of CRITICAL",
        ),
        (["list", "--limit", "0"], "--limit must be an integer ≥ 1"),
        (["--ifa-endpoint", "http://127.0.0.1:1", "list"], "127.0.0.1:1"),
    ],
)
def test_errors_are_described(cloud: Cloud, words: list[str], said: str) -> None:
    # Global options precede the words of the command.
    options = words[:2] if words[0].startswith("--") else []
    done = openstack_client.openstack(*options, "ifa", "alarm", *words[len(options) :])
    assert done.returncode == 1
    assert said in done.stderr


def test_the_service_is_found_in_the_catalog(
    cloud: Cloud, webhook_sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = {"id": "e", "interface": "public", "region": "r", "region_id": "r", "url": cloud.url}
    catalog = [{"type": "nfv-alarm", "name": "eventalarm", "id": "s", "endpoints": [endpoint]}]
    keystone(webhook_sink, catalog)
    monkeypatch.delenv("OS_PROJECT_ID")
    monkeypatch.delenv("OS_USER_ID")
    for name, value in {
        "OS_AUTH_TYPE": "v3password",
        "OS_AUTH_URL": webhook_sink.url("/v3"),
        "OS_USERNAME": "nfvo",
        "OS_PASSWORD": "secret",
        "OS_PROJECT_NAME": "p",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }.items():
        monkeypatch.setenv(name, value)
    # This service reads identity headers only, so that its 401 proves that it was reached.
    code, _, errors = openstack("list")
    assert (code, "401: missing identity headers" in errors) == (1, True), errors
    assert webhook_sink.requests[0].path == "/v3/auth/tokens"
    keystone(webhook_sink, [])
    assert (
        "no service of type nfv-alarm in the catalog; set --ifa-endpoint or OS_IFA_ENDPOINT"
        in openstack("list")[2]
    )
    assert TOKEN not in errors


def test_watch_follows_until_ctrl_c(cloud: Cloud, spawn: Spawn, tmp_path: pathlib.Path) -> None:
    cloud.fault("vm-1")
    command = [console_script("openstack"), "ifa", "alarm", "watch", "--interval", "0.1", "-f", "json"]
    process = spawn(command, env=cloud.env)

    def printed() -> list[tuple[str, str]]:
        found = [json.loads(text) for text in process.text().splitlines() if text.startswith('{"change"')]
        return [(one["change"], one["alarm"]["alarmId"]) for one in found]

    expected = [("active", "a-1")]
    wait_until(lambda: printed() == expected, 60)
    cloud.fault("vm-2")
    wait_until(lambda: printed() == [*expected, ("raised", "a-2")])
    later = datetime.datetime.now(UTC) + datetime.timedelta(seconds=1)
    cloud.api.put("a-2", severity="critical", timestamp=later)
    cloud.api.record("a-2", "rule change", {"severity": "critical"}, later)
    wait_until(lambda: printed()[2:] == [("changed", "a-2")])
    cloud.fault("vm-1", "active")
    wait_until(lambda: printed()[3:] == [("cleared", "a-1")])
    cloud.api.delete("a-2")
    wait_until(lambda: printed()[4:] == [("cleared", "a-2")])
    process.popen.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.text()
