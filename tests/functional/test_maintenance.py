"""Planned maintenance with everything real: what each project is notified of, its answers, and inhibition."""

from __future__ import annotations

import datetime
import json
import pathlib
import shlex
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import _supply
from tests.support import openstack_client
from tests.support.cloud import PROJECT, USER, Cloud
from tests.support.doctor import ADMINS, SERVER_RULE, Doctor
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import Process, WebhookSink, wait_until
from tests.support.ingest_api import report
from tests.support.inspector import Inspectors
from tests.support.scenarios import PAGES, blocks

STATE = {"field": "traits.status", "op": "eq", "type": "string"}
INSTANCE_RULE = {"event_type": "maintenance.instance", "query": [{**STATE, "value": "planned"}]}
UNANSWERED_RULE = {"event_type": "maintenance.unanswered", "query": [{**STATE, "value": "unanswered"}]}


@pytest.fixture(scope="module")
def doctor(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Doctor]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("maintenance"), WebhookSink()
    spawn = Programs(folder)
    one = Doctor(spawn, folder, _supply("mariadb", request).with_ours(), rabbitmq.new_url(), sink)
    yield one
    one.close()
    spawn.close()
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


def openstack(doctor: Doctor, project: str, *words: str) -> Any:
    """Run ``openstack eventalarm maintenance`` as a member of a project, and return what it prints."""
    identity = {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": doctor.ingest_url,
        "OS_EVENTALARM_INGEST_ENDPOINT": doctor.ingest_url,
        "OS_PROJECT_ID": project,
        "OS_USER_ID": "operator",
        "OS_ROLES": "member,reader",
    }
    done = openstack_client.openstack("eventalarm", "maintenance", *words, "-f", "json", env=identity)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_unanswered_session_is_an_alarm_until_it_is_answered(
    doctor: Doctor, inspectors: Inspectors
) -> None:
    """Red when nobody looks for overdue answers, and without the answer; two inspectors report one once."""
    inspectors.start()
    inspectors.start()
    inspectors.place("compute-u", {"u-vm-1": "u-a", "u-vm-2": "u-b"})
    for project in ("u-a", "u-b"):
        watch(doctor, f"/{project}", project, UNANSWERED_RULE, repeat_actions=True)
    now = datetime.datetime.now(datetime.UTC)
    for project in ("u-a", "u-b"):
        announce(
            doctor,
            "u-session",
            project,
            "PLANNED_MAINTENANCE",
            reply_at=text(now + datetime.timedelta(seconds=1)),
        )
    for project in ("u-a", "u-b"):
        doctor.sink.wait(1, f"/{project}", timeout=60)
    (listed,) = openstack(doctor, "u-a", "list")
    assert (listed["Session"], listed["Answered"], listed["Servers"]) == ("u-session", False, 1)
    answer = ("ack", "u-session", "--state", "ACK_PLANNED_MAINTENANCE", "--action", "MIGRATE")
    shown = openstack(doctor, "u-a", *answer)
    (sent,) = doctor.sink.at("/v1/maintenance/u-session/u-a")
    assert (sent.method, sent.json) == (
        "PUT",
        {
            "session_id": "u-session",
            "state": "ACK_PLANNED_MAINTENANCE",
            "instance_actions": {"u-vm-1": "MIGRATE"},
        },
    )
    (answered,) = shown["answers"]
    assert answered.endswith("ACK_PLANNED_MAINTENANCE by user operator")
    doctor.sink.wait(1, "/u-a/ok")
    # The next state of the session ends the alarm of the project that has not answered here.
    announce(doctor, "u-session", "u-b", "MAINTENANCE_COMPLETE")
    doctor.sink.wait(1, "/u-b/ok")
    doctor.cloud.settle()
    assert [len(doctor.sink.at(path)) for path in ("/u-a", "/u-a/ok", "/u-b", "/u-b/ok")] == [1] * 4
    assert doctor.sink.at("/v1/maintenance/u-session/u-b") == []


def request(doctor: Doctor, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Call the ingest API as an administrator."""
    headers = {
        "X-Project-Id": ADMINS,
        "X-User-Id": "root",
        "X-Roles": "admin",
        "Content-Type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(doctor.ingest_url + path, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=30) as response:
        return response.status, json.load(response)


def test_an_operator_maintains_a_host(doctor: Doctor, inspectors: Inspectors) -> None:
    """Owners are notified in advance, and of faults in the meantime only if they outlast it."""
    inspectors.start()
    owners = {"h-vm-1": "h-a", "h-vm-2": "h-b"}
    inspectors.place("compute-h", owners)
    alarms = {one: watch(doctor, f"/{one}", one, INSTANCE_RULE) for one in ("h-a", "h-b")}
    doctor.watch(SERVER_RULE, owners)
    path = "/v1/hosts/compute-h/maintenance"
    starts = "2099-11-21T06:00:00+00:00"
    planned = {"state": "PLANNED_MAINTENANCE", "starts_at": starts, "reason": "new firmware"}
    status, answer = request(doctor, "PUT", path, planned)
    assert (status, answer["servers"], answer["projects"], answer["warnings"]) == (200, 2, 2, [])
    wait_until(lambda: occurrences(doctor, alarms["h-a"]) == {"h-vm-1": True}, 20, "the server of h-a")
    wait_until(lambda: occurrences(doctor, alarms["h-b"]) == {"h-vm-2": True}, 20, "the server of h-b")
    (hook,) = doctor.sink.wait(1, "/h-a")
    traits = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    assert traits["anticipated_time"] == starts[:19]
    assert (traits["session_id"], traits["reason"]) == (answer["session_id"], "new firmware")

    begun = request(doctor, "PUT", path, {"state": "IN_MAINTENANCE"})[1]
    assert begun["session_id"] == answer["session_id"]
    doctor.report(report("compute.host.down", hostname="compute-h", status="down"))
    query = "SELECT alarm_id FROM eventalarm_transition WHERE managed_object LIKE 'h-vm-%' AND alarm_id = :id"
    mine = doctor.cloud.rows("SELECT alarm_id FROM alarm WHERE name = 'h-vm-1'")[0]["alarm_id"]
    wait_until(lambda: doctor.cloud.rows(query, id=mine), 20, "the fault is recorded")
    doctor.cloud.settle()
    assert doctor.sink.at("/h-vm-1") == []
    _, ended = request(doctor, "DELETE", path)
    assert (ended["session_id"], ended["state"]) == (answer["session_id"], "MAINTENANCE_COMPLETE")
    for name in owners:
        doctor.sink.wait(1, f"/{name}")
    wait_until(lambda: occurrences(doctor, alarms["h-b"]) == {"h-vm-2": False}, 20, "the end for h-b")
    assert request(doctor, "GET", path)[1]["state"] == "MAINTENANCE_COMPLETE"
    doctor.cloud.settle()
    assert [len(doctor.sink.at(f"/{name}")) for name in owners] == [1, 1]


@pytest.fixture
def aodh(spawn: Callable[..., Process], tmp_path: pathlib.Path, our_sqlite_url: str) -> Iterator[Cloud]:
    """Aodh's API alone."""
    one = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    one.start_api()
    yield one
    one.close()


def projects_listen_alarm(client: Any, match_event: str) -> list[str]:
    """Return the projects that an admin tool finds, as Fenix's and Doctor's method of this name does."""
    return [
        str(alarm["project_id"])
        for alarm in client.alarm.list()
        if str(alarm["event_rule"]["event_type"]) == match_event
    ]


def test_admin_tools_find_the_alarms_of_the_page(aodh: Cloud) -> None:
    """The real client creates them in the real API. Red with a notification alarm, as the end shows."""
    found = blocks(PAGES / "maintenance.rst")
    commands = [
        shlex.split(one.replace("\\\n", " "))
        for name in ("command", "further alarms")
        for one in found[name].split("$ ")
        if one.strip()
    ]
    assert len(commands) == 3
    identity = {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": aodh.api_url,
        "OS_PROJECT_ID": PROJECT,
        "OS_USER_ID": USER,
        "OS_ROLES": "member,reader",
    }
    for _, *words in commands:
        done = openstack_client.openstack(*words, env=identity)
        assert done.returncode == 0, done.stderr
    client = aodh.client()
    assert projects_listen_alarm(client, "maintenance.scheduled") == [PROJECT]
    (created,) = (one for one in client.alarm.list() if one["name"] == "maintenance")
    assert created["event_rule"] == json.loads(found["rule.json"])
    rule = {"event_type": "maintenance.scheduled"}
    client.alarm.create({"name": "other", "type": "notification", "notification_rule": rule})
    with pytest.raises(KeyError):
        projects_listen_alarm(client, "maintenance.scheduled")
