"""Every attribute of IFA 005 and SOL003, for every way in which an alarm is raised and cleared."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.model import ALARM, OK, UTC, object_alarm_id
from eventalarm.storage import database as storage
from eventalarm.storage.occurrence_details import OccurrenceDetails
from tests.functional.conftest import _supply
from tests.support.builders import PROJECT, condition, event_body, rule
from tests.support.definitions import SHIPPED, Converter
from tests.support.engine_harness import EngineHarness
from tests.support.ifa_api import IfaApi

IFA, FAULTS = "/ifa/v1/alarms", "/vnffm/v1/alarms"
NOVA = pathlib.Path(__file__).parents[1] / "data" / "nova-compute.instance.update-error.json"
NOW = datetime.datetime.now(UTC).replace(microsecond=123456)


def at(minutes: float) -> datetime.datetime:
    """Return a moment of the last two hours: minute 0 is two hours ago."""
    return NOW - datetime.timedelta(hours=2) + datetime.timedelta(minutes=minutes)


def text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclasses.dataclass
class Cloud:
    """The API on a database, and an evaluator whose clock shows ``minute``."""

    api: IfaApi
    engine: EngineHarness
    minute: float = 0

    def fault(self, minute: float, server: str = "vm-1", state: str = "error", **traits: Any) -> None:
        """Let Nova report, one second before that minute, that a server changed its state."""
        said = at(minute) - datetime.timedelta(seconds=1)
        body = event_body(instance_id=server, state=state, generated=said.replace(tzinfo=None), **traits)
        self.process(minute, {**body, "message_id": f"m-{server}-{minute}"})

    def process(self, minute: float, body: dict[str, Any]) -> None:
        self.minute = minute
        self.engine.process(body)

    def bound(self, **columns: Any) -> str:
        """Create an alarm on vm-1, with an old creation time."""
        old = {"timestamp": at(-9000), "state_timestamp": at(-9000), "name": "server failed"}
        columns = {"ok_actions": ["http://ok"], **old, **columns}
        return self.api.alarm(columns.pop("rule", rule(instance_id="vm-1", state="error")), **columns)

    def threshold(self, state: str, **columns: Any) -> str:
        the_rule = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-1"}
        return self.bound(rule=the_rule, type="gnocchi_resources_threshold", state=state, **columns)

    def went(self, alarm_id: str, minute: float, state: str, **detail: Any) -> None:
        """Record a transition as a stock evaluator does."""
        reason = {"transition_reason": f"went to {state}"}
        self.api.record(alarm_id, "state transition", {"state": state, **reason, **detail}, at(minute))


@pytest.fixture(params=["sqlite", "mariadb"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    opened = storage.connect(_supply(request.param, request).with_ours())
    api = IfaApi(opened, vim_connection_id="region-one")
    one = Cloud(api, EngineHarness(opened, clock=lambda: at(one.minute)))
    yield one
    opened.dispose()


SERVER: dict[str, Any] = {
    "state": "FIRED",
    "perceivedSeverity": "CRITICAL",
    "faultType": "compute.instance.update",
    "probableCause": "underlyingResourceUnavailable",
    "isRootCause": False,
    "correlatedAlarmId": [],
}
CPU = SERVER | {
    "faultType": "aodh.gnocchi_resources_threshold.cpu_util",
    "probableCause": "thresholdCrossed",
}
RENAMED = {"alarmId": "id", "correlatedAlarmId": "correlatedAlarmIds"}


def assert_shown(
    cloud: Cloud,
    alarm_id: str,
    details: set[str],
    *,
    server: str = "vm-1",
    event_type: str = "PROCESSING_ERROR_ALARM",
    project: str = PROJECT,
    **expected: Any,
) -> None:
    """Fail unless the alarm has exactly these attributes, and these details among its own, in both APIs."""
    found = cloud.api.get(f"{IFA}/{alarm_id}", project=project).json
    details_found = found.pop("faultDetails")
    assert details - set(details_found) == set()
    expected = {"alarmId": alarm_id, "managedObjectId": server, **expected}
    assert found == expected | {"projectId": project, "ackState": "UNACKNOWLEDGED"}
    fault = cloud.api.get(f"{FAULTS}/{alarm_id}", project=project).json
    resource = {
        "resourceId": server,
        "vimConnectionId": "region-one",
        "vimLevelResourceType": "OS::Nova::Server",
    }
    same = {RENAMED.get(name, name): value for name, value in expected.items() if name != "state"}
    assert fault == same | {
        "ackState": "UNACKNOWLEDGED",
        "eventType": event_type,
        "faultDetails": details_found,
        "rootCauseFaultyResource": {"faultyResource": resource, "faultyResourceType": "COMPUTE"},
        "_links": {"self": {"href": f"http://falconframework.org{FAULTS}/{alarm_id}"}},
    }
    active = [one["alarmId"] for one in cloud.api.get(IFA, project=project).json]
    assert (alarm_id in active) is (expected["state"] != "CLEARED")


def test_an_event_alarm_by_a_real_notification_of_nova(cloud: Cloud) -> None:
    converter = Converter(SHIPPED)
    said = json.loads(NOVA.read_text(encoding="utf-8"))
    server, project = said["payload"]["instance_id"], said["payload"]["tenant_id"]
    columns = {"project_id": project, "severity": "critical"}
    alarm_id = cloud.bound(rule=rule(instance_id=server, state="error"), **columns)
    cloud.process(1, converter.event(said))
    generated = text(datetime.datetime.fromisoformat(said["timestamp"]))
    same: dict[str, Any] = {
        "server": server,
        "project": project,
        "alarmRaisedTime": text(at(1)),
        "eventTime": generated,
    }
    details = {
        f"aodh.alarm_id={alarm_id}",
        "aodh.alarm_name=server failed",
        "aodh.alarm_type=event",
        f"event.message_id={said['message_id']}",
        "trait.display_name=doctor_vm0",
        "trait.old_state=active",
        "trait.memory_mb=64",
        f"trait.project_id={project}",
    }
    assert_shown(cloud, alarm_id, details, **SERVER, **same)
    said["payload"] |= {"state": "active", "old_state": "error"}
    later = datetime.datetime.fromisoformat(said["timestamp"]) + datetime.timedelta(minutes=5)
    cloud.process(6, converter.event({**said, "message_id": "well-again", "timestamp": str(later)}))
    over = SERVER | {"state": "CLEARED", "perceivedSeverity": "CLEARED"}
    times: dict[str, Any] = {"alarmChangedTime": text(at(6)), "alarmClearedTime": text(at(6))}
    assert_shown(cloud, alarm_id, details, **over, **same, **times)


def test_a_notification_alarm_on_three_servers(cloud: Cloud) -> None:
    the_rule = {
        "event_type": ["compute.instance.*"],
        "query": [condition("state", "error")],
        "clear": {"query": [condition("state", "active")]},
        "group_by": ["instance_id"],
    }
    alarm_id = cloud.bound(rule=the_rule, type="notification", severity="critical")
    servers = ("vm-1", "vm-2", "vm-3")
    for minute, server in enumerate(servers):
        cloud.fault(minute, server)
    cloud.fault(9, "vm-2", "active")
    for minute, server in enumerate(servers):
        times: dict[str, Any] = {"alarmRaisedTime": text(at(minute)), "eventTime": text(at(minute - 1 / 60))}
        expected: dict[str, Any] = SERVER | times
        if server == "vm-2":
            expected |= {"state": "CLEARED", "perceivedSeverity": "CLEARED"}
            expected |= {"alarmChangedTime": text(at(9)), "alarmClearedTime": text(at(9))}
        details = {"aodh.alarm_type=notification", f"aodh.alarm_id={alarm_id}", f"trait.instance_id={server}"}
        assert_shown(cloud, object_alarm_id(alarm_id, server), details, server=server, **expected)


def test_a_repeated_alarm(cloud: Cloud) -> None:
    alarm_id = cloud.bound(severity="moderate", repeat_actions=True)
    cloud.fault(1)
    cloud.fault(4)
    times: dict[str, Any] = {"alarmRaisedTime": text(at(1)), "eventTime": text(at(1 - 1 / 60))}
    details = {"hits=2", f"last_event_time={text(at(4))}", "event.message_id=m-vm-1-1"}
    assert_shown(cloud, alarm_id, details, **SERVER | {"perceivedSeverity": "MAJOR"}, **times)


def test_a_threshold_alarm_folded_from_the_history_of_aodh(cloud: Cloud) -> None:
    alarm_id = cloud.threshold(ALARM, severity="critical")
    cloud.api.record(alarm_id, "creation", {"state": "insufficient data", "severity": "low"}, at(-60))
    cloud.went(alarm_id, 1, ALARM)
    cloud.api.record(alarm_id, "rule change", {"description": "x"}, at(3))
    times: dict[str, Any] = {
        "alarmRaisedTime": text(at(1)),
        "alarmChangedTime": text(at(3)),
        "eventTime": text(at(1)),
    }
    details = {"aodh.alarm_type=gnocchi_resources_threshold", "reason=edited: description"}
    assert_shown(cloud, alarm_id, details, event_type="QOS_ALARM", **CPU | {"state": "UPDATED"}, **times)


@pytest.mark.parametrize("kind", ["own", "stock"])
def test_a_manual_reset(cloud: Cloud, kind: str) -> None:
    alarm_id = (
        cloud.bound(severity="critical") if kind == "own" else cloud.threshold(ALARM, severity="critical")
    )
    if kind == "own":
        cloud.fault(1)
    else:
        cloud.went(alarm_id, 1, ALARM)
    detail = {"state": OK, "state_reason": "Manually set via API"}
    cloud.api.record(alarm_id, "state transition", detail, at(5), user_id="operator")
    cloud.api.put(alarm_id, state=OK, state_reason="Manually set via API", state_timestamp=at(5))
    base = (SERVER if kind == "own" else CPU) | {"state": "CLEARED", "perceivedSeverity": "CLEARED"}
    seen = at(1 - 1 / 60) if kind == "own" else at(1)
    times: dict[str, Any] = {
        "alarmRaisedTime": text(at(1)),
        "alarmChangedTime": text(at(5)),
        "alarmClearedTime": text(at(5)),
    }
    event_type = "PROCESSING_ERROR_ALARM" if kind == "own" else "QOS_ALARM"
    details = {"manual=true", "reason=Manually set via API"}
    assert_shown(cloud, alarm_id, details, event_type=event_type, **base, **times, eventTime=text(seen))


def test_a_deletion_while_raised(cloud: Cloud) -> None:
    alarm_id = cloud.bound(severity="critical")
    cloud.fault(1)
    cloud.api.delete(alarm_id)
    over = SERVER | {"state": "CLEARED", "perceivedSeverity": "CLEARED"}
    details = {"deleted=true", "aodh.alarm_name=server failed"}
    times: dict[str, Any] = dict.fromkeys(
        ("alarmChangedTime", "alarmClearedTime", "alarmRaisedTime"), text(at(1))
    )
    estimated = {*details, "cleared_time=estimated"}
    assert_shown(cloud, alarm_id, estimated, **over, **times, eventTime=text(at(1 - 1 / 60)))
    stored = OccurrenceDetails(cloud.api.database)
    deleted, _ = stored.deleted_alarms(None, 10)
    assert deleted == {alarm_id}, "reading wrote to the database"
    discovered = datetime.datetime.now(UTC)
    stored.close_deleted(deleted, discovered)
    assert stored.deleted_alarms(None, 10) == (set(), None)
    cleared = text(discovered)
    times = {
        "alarmChangedTime": cleared,
        "alarmClearedTime": cleared,
        "alarmRaisedTime": text(at(1)),
    }
    assert_shown(cloud, alarm_id, details, **over, **times, eventTime=text(at(1 - 1 / 60)))


def test_a_severity_edit_while_raised(cloud: Cloud) -> None:
    alarm_id = cloud.bound(severity="low")
    cloud.fault(1)
    cloud.api.put(alarm_id, severity="critical", timestamp=at(2))
    cloud.api.record(alarm_id, "rule change", {"severity": "critical"}, at(2))
    times: dict[str, Any] = {"alarmRaisedTime": text(at(1)), "alarmChangedTime": text(at(2))}
    expected = SERVER | {"state": "UPDATED"} | times
    assert_shown(cloud, alarm_id, {"trait.state=error"}, **expected, eventTime=text(at(1 - 1 / 60)))


@pytest.mark.parametrize("kind", ["own", "stock"])
def test_a_flapping_alarm(cloud: Cloud, kind: str) -> None:
    alarm_id = (
        cloud.bound(severity="critical") if kind == "own" else cloud.threshold(ALARM, severity="critical")
    )
    for minute in range(1, 6):
        raised = minute % 2 == 1
        if kind == "own":
            cloud.fault(minute, state="error" if raised else "active")
        else:
            cloud.went(alarm_id, minute, ALARM if raised else OK)
    kinds = [(one["kind"], one["time"]) for one in cloud.api.get(f"{IFA}/{alarm_id}/history").json]
    assert kinds == [("raised" if n % 2 else "cleared", text(at(n))) for n in range(1, 6)]
    is_ours = kind == "own"
    seen = at(5 - 1 / 60) if is_ours else at(5)
    event_type = "PROCESSING_ERROR_ALARM" if is_ours else "QOS_ALARM"
    expected = (SERVER if is_ours else CPU) | {"alarmRaisedTime": text(at(5)), "eventTime": text(seen)}
    details = {"event.message_id=m-vm-1-5"} if is_ours else {"reason=went to alarm"}
    assert_shown(cloud, alarm_id, details, event_type=event_type, **expected)


@pytest.mark.parametrize(
    ("kept", "raised", "details"),
    [
        ([], 30, {"raised_time=estimated"}),
        ([(40, "rule change", {"description": "x"})], 40, {"raised_time=estimated"}),
        ([(50, "state transition", {"state": ALARM})], 50, set()),
    ],
    ids=["nothing left", "an edit left", "the raise left"],
)
def test_a_truncated_history(
    cloud: Cloud, kept: list[tuple[float, str, Any]], raised: float, details: set[str]
) -> None:
    alarm_id = cloud.threshold(ALARM, severity="critical", state_timestamp=at(30))
    for minute, kind, detail in kept:
        cloud.api.record(alarm_id, kind, detail, at(minute))
    expected = CPU | {"alarmRaisedTime": text(at(raised)), "eventTime": text(at(raised))}
    assert_shown(cloud, alarm_id, details, event_type="QOS_ALARM", **expected)
