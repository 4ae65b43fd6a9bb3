"""The page for NFVOs, command by command, against the standalone service."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.standalone import sample
from tests.support.helpers import WebhookSink, wait_until
from tests.support.standalone import Standalone, running
from tests.support.walkthrough import blocks, run

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "nfvo" / "walkthrough.rst"
CALLBACK = "/nfvo"
# Edits by users are notified by the next reconciliation, which must not take half a minute here.
OPTIONS = "[eventalarm_ifa]\nreconcile_interval = 1\n"


class Nfvo:
    """Run the commands of the page, and receive the notifications."""

    def __init__(self, cloud: Standalone, sink: WebhookSink, folder: pathlib.Path) -> None:
        self._commands = blocks(PAGE)
        self.remaining = set(self._commands)
        self._folder = folder
        self._sink = sink
        self.env = {
            "CLOUD": cloud.endpoint,
            "AODH": cloud.endpoint,
            "PROJECT": sample.project(),
            "SERVER": sample.instance(),
            "CALLBACK": sink.url(CALLBACK),
            "FAULT": str(cloud.data_dir / "fault.json"),
            "RECOVERY": str(cloud.data_dir / "recovery.json"),
        }
        self.env["WHO"] = f"X-Project-Id: {sample.project()}"

    def run(self, heading: str) -> list[Any]:
        """Run the commands under *heading*; return the JSON documents that they printed."""
        self.remaining.discard(heading)
        return run(self._commands[heading], self._folder, self.env)

    def receives(self, count: int) -> Any:
        """Return the newest notification once there are *count*."""
        posts = wait_until(lambda: self._posts(count), 60, f"{count} notifications")
        assert len(posts) == count
        return posts[-1]

    def _posts(self, count: int) -> list[Any]:
        found = [request.json for request in self._sink.at(CALLBACK) if request.method == "POST"]
        return found if len(found) >= count else []


@pytest.fixture
def nfvo(tmp_path: pathlib.Path, webhook_sink: WebhookSink) -> Iterator[Nfvo]:
    webhook_sink.behave(CALLBACK, statuses=[204])
    overrides = tmp_path / "data" / "conf.d"
    overrides.mkdir(parents=True)
    (overrides / "nfvo.conf").write_text(OPTIONS)
    with running(tmp_path / "data", tmp_path / "log") as cloud:
        yield Nfvo(cloud, webhook_sink, tmp_path)


def test_an_nfvo_needs_only_http(nfvo: Nfvo) -> None:
    nfvo.run("Variables")
    (versions,) = nfvo.run("Check the service")
    assert "1.3.0" in [one["version"] for one in versions["apiVersions"]]
    (subscription,) = nfvo.run("Subscribe")
    nfvo.env["SUBSCRIPTION"] = subscription["id"]

    created, _ = nfvo.run("Create an alarm")
    nfvo.env["ALARM"] = created["alarm_id"]
    raised = nfvo.receives(1)
    assert (raised["notificationType"], raised["subscriptionId"]) == ("AlarmNotification", subscription["id"])
    assert raised["alarm"]["id"] == created["alarm_id"]
    assert raised["alarm"]["managedObjectId"] == sample.instance()
    assert raised["alarm"]["perceivedSeverity"] == "MAJOR"
    ((listed,),) = nfvo.run("List active alarms")
    assert (listed["alarmId"], listed["alarmRaisedTime"]) == (
        created["alarm_id"],
        raised["alarm"]["alarmRaisedTime"],
    )

    nfvo.run("Change the severity")
    changed = nfvo.receives(2)
    assert (changed["notificationType"], changed["alarm"]["perceivedSeverity"]) == (
        "AlarmNotification",
        "CRITICAL",
    )
    assert "alarmChangedTime" in changed["alarm"]
    (acknowledged,) = nfvo.run("Acknowledge")
    assert acknowledged == {"ackState": "ACKNOWLEDGED"}

    nfvo.run("Clear the alarm")
    cleared = nfvo.receives(3)
    assert (cleared["notificationType"], cleared["alarmId"]) == (
        "AlarmClearedNotification",
        created["alarm_id"],
    )
    pages = nfvo.run("Read the history")
    assert [entry["kind"] for page in pages for entry in page] == [
        "raised",
        "changed",
        "acknowledged",
        "cleared",
    ]
    assert [len(page) for page in pages] == [2, 2]
    assert pages[1][-1]["time"] == cleared["alarmClearedTime"]
    nfvo.env["SINCE"] = raised["alarm"]["alarmRaisedTime"]
    ((raise_entry, clear_entry),) = nfvo.run("Resynchronise")
    assert [one["kind"] for one in (raise_entry, clear_entry)] == ["raised", "cleared"]
    assert clear_entry["alarmClearedTime"] == cleared["alarmClearedTime"]
    assert nfvo.run("Resynchronise") == [[]]
    assert nfvo.run("Unsubscribe") == []
    assert nfvo.remaining == set()
