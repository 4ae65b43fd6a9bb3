"""The IFA API: filters, attribute selectors and paging."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import ALARM, OK, UTC
from eventalarm.storage import database as storage
from tests.support.ifa_api import (
    FAULTS,
    HISTORY,
    HOUR,
    IFA,
    MERGE,
    NOW,
    RESOURCES,
    IfaApi,
    bound,
    fault,
    ids,
    threshold,
)


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
    answer = lite.get(f"{IFA}?{query}")
    assert answer.status_code == 400
    assert answer.json["detail"].startswith(f"{query.partition('=')[0]} must be ")


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

    def cost(path: str = FAULTS) -> int:
        counted.clear()
        assert api.get(path).status_code == 200
        return len(counted)

    sa.event.listen(opened.engine, "before_cursor_execute", count)
    cost()
    api.alarm(bound("vm"))
    api.engine.process(fault("vm"))
    threshold(api, "t", ALARM)
    few, history, resources = cost(), cost(HISTORY), cost(RESOURCES)
    for number in range(49):
        api.alarm(bound(f"vm-{number}"))
        threshold(api, f"t-{number}", ALARM)
    api.engine.process(*(fault(f"vm-{number}") for number in range(49)))
    assert len(api.get(FAULTS).json) == 100
    assert cost() <= few
    assert few <= 16
    assert len(api.get(HISTORY).json) == 50
    assert cost(HISTORY) == history <= 7
    assert len(api.get(RESOURCES).json) == 100
    assert cost(RESOURCES) <= resources <= 30
