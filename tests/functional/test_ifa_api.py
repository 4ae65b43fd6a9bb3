"""The IFA API: what callers read and may do, on every database."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import ALARM, OK, UTC, object_alarm_id
from eventalarm.storage import database as storage
from tests.support.builders import PROJECT, event_body, rule
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import ADMIN, IfaApi

IFA = "/ifa/v1/alarms"
FAULTS = "/vnffm/v1/alarms"
SUBSCRIPTIONS = "/vnffm/v1/subscriptions"
MERGE = {"Content-Type": "application/merge-patch+json"}
THRESHOLD = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-t"}
NOW = datetime.datetime.now(UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def opened(our_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(our_database_url)
    yield result
    result.dispose()


@pytest.fixture
def api(opened: storage.Database) -> IfaApi:
    return IfaApi(opened)


@pytest.fixture
def lite(our_sqlite_url: str) -> Iterator[IfaApi]:
    """The API on SQLite alone, for tests that do not depend on the database."""
    result = storage.connect(our_sqlite_url)
    yield IfaApi(result)
    result.dispose()


def fault(server: str, **traits: Any) -> dict[str, Any]:
    generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
    return event_body(instance_id=server, generated=generated, **{"state": "error", **traits})


def bound(server: str) -> dict[str, Any]:
    return rule(instance_id=server, state="error")


def ids(answer: Any, name: str = "id") -> list[str]:
    return [alarm[name] for alarm in answer]


def threshold(api: IfaApi, alarm_id: str, *states: str, **columns: Any) -> str:
    columns = {"type": "gnocchi_resources_threshold", "state": states[-1], **columns}
    api.alarm(THRESHOLD | {"resource_id": f"of-{alarm_id}"}, alarm_id, **columns)
    for number, state in enumerate(states):
        at = NOW - HOUR + datetime.timedelta(minutes=number)
        api.record(alarm_id, "state transition", {"state": state, "transition_reason": "x"}, at)
    return alarm_id


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


def test_doctors_filters(api: IfaApi) -> None:
    for server, severity in (("vm-1", "critical"), ("vm-2", "moderate"), ("vm-3", "low")):
        api.alarm(bound(server), severity=severity)
        api.engine.process(fault(server))
    api.alarm(bound("vm-4"), severity="low")
    api.engine.process(fault("vm-4", severity="minor"))
    threshold(api, "t", ALARM, severity="critical")

    def objects(**params: Any) -> set[str]:
        return {alarm["managedObjectId"] for alarm in api.pages(IFA, **params)}

    assert objects(min_severity="1") == {"vm-1", "vm-2", "vm-4", "of-t"}
    assert objects(min_severity="MINOR") == {"vm-1", "vm-2", "of-t"}
    assert objects(severity="MINOR,WARNING") == {"vm-3", "vm-4"}
    assert objects(fault_type="compute.*") == {"vm-1", "vm-2", "vm-3", "vm-4"}
    assert objects(resource_type="STORAGE") == set()
    assert objects(managed_object=["vm-1", "vm-3"]) == {"vm-1", "vm-3"}
    soon = (datetime.datetime.now(UTC) + HOUR).isoformat()
    assert objects(event_after=soon) == set()
    assert objects(event_before=soon, raised_before=soon) == {"vm-1", "vm-2", "vm-3", "vm-4", "of-t"}
    assert objects(raised_after=(NOW - datetime.timedelta(minutes=30)).isoformat()) == {
        *("vm-1", "vm-2", "vm-3", "vm-4")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(eq,perceivedSeverity,CRITICAL)", ["vm-1"]),
        ("(neq,perceivedSeverity,CRITICAL)", ["vm-2", "vm-3"]),
        ("(in,managedObjectId,vm-1,vm-3)", ["vm-1", "vm-3"]),
        ("(nin,managedObjectId,vm-1,vm-3)", ["vm-2"]),
        ("(cont,faultType,update,create)", ["vm-1", "vm-2", "vm-3"]),
        ("(ncont,managedObjectId,'m-1')", ["vm-2", "vm-3"]),
        ("(eq,rootCauseFaultyResource/faultyResource/resourceId,vm-2)", ["vm-2"]),
        ("(eq,isRootCause,true)", []),
        ("(eq,rootCauseFaultyResource/faultyResourceType,COMPUTE);(neq,id,x)", ["vm-1", "vm-2", "vm-3"]),
        ("(gte,alarmRaisedTime,2020-01-01T00:00:00Z)", ["vm-1", "vm-2", "vm-3"]),
        ("(lt,alarmRaisedTime,2020-01-01T00:00:00Z)", []),
        ("(gt,alarmClearedTime,2020-01-01T00:00:00Z)", ["vm-3"]),
        ("(lte,eventTime,2020-01-01T00:00:00Z)", []),
        ("(eq,perceivedSeverity,CLEARED)", ["vm-3"]),
    ],
)
def test_attribute_filters(lite: IfaApi, text: str, expected: list[str]) -> None:
    for server, severity in (("vm-1", "critical"), ("vm-2", "moderate"), ("vm-3", "low")):
        lite.alarm(bound(server), severity=severity, ok_actions=["http://ok"])
        lite.engine.process(fault(server))
    lite.engine.process(fault("vm-3", state="active"))
    assert sorted(ids(lite.pages(FAULTS, filter=text), "managedObjectId")) == expected


@pytest.mark.parametrize(
    "query",
    [
        *(
            "filter=eq,id,x",
            "filter=(eq,id)",
            "filter=(eq,id,x",
            "filter=(like,id,x)",
            "filter=(eq,nothing,x)",
        ),
        *("filter=(gt,perceivedSeverity,MINOR)", "filter=(eq,eventTime,today)", "filter=(eq,id,x);;"),
        *("filter=(eq,isRootCause,maybe)", "filter=(eq,id,'x)", "filter=(eq,id,x)&filter=(eq,id,y)"),
        *("nextpage_opaque_marker=xyz", "nextpage_opaque_marker=WzksbnVsbF0", "all_projects=perhaps"),
        *("fields=faultType&all_fields", "exclude_fields=nothing", "fields=rootCauseFaultyResource/x"),
    ],
)
def test_an_invalid_request_is_400(lite: IfaApi, query: str) -> None:
    assert lite.get(f"{FAULTS}?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["state=OPEN", "severity=BAD", "min_severity=x", "limit=0", "order=up", "raised_after=soon"]
)
def test_an_invalid_request_is_400_in_ifa_too(lite: IfaApi, query: str) -> None:
    assert lite.get(f"{IFA}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("all_fields", set()),
        ("exclude_default", {"correlatedAlarmIds", "faultDetails"}),
        ("exclude_default&fields=faultDetails", {"correlatedAlarmIds"}),
        ("fields=faultType", {"correlatedAlarmIds", "faultDetails"}),
        ("fields=rootCauseFaultyResource/faultyResourceType", {"correlatedAlarmIds", "faultDetails"}),
        ("fields=faultDetails", {"correlatedAlarmIds"}),
        ("exclude_fields=faultDetails", {"faultDetails"}),
        ("exclude_fields=faultType,id,alarmChangedTime,alarmAcknowledgedTime", set()),
        ("exclude_fields=rootCauseFaultyResource", set()),
        ("exclude_fields=rootCauseFaultyResource/faultyResource/vimConnectionId", set()),
    ],
)
def test_selectors_omit_only_complex_optional_attributes(lite: IfaApi, query: str, missing: set[str]) -> None:
    alarm_id = lite.alarm(bound("vm-1"), ok_actions=["http://ok"])
    lite.engine.process(fault("vm-1"))
    lite.engine.process(fault("vm-1", state="active"))
    acknowledge = {"ackState": "ACKNOWLEDGED"}
    lite.call("PATCH", f"{FAULTS}/{alarm_id}", body=acknowledge, headers=MERGE)
    (whole,) = lite.get(FAULTS).json
    assert {"faultType", "alarmChangedTime", "alarmAcknowledgedTime", "rootCauseFaultyResource"} <= set(whole)
    (chosen,) = lite.get(f"{FAULTS}?{query}").json
    assert chosen == {name: value for name, value in whole.items() if name not in missing}


def test_every_response_has_the_version(lite: IfaApi) -> None:
    for method, path, headers in (
        ("GET", FAULTS, {}),
        ("GET", f"{FAULTS}?filter=bad", {}),
        ("GET", f"{FAULTS}/nothing", {}),
        ("PUT", FAULTS, {}),
        ("GET", "/vnffm/v1/nothing", {}),
        ("GET", "/vnffm/api_versions", {}),
        ("GET", FAULTS, {"Version": "9.0.0"}),
        ("GET", FAULTS, {"Accept": "text/plain"}),
        ("GET", FAULTS, {"X-Project-Id": ""}),
    ):
        answer = lite.call(method, path, headers=headers)
        assert answer.headers["version"] == "1.3.0", (method, path, answer.status_code)
    assert lite.get(f"{FAULTS}/nothing", headers={"Version": "1.2.0"}).headers["version"] == "1.2.0"


def test_paging_shows_everything_once(opened: storage.Database) -> None:
    api = IfaApi(opened, page_size=3)
    wanted = {api.alarm(bound(f"vm-{n}")) for n in range(7)}
    api.engine.process(*(fault(f"vm-{n}") for n in range(7)))
    wanted |= {threshold(api, f"t-{n}", ALARM, OK) for n in range(4)}
    wanted |= {threshold(api, f"s-{n}", ALARM) for n in range(4)}
    for path in (FAULTS, f"{IFA}?state=FIRED,CLEARED", f"{IFA}?state=FIRED,CLEARED&order=oldest"):
        found = ids(api.pages(path), "id" if path == FAULTS else "alarmId")
        assert (len(found), set(found)) == (len(wanted), wanted)


def test_a_rare_alarm_is_found_behind_many_others(opened: storage.Database) -> None:
    api = IfaApi(opened, page_size=2)
    rare = api.alarm(bound("vm-rare"), severity="critical")
    api.engine.process(fault("vm-rare"))
    for number in range(12):
        api.alarm(bound(f"vm-{number}"))
    api.engine.process(*(fault(f"vm-{number}") for number in range(12)))
    assert ids(api.pages(f"{IFA}?severity=CRITICAL"), "alarmId") == [rare]
    assert ids(api.pages(f"{FAULTS}?filter=(eq,perceivedSeverity,CRITICAL)")) == [rare]


def test_25_a_paging_marker_survives_the_deletion_of_its_row(opened: storage.Database) -> None:
    api = IfaApi(opened, page_size=1)
    made = [api.alarm(bound(f"vm-{n}")) for n in range(3)]
    for number in range(3):
        api.engine.process(fault(f"vm-{number}"))
    answer = api.get(FAULTS)
    marker = answer.headers["link"].split("nextpage_opaque_marker=")[1].split(">")[0]
    with opened.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM eventalarm_occurrence WHERE managed_object = 'vm-0'"))
    api.delete(made[0])
    rest = api.pages(f"{FAULTS}?nextpage_opaque_marker={marker}")
    assert ids(answer.json) + ids(rest) == made


def test_22_a_page_costs_the_same_statements_whatever_its_size(opened: storage.Database) -> None:
    api = IfaApi(opened)
    counted: list[str] = []

    def count(*arguments: Any) -> None:
        # The pool pings each connection, and SQLite gets an explicit BEGIN.
        if arguments[2] not in ("SELECT 1", "BEGIN"):
            counted.append(arguments[2])

    def cost() -> int:
        counted.clear()
        assert api.get(FAULTS).status_code == 200
        return len(counted)

    sa.event.listen(opened.engine, "before_cursor_execute", count)
    cost()
    api.alarm(bound("vm"))
    api.engine.process(fault("vm"))
    threshold(api, "t", ALARM)
    few = cost()
    for number in range(49):
        api.alarm(bound(f"vm-{number}"))
        threshold(api, f"t-{number}", ALARM)
    api.engine.process(*(fault(f"vm-{number}") for number in range(49)))
    assert len(api.get(FAULTS).json) == 100
    assert cost() <= few
    assert few <= 16


def test_acknowledging(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"), ok_actions=["http://ok"])
    api.engine.process(fault("vm-1"))
    path, acknowledged = f"{FAULTS}/{alarm_id}", {"ackState": "ACKNOWLEDGED"}
    tag = api.get(path).headers["etag"]
    for wrong in ('"0"', tag.strip('"'), f"W/{tag}"):
        answer = api.call("PATCH", path, body=acknowledged, headers={**MERGE, "If-Match": wrong})
        assert answer.status_code == 412
    answer = api.call("PATCH", path, body=acknowledged, headers={**MERGE, "If-Match": tag})
    assert (answer.status_code, answer.json) == (200, acknowledged)
    again = {**MERGE, "If-Match": tag}
    assert api.call("PATCH", path, body=acknowledged, headers=again).status_code == 412
    again = {**MERGE, "If-Match": answer.headers["etag"]}
    assert api.call("PATCH", path, body=acknowledged, headers=again).status_code == 409
    shown = api.get(path)
    assert (shown.json["ackState"], "alarmAcknowledgedTime" in shown.json) == ("ACKNOWLEDGED", True)
    assert shown.headers["etag"] == answer.headers["etag"]
    back = {"ackState": "UNACKNOWLEDGED"}
    assert api.call("PATCH", path, body=back, headers=MERGE).status_code == 200
    assert api.call("PATCH", path, body=acknowledged, headers=MERGE).status_code == 200
    api.engine.process(fault("vm-1", state="active"), fault("vm-1"))
    assert api.get(path).json["ackState"] == "UNACKNOWLEDGED"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", MERGE, 400),
        ({"ackState": "MAYBE"}, MERGE, 422),
        ({}, MERGE, 422),
        ([], MERGE, 422),
        ({"ackState": "ACKNOWLEDGED"}, {"Content-Type": "text/plain"}, 415),
        ("x" * 70_000, MERGE, 413),
    ],
)
def test_bodies_that_are_refused(lite: IfaApi, body: Any, headers: Any, status: int) -> None:
    alarm_id = lite.alarm(bound("vm-1"))
    lite.engine.process(fault("vm-1"))
    answer = lite.call("PATCH", f"{FAULTS}/{alarm_id}", body=body, headers=headers)
    assert answer.status_code == status


def test_versions_and_what_is_accepted(lite: IfaApi) -> None:
    assert lite.get("/vnffm/api_versions", project="").json["apiVersions"]
    assert lite.get("/vnffm/v1/api_versions").json["uriPrefix"].endswith("/vnffm/v1/")
    assert lite.get(FAULTS).headers["version"] == "1.3.0"
    assert lite.get(FAULTS, headers={"Version": "1.2.0-impl:x:1"}).headers["version"] == "1.2.0"
    assert lite.get(FAULTS, headers={"Version": "9.0.0"}).status_code == 406
    assert lite.get(FAULTS, headers={"Version": "latest"}).status_code == 400
    assert lite.get(FAULTS, headers={"Accept": "text/html"}).status_code == 406
    strict = IfaApi(lite.database, require_version=True)
    assert strict.get(FAULTS).status_code == 400
    assert strict.get("/vnffm/v1/api_versions").status_code == 200
    assert lite.get(f"{FAULTS}?filter={'x' * 9000}").status_code == 414
    assert lite.get("/vnffm/v1/nothing").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [FAULTS, IFA, "/vnffm/api_versions", "/vnffm/v1/api_versions"])
def test_other_methods_are_405_before_anything_else(lite: IfaApi, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json", "Version": "9.9.9"}
    assert lite.call(method, path, headers=headers).status_code == 405


def test_tenants_never_see_each_other(api: IfaApi, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    theirs = api.alarm(bound("vm-1"), project_id="project-b")
    api.engine.process(fault("vm-1", project_id="project-b") | {})
    body = event_body(project="project-b", instance_id="vm-1", state="error", generated=NOW.isoformat())
    api.engine.process(body)
    stock = threshold(api, "stock-b", ALARM, project_id="project-b")
    made = api.call("POST", SUBSCRIPTIONS, project="project-b", body={"callbackUri": webhook_sink.url("/cb")})
    subscription_id = made.json["id"]
    assert len(api.get(IFA, project="project-b").json) == 2
    for path in (
        IFA,
        FAULTS,
        SUBSCRIPTIONS,
        f"{IFA}?managed_object=vm-1",
        f"{FAULTS}?filter=(eq,id,{theirs})",
    ):
        assert api.pages(path) == []
    for one in (theirs, stock, object_alarm_id(theirs, "vm-1")):
        for path in (f"{IFA}/{one}", f"{IFA}/{one}/history", f"{FAULTS}/{one}"):
            answer = api.get(path)
            assert (answer.status_code, answer.headers.get("etag")) == (404, None)
        patch = api.call("PATCH", f"{FAULTS}/{one}", body={"ackState": "ACKNOWLEDGED"}, headers=MERGE)
        assert patch.status_code == 404
    for method in ("GET", "DELETE"):
        assert api.call(method, f"{SUBSCRIPTIONS}/{subscription_id}").status_code == 404
    assert api.get(f"{SUBSCRIPTIONS}/{subscription_id}", project="project-b").status_code == 200
    for path in (IFA, FAULTS, SUBSCRIPTIONS):
        assert api.get(path, all_projects="true").status_code == 403
        assert len(api.get(path, all_projects="true", roles=ADMIN).json) >= 1
    assert api.get(f"{FAULTS}/{theirs}", roles=ADMIN).status_code == 200
    assert ids(api.get(IFA, roles=ADMIN).json) == []


def test_roles(lite: IfaApi) -> None:
    alarm_id = lite.alarm(bound("vm-1"))
    lite.engine.process(fault("vm-1"))
    assert lite.get(IFA, roles="").status_code == 403
    assert lite.get(IFA, roles="reader").status_code == 200
    patch = lite.call(
        "PATCH", f"{FAULTS}/{alarm_id}", body={"ackState": "ACKNOWLEDGED"}, headers=MERGE, roles="reader"
    )
    assert patch.status_code == 403
    answer = lite.get(IFA, project="")
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)


def test_subscriptions(api: IfaApi, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    body = {
        "callbackUri": webhook_sink.url("/cb"),
        "filter": {"notificationTypes": ["AlarmNotification"], "perceivedSeverities": ["CRITICAL"]},
    }
    made = api.call("POST", SUBSCRIPTIONS, body=body)
    assert made.status_code == 201
    assert made.headers["location"] == made.json["_links"]["self"]["href"]
    assert made.json | body == made.json
    assert [one.method for one in webhook_sink.at("/cb")] == ["GET"]
    same = api.call("POST", SUBSCRIPTIONS, body=body)
    assert (same.status_code, same.headers["location"]) == (303, made.headers["location"])
    assert api.get(SUBSCRIPTIONS).json == [made.json]
    path = f"{SUBSCRIPTIONS}/{made.json['id']}"
    assert api.get(path).json == made.json
    right = "(eq,filter/perceivedSeverities,CRITICAL)"
    assert len(api.get(SUBSCRIPTIONS, filter=right).json) == 1
    products = "filter/vnfInstanceSubscriptionFilter/vnfProductsFromProviders"
    for attribute in (
        *("callbackUri", "_links/self/href", "filter/vnfInstanceSubscriptionFilter/vnfInstanceIds"),
        *(f"{products}/vnfProvider", f"{products}/vnfProducts/versions/vnfdVersions"),
    ):
        assert api.get(SUBSCRIPTIONS, filter=f"(eq,{attribute},x)").json == []
    assert [api.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"vnfInstanceSubscriptionFilter": {"vnfdIds": ["x"]}}, "resourceIds"),
        ({"perceivedSeverities": ["CLEARED"]}, "notificationTypes"),
        ({"minSeverity": "CRITICAL"}, "strictly"),
        ({"projectIds": ["project-b"]}, "all_projects"),
    ],
)
def test_a_subscription_that_can_never_match_is_refused_with_the_remedy(
    lite: IfaApi, webhook_sink: WebhookSink, asked: dict[str, Any], remedy: str
) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    answer = lite.call("POST", SUBSCRIPTIONS, body={"callbackUri": webhook_sink.url("/cb"), "filter": asked})
    assert answer.status_code == 422
    assert remedy in answer.json["detail"]
    assert webhook_sink.at("/cb") == []


def test_a_caller_of_all_projects_may_subscribe_to_another_project(
    lite: IfaApi, webhook_sink: WebhookSink
) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    body = {"callbackUri": webhook_sink.url("/cb"), "filter": {"projectIds": ["project-b"]}}
    path = f"{SUBSCRIPTIONS}?all_projects=true"
    assert lite.call("POST", path, body=body, roles="admin").status_code == 201


def test_credentials_are_encrypted_and_never_returned(our_sqlite_url: str, webhook_sink: WebhookSink) -> None:
    opened = storage.connect(our_sqlite_url)
    webhook_sink.behave("/cb", statuses=[204])
    secret = {"authType": ["BASIC"], "paramsBasic": {"userName": "vim", "password": "s3cret"}}
    body = {"callbackUri": webhook_sink.url("/cb"), "authentication": secret}
    assert IfaApi(opened).call("POST", SUBSCRIPTIONS, body=body).status_code == 422
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    made = IfaApi(opened, credentials_key=key).call("POST", SUBSCRIPTIONS, body=body)
    assert made.status_code == 201
    assert "s3cret" not in made.text
    with opened.read() as connection:
        stored = connection.execute(sa.text("SELECT authentication FROM eventalarm_subscription")).scalar()
    assert stored
    assert "s3cret" not in stored
    assert webhook_sink.at("/cb")[-1].headers["Authorization"].startswith("Basic ")
    opened.dispose()


@pytest.mark.parametrize(
    ("uri", "detail", "logged"),
    [
        ("ftp://consumer/x", "absolute URI", ""),
        ("/relative", "absolute URI", ""),
        ("http://user:password@consumer/", "authentication", ""),
        ("http://127.0.0.1:9/x", "the test of the callback failed", "callback_deny_networks"),
        ("http://[::ffff:127.0.0.1]:9/x", "the test of the callback failed", "callback_deny_networks"),
        ("http://169.254.169.254/latest", "the test of the callback failed", "callback_deny_networks"),
        ("http://2130706433:9/x", "the test of the callback failed", "is not a valid URL"),
    ],
)
def test_28_denied_callbacks_are_refused(
    lite: IfaApi, uri: str, detail: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fenced = IfaApi(lite.database, callback_deny_networks=["127.0.0.0/8", "::1/128", "169.254.0.0/16"])
    answer = fenced.call("POST", SUBSCRIPTIONS, body={"callbackUri": uri})
    assert (answer.status_code, detail in answer.json["detail"]) == (422, True)
    # Refused before anything is sent, not after a timeout; the response does not reveal which.
    assert logged in caplog.text
    assert not logged or logged not in answer.text


def test_a_callback_must_answer_204_and_may_not_redirect(lite: IfaApi, webhook_sink: WebhookSink) -> None:
    for path, behaviour in (
        ("/ok", {"statuses": [200]}),
        ("/moved", {"statuses": [302], "headers": {"Location": webhook_sink.url("/good")}}),
        ("/broken", {"statuses": [500]}),
    ):
        webhook_sink.behave(path, **behaviour)
        answer = lite.call("POST", SUBSCRIPTIONS, body={"callbackUri": webhook_sink.url(path)})
        assert answer.status_code == 422
    assert webhook_sink.at("/good") == []


def test_a_project_has_a_bounded_number_of_subscriptions(lite: IfaApi) -> None:
    api = IfaApi(lite.database, max_subscriptions=2, test_callback=False)
    answers = [
        api.call("POST", SUBSCRIPTIONS, body={"callbackUri": f"http://consumer/{n}"}).status_code
        for n in range(3)
    ]
    assert answers == [201, 201, 403]
    assert PROJECT not in api.get(SUBSCRIPTIONS).text


def test_hung_callbacks_of_one_project_leave_the_tests_of_others_alone(
    our_sqlite_url: str, webhook_sink: WebhookSink
) -> None:
    """A quarter of the threads test callbacks, and a project may use half of the free ones: 2 of 16."""
    webhook_sink.behave("/well", statuses=[204])
    release = webhook_sink.hang("/hung")
    opened = storage.connect(our_sqlite_url)
    api = IfaApi(opened, threads=16, callback_timeout=60.0)

    def subscribe(project: str, path: str) -> int:
        body = {"callbackUri": webhook_sink.url(path)}
        return int(api.call("POST", SUBSCRIPTIONS, project=project, body=body).status_code)

    with concurrent.futures.ThreadPoolExecutor(40) as pool, contextlib.ExitStack() as stack:
        stack.callback(opened.dispose)
        stack.callback(release)
        asked = [pool.submit(subscribe, "greedy", "/hung") for _ in range(40)]
        # The others are asked to retry, and occupy no thread.
        wait_until(lambda: sum(one.done() for one in asked) == 38)
        assert [one.result() for one in asked if one.done()] == [503] * 38
        webhook_sink.wait(2)
        assert subscribe("project-b", "/well") == 201
        assert sum(one.done() for one in asked) == 38
        assert len(webhook_sink.at("/hung")) == 2
