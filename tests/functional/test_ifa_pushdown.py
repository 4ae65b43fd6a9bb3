"""Filters in the database: the first page holds the matches, however many alarms do not match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.ifa_shim.filters import ALARM_ATTRIBUTES, parse
from eventalarm.model import ALARM, UNKNOWN, object_alarm_id
from eventalarm.storage import database as storage
from tests.support.builders import event_body, rule
from tests.support.ifa_api import ADMIN, IfaApi

IFA = "/ifa/v1/alarms"
FAULTS = "/vnffm/v1/alarms"
PAGE = 10
MANY = 60
MERGE = {"Content-Type": "application/merge-patch+json"}
THRESHOLD = {"metric": "cpu_util", "resource_type": "instance"}


@pytest.fixture
def api(our_database_url: str) -> Iterator[IfaApi]:
    """Many alarms of servers, then one of each other kind, once on each engine."""
    opened = storage.connect(our_database_url)
    result = IfaApi(opened, page_size=PAGE, causes=["odd_?.* QOS_ALARM congestion"])
    kinds: list[tuple[str, dict[str, Any]]] = [("compute.instance.update", {})] * MANY
    kinds += [
        ("volume.create.error", {}),
        ("port.update.end", {}),
        ("compute.cpu.failure", {}),
        ("odd_1.x", {}),
        ("oddx1.x", {}),
        ("ODD_1.x", {}),
        ("unheard.of", {}),
        ("compute.instance.update", {"probable_cause": "fireDetected"}),
    ]
    events = []
    for number, (kind, traits) in enumerate(kinds):
        name = f"r-{number:03}"
        result.alarm(rule(event_type=kind, resource_id=name), severity="critical")
        events.append(event_body(kind, resource_id=name, **traits))
    result.alarm({"event_type": "no.object", "query": []})
    result.engine.process(*events, event_body("no.object"))
    kind = "gnocchi_resources_threshold"
    result.alarm(THRESHOLD | {"resource_id": "vm-t"}, "t-1", type=kind, state=ALARM)
    result.alarm(THRESHOLD | {"resource_id": "vm-u"}, "t-2", type=kind, state=ALARM)
    result.alarm({"query": "up == 0"}, "p-1", type="prometheus", state=UNKNOWN)
    (nameless,) = found(result, "(eq,faultType,no.object)")
    (port,) = found(result, "(eq,faultType,port.update.end)")
    for one in ("t-1", nameless, port):
        acknowledge(result, one)
    yield result
    opened.dispose()


def acknowledge(api: IfaApi, alarm_id: str) -> None:
    body = {"ackState": "ACKNOWLEDGED"}
    answer = api.call("PATCH", f"{FAULTS}/{alarm_id}", body=body, headers=MERGE)
    assert answer.status_code == 200, answer.text


def found(api: IfaApi, asked: str) -> set[str]:
    return {one["id"] for one in api.pages(FAULTS, filter=asked)}


def test_every_filter_finds_what_it_describes_on_its_first_page(api: IfaApi) -> None:
    everything = api.pages(FAULTS)
    ids = [one["id"] for one in everything]
    assert len(ids) == len(set(ids)) == MANY + 11
    for asked in (
        f"(eq,id,{ids[0]})",
        f"(eq,id,{ids[-1]})",
        f"(in,id,{ids[-1]},{ids[MANY]},{ids[0]},nope)",
        "(eq,id,nope)",
        "(eq,eventType,QOS_ALARM)",
        "(eq,eventType,EQUIPMENT_ALARM)",
        "(eq,eventType,ENVIRONMENTAL_ALARM)",
        "(in,eventType,EQUIPMENT_ALARM,COMMUNICATIONS_ALARM)",
        "(neq,eventType,PROCESSING_ERROR_ALARM)",
        "(eq,probableCause,fireDetected)",
        "(eq,probableCause,applicationSubsystemFailure)",
        "(cont,probableCause,threshold,processor)",
        "(eq,probableCause,nope)",
        "(eq,rootCauseFaultyResource/faultyResourceType,STORAGE)",
        "(eq,rootCauseFaultyResource/faultyResourceType,NETWORK)",
        "(eq,ackState,ACKNOWLEDGED)",
        "(neq,ackState,UNACKNOWLEDGED)",
        "(eq,faultType,port.update.end)",
        "(eq,faultType,aodh.gnocchi_resources_threshold.cpu_util)",
        f"(eq,id,{ids[0]});(eq,ackState,UNACKNOWLEDGED)",
    ):
        fits = parse(asked, ALARM_ATTRIBUTES)
        expected = sorted(one["id"] for one in everything if fits(one))
        first = api.get(FAULTS, filter=asked).json
        assert sorted(one["id"] for one in api.pages(FAULTS, filter=asked)) == expected, asked
        assert len(first) == min(PAGE, len(expected)), asked


def test_what_is_common_is_paged_in_full(api: IfaApi) -> None:
    everything = api.pages(FAULTS)
    for asked in (
        "(eq,eventType,PROCESSING_ERROR_ALARM)",
        "(neq,probableCause,processorProblem)",
        "(eq,rootCauseFaultyResource/faultyResourceType,COMPUTE)",
        "(eq,ackState,UNACKNOWLEDGED)",
    ):
        fits = parse(asked, ALARM_ATTRIBUTES)
        assert found(api, asked) == {one["id"] for one in everything if fits(one)}, asked


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({"fault_type": "port.*"}, {"port.update.end"}),
        ({"fault_type": ["odd_?.*", "unheard.of"]}, {"odd_1.x", "unheard.of"}),
        ({"fault_type": "[pv]o*"}, {"port.update.end", "volume.create.error"}),
        ({"resource_type": "STORAGE"}, {"volume.create.error"}),
    ],
)
def test_the_filters_of_ifa_005_are_answered_by_the_database(
    api: IfaApi, asked: dict[str, Any], kinds: set[str]
) -> None:
    assert {one["faultType"] for one in api.pages(IFA, **asked)} == kinds
    if "[" not in str(asked.get("fault_type")):
        assert len(api.get(IFA, order="oldest", **asked).json) == len(kinds)


def test_alarms_that_are_grouped_by_more_than_the_resource_are_found_by_the_resource(api: IfaApi) -> None:
    """Red when the database compares the managed object alone, which holds the group as a whole."""
    the_rule = {"event_type": ["guest.*"], "group_by": ["instance_id", "check"]}
    api.alarm(the_rule, "guests", type="notification")
    checks = [("vm-x", "agent"), ("vm-x", "disk"), ("vm-y", "agent")]
    events = [event_body("guest.heartbeat.missed", instance_id=vm, check=check) for vm, check in checks]
    api.engine.process(*events)
    handle = "rootCauseFaultyResource/faultyResource/resourceId"
    expected = {object_alarm_id("guests", f"vm-x/{check}") for check in ("agent", "disk")}
    for asked in ("(eq,managedObjectId,vm-x)", f"(eq,{handle},vm-x)", f"(in,{handle},vm-x,nope)"):
        first = api.get(FAULTS, filter=asked).json
        assert {one["id"] for one in first} == expected, asked
        assert {one["managedObjectId"] for one in first} == {"vm-x"}
    shown = api.get(IFA, managed_object=["vm-x", "vm-y"]).json
    components = {one for alarm in shown for one in alarm["faultDetails"] if one.startswith("component=")}
    assert (len(shown), components) == (3, {"component=agent", "component=disk"})
    (one,) = api.get(IFA, managed_object="vm-y").json
    assert [entry["kind"] for entry in api.get(f"{IFA}/{one['alarmId']}/history").json] == ["raised"]
    acknowledge(api, one["alarmId"])
    asked = "(eq,managedObjectId,vm-y);(eq,ackState,ACKNOWLEDGED)"
    assert found(api, asked) == {one["alarmId"]}


def test_alarms_of_one_fault_name_each_other_within_a_project_and_all_to_administrators(api: IfaApi) -> None:
    """The event of the host is the fault itself. Red when only alarms of the same event are correlated."""
    of_servers = {"event_type": ["compute.host.down"], "group_by": ["instance_id"]}
    of_host = {"event_type": ["compute.host.down"], "group_by": ["hostname"]}
    for project, the_rule in (("owner-1", of_servers), ("owner-2", of_servers), ("operators", of_host)):
        api.alarm(the_rule, project, type="notification", project_id=project)
    marks = {"fault_id": "f-1", "is_root_cause": "False"}
    host = event_body(
        "compute.host.down", project="operators", message_id="f-1", hostname="compute0", is_root_cause="True"
    )
    owned = [("owner-1", "vm-1"), ("owner-1", "vm-2"), ("owner-2", "vm-3")]
    fan_out = [
        event_body("compute.host.down", project=project, message_id=f"of {vm}", instance_id=vm, **marks)
        for project, vm in owned
    ]
    api.engine.process(host)
    api.engine.process(*fan_out)
    ids = {vm: object_alarm_id(project, vm) for project, vm in [*owned, ("operators", "compute0")]}

    def correlated(**how: Any) -> dict[str, tuple[bool, set[str]]]:
        shown = [one for one in api.pages(FAULTS, **how) if one["id"] in ids.values()]
        return {one["managedObjectId"]: (one["isRootCause"], set(one["correlatedAlarmIds"])) for one in shown}

    assert correlated(project="owner-1") == {"vm-1": (False, {ids["vm-2"]}), "vm-2": (False, {ids["vm-1"]})}
    assert correlated(project="owner-2") == {"vm-3": (False, set())}
    everyone = set(ids.values())
    expected = {name: (name == "compute0", everyone - {alarm_id}) for name, alarm_id in ids.items()}
    how: dict[str, Any] = {"project": "operators", "roles": ADMIN}
    assert correlated(all_projects="true", **how) == expected
    one = api.get(f"{FAULTS}/{ids['vm-1']}", project="owner-1").json
    assert one["correlatedAlarmIds"] == [ids["vm-2"]]
    one = api.get(f"{FAULTS}/{ids['vm-1']}", **how).json
    assert set(one["correlatedAlarmIds"]) == everyone - {ids["vm-1"]}
