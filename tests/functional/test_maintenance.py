"""Planned maintenance with everything real: what each project is notified of, its answers, and inhibition."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.functional.conftest import _supply
from tests.support.doctor import Doctor
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import Process, WebhookSink, wait_until
from tests.support.inspector import Inspectors
from tests.support.services import RabbitMQ

STATE = {"field": "traits.status", "op": "eq", "type": "string"}
INSTANCE_RULE = {"event_type": "maintenance.instance", "query": [{**STATE, "value": "planned"}]}
UNANSWERED_RULE = {"event_type": "maintenance.unanswered", "query": [{**STATE, "value": "unanswered"}]}


@pytest.fixture(scope="module")
def doctor(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Doctor]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("maintenance"), WebhookSink()
    started: list[Process] = []

    def spawn(command: list[str], env: dict[str, str] | None = None) -> Process:
        started.append(Process(command, folder / f"{len(started)}.log", env))
        return started[-1]

    one = Doctor(spawn, folder, _supply("mariadb", request).with_ours(), rabbitmq.new_url(), sink)
    yield one
    one.close()
    for process in reversed(started):
        process.close()
    sink.close()


@pytest.fixture
def inspectors(doctor: Doctor, spawn: Callable[..., Process], tmp_path: pathlib.Path) -> Inspectors:
    return Inspectors(spawn, tmp_path / "inspector", doctor.cloud)


def watch(doctor: Doctor, path: str, project: str, rule: dict[str, Any], **columns: Any) -> str:
    """Create an event alarm whose webhooks are *path* and *path*/ok."""
    actions = {"alarm_actions": [doctor.sink.url(path)], "ok_actions": [doctor.sink.url(f"{path}/ok")]}
    row = alarm_row(rule=rule, type="event", project_id=project, name=path, **(actions | columns))
    insert_alarms(doctor.cloud.database, row)
    return str(row["alarm_id"])


def text(moment: datetime.datetime) -> str:
    """Return a time as Fenix and Doctor's admin tool write it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def announce(doctor: Doctor, session: str, project: str, state: str, **payload: Any) -> None:
    """Send what Fenix sends: the servers are behind a link, and times have no zone."""
    link = doctor.sink.url(f"/v1/maintenance/{session}/{project}")
    now = datetime.datetime.now(datetime.UTC)
    said = {
        "instance_ids": link,
        "reply_url": link,
        "allowed_actions": ["MIGRATE", "LIVE_MIGRATE", "OWN_ACTION"],
        "actions_at": text(now + datetime.timedelta(hours=1)),
        # Sic: Fenix subtracts the time to answer.
        "reply_at": text(now - datetime.timedelta(hours=1)),
        "metadata": {},
    }
    values = {"project_id": project, "session_id": session, "state": state}
    doctor.tell("maintenance.scheduled", **(said | values | payload))


def occurrences(doctor: Doctor, alarm_id: str) -> dict[str, bool]:
    """Return the managed objects of an alarm, and whether it is raised on them."""
    rows = doctor.cloud.rows(
        "SELECT managed_object, raised FROM eventalarm_occurrence WHERE alarm_id = :id", id=alarm_id
    )
    return {row["managed_object"]: bool(row["raised"]) for row in rows}


def test_a_session_is_one_occurrence_for_each_server_of_each_project(
    doctor: Doctor, inspectors: Inspectors
) -> None:
    inspectors.start()
    inspectors.start()
    mine = {"i-vm-1": "i-a", "i-vm-2": "i-a", "i-vm-3": "i-b"}
    inspectors.place("compute-i", mine)
    alarms = {one: watch(doctor, f"/{one}", one, INSTANCE_RULE) for one in ("i-a", "i-b", "i-c")}
    for project in ("i-a", "i-b"):
        announce(doctor, "i-session", project, "MAINTENANCE")
    of_a = {"i-vm-1": True, "i-vm-2": True}
    wait_until(lambda: occurrences(doctor, alarms["i-a"]) == of_a, 60, "two servers of i-a")
    wait_until(lambda: occurrences(doctor, alarms["i-b"]) == {"i-vm-3": True}, 20, "one server of i-b")
    announce(doctor, "i-session", "i-a", "INSTANCE_ACTION_DONE", instance_ids=["i-vm-1"], reply_at=None)
    wait_until(lambda: not occurrences(doctor, alarms["i-a"])["i-vm-1"], 20, "i-vm-1 is done")
    assert occurrences(doctor, alarms["i-a"])["i-vm-2"]
    for project in ("i-a", "i-b"):
        announce(doctor, "i-session", project, "MAINTENANCE_COMPLETE")
    wait_until(lambda: not any(occurrences(doctor, alarms["i-a"]).values()), 20, "the end for i-a")
    wait_until(lambda: occurrences(doctor, alarms["i-b"]) == {"i-vm-3": False}, 20, "the end for i-b")
    doctor.cloud.settle()
    assert occurrences(doctor, alarms["i-c"]) == {}
    assert [len(doctor.sink.at(path)) for path in ("/i-a", "/i-a/ok", "/i-b", "/i-b/ok")] == [1] * 4
