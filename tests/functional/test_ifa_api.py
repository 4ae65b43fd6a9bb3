"""The IFA API: the alarms that callers read, on every database."""

from __future__ import annotations

import datetime

from eventalarm.model import ALARM, OK, UTC, object_alarm_id
from tests.support.builders import rule
from tests.support.ifa_api import (
    FAULTS,
    IFA,
    THRESHOLD,
    IfaApi,
    bound,
    fault,
    ids,
    threshold,
)


def test_a_nova_fault_is_raised_repeated_and_cleared(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"), severity="critical", ok_actions=["http://ok"], repeat_actions=True)
    first = fault("vm-1", host="compute-3")
    api.engine.process(first)
    (alarm,) = api.get(IFA).json
    assert alarm["alarmId"] == alarm_id
    assert (alarm["managedObjectId"], alarm["state"], alarm["perceivedSeverity"]) == (
        "vm-1",
        "FIRED",
        "CRITICAL",
    )
    assert alarm["eventTime"] == f"{first['generated']}Z"
    assert "trait.host=compute-3" in alarm["faultDetails"]
    api.engine.process(fault("vm-1"))
    assert "hits=2" in api.get(f"{IFA}/{alarm_id}").json["faultDetails"]
    (shown,) = api.get(FAULTS).json
    assert shown["rootCauseFaultyResource"] == {
        "faultyResource": {"resourceId": "vm-1", "vimLevelResourceType": "OS::Nova::Server"},
        "faultyResourceType": "COMPUTE",
    }
    assert shown["_links"]["self"]["href"].endswith(f"{FAULTS}/{alarm_id}")
    api.engine.process(fault("vm-1", state="active"))
    assert api.get(IFA).json == []
    cleared = api.get(f"{FAULTS}/{alarm_id}").json
    assert (cleared["perceivedSeverity"], "alarmClearedTime" in cleared) == ("CLEARED", True)
    kinds = [entry["kind"] for entry in api.get(f"{IFA}/{alarm_id}/history").json]
    assert kinds == ["raised", "repeated", "cleared"]
    entry = api.get(f"{IFA}/{alarm_id}/history").json[0]
    assert entry["event"]["message_id"] == first["message_id"]


def test_one_definition_on_three_servers_is_three_alarms(api: IfaApi) -> None:
    alarm_id = api.alarm(rule(state="error"))
    for server in ("vm-1", "vm-2", "vm-3"):
        api.engine.process(fault(server))
    found = {a["managedObjectId"]: a["alarmId"] for a in api.get(IFA).json}
    assert found == {server: object_alarm_id(alarm_id, server) for server in ("vm-1", "vm-2", "vm-3")}
    for server, object_id in found.items():
        assert api.get(f"{IFA}/{object_id}").json["managedObjectId"] == server
    assert api.get(f"{IFA}/{alarm_id}").status_code == 404
    assert ids(api.get(IFA, managed_object="vm-2").json, "managedObjectId") == ["vm-2"]


def test_stock_alarms_are_folded_from_their_history(api: IfaApi) -> None:
    threshold(api, "raised", OK, ALARM, severity="moderate")
    threshold(api, "over", ALARM, OK)
    threshold(api, "never", OK)
    (alarm,) = api.get(IFA).json
    assert (alarm["alarmId"], alarm["managedObjectId"], alarm["perceivedSeverity"]) == (
        "raised",
        "of-raised",
        "MAJOR",
    )
    assert alarm["faultType"] == "aodh.gnocchi_resources_threshold.cpu_util"
    assert ids(api.get(FAULTS).json) == ["raised", "over"]
    assert ids(api.get(IFA, state="CLEARED").json, "alarmId") == ["over"]
    kinds = [entry["kind"] for entry in api.get(f"{IFA}/over/history").json]
    assert kinds == ["raised", "cleared"]
    assert api.get(f"{IFA}/never").status_code == 404
    assert ids(api.get(IFA, managed_object="of-raised").json, "alarmId") == ["raised"]


def test_changes_by_tenants_to_a_raised_alarm_show_at_once(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"), severity="low")
    api.engine.process(fault("vm-1"))
    before = api.get(f"{FAULTS}/{alarm_id}")
    later = datetime.datetime.now(UTC) + datetime.timedelta(seconds=1)
    api.put(alarm_id, severity="critical", timestamp=later)
    api.record(alarm_id, "rule change", {"severity": "critical"}, later)
    edited = api.get(f"{FAULTS}/{alarm_id}")
    assert (edited.json["perceivedSeverity"], "alarmChangedTime" in edited.json) == ("CRITICAL", True)
    assert edited.headers["etag"] != before.headers["etag"]
    reset = later + datetime.timedelta(seconds=1)
    api.put(alarm_id, state=OK, state_reason="Manually set via API", state_timestamp=reset)
    assert api.get(IFA).json == []
    over = api.get(f"{IFA}/{alarm_id}").json
    assert (over["state"], "manual=true" in over["faultDetails"]) == ("CLEARED", True)


def test_04_a_deleted_alarm_is_cleared_and_stays_so(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"))
    api.engine.process(fault("vm-1"))
    api.delete(alarm_id)
    (alarm,) = api.get(FAULTS).json
    assert (alarm["id"], alarm["perceivedSeverity"]) == (alarm_id, "CLEARED")
    assert api.get(f"{FAULTS}/{alarm_id}").json == alarm
    assert api.get(IFA).json == []


def test_somebody_else_raises_an_alarm_of_ours_again(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"), ok_actions=["http://ok"])
    api.engine.process(fault("vm-1"))
    api.engine.process(fault("vm-1", state="active"))
    again = datetime.datetime.now(UTC)
    api.put(alarm_id, state=ALARM, state_reason="Manually set via API", state_timestamp=again)
    detail = {"state": ALARM, "state_reason": "Manually set via API"}
    api.record(alarm_id, "state transition", detail, again)
    (alarm,) = api.get(FAULTS).json
    assert (alarm["id"], alarm["perceivedSeverity"], alarm["managedObjectId"]) == (
        alarm_id,
        "WARNING",
        "vm-1",
    )
    assert api.get(f"{FAULTS}/{alarm_id}").json == alarm


def test_21_without_history_the_row_is_enough(api: IfaApi) -> None:
    api.alarm(THRESHOLD, "a", type="gnocchi_resources_threshold", state=ALARM)
    (alarm,) = api.get(IFA).json
    assert "raised_time=estimated" in alarm["faultDetails"]
    (entry,) = api.get(f"{IFA}/a/history").json
    assert (entry["kind"], entry["estimated"]) == ("raised", True)


def test_18_alarms_of_one_event_name_each_other_within_a_project(api: IfaApi) -> None:
    first, second = api.alarm(bound("vm-1")), api.alarm(bound("vm-1"))
    api.engine.process(fault("vm-1"))
    named = {alarm["alarmId"]: alarm["correlatedAlarmId"] for alarm in api.get(IFA).json}
    assert named == {first: [second], second: [first]}
