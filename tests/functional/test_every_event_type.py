"""Every event type of our definitions, from the service's notification to the alarm that an NFVO reads.

Each row of ``tests/data/events-to-alarms.yaml`` goes through Ceilometer's own converter with our definitions,
the evaluator with the rule of a page (or one for each resource), and the IFA API.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from eventalarm.catalogue import event_definitions
from eventalarm.owner import event_types
from eventalarm.patterns import matches_glob
from eventalarm.storage import database as storage
from tests.functional.test_event_definitions_neutron import NEUTRON, of_neutron
from tests.support.cloud import ROOT
from tests.support.definitions import Converter
from tests.support.engine_harness import EngineHarness, create_schemas
from tests.support.ifa_api import IfaApi
from tests.support.scenarios import PAGES, blocks

Row = dict[str, Any]
ROWS: list[Row] = yaml.safe_load((ROOT / "tests/data/events-to-alarms.yaml").read_text())
TYPES = [
    kind
    for path in event_definitions.fragments([])
    for definition in event_definitions.read(path)
    for kind in event_types(definition)
]
RULES = {page.stem: json.loads(blocks(page)["rule.json"]) for page in PAGES.glob("*.rst")}
NUMBERS = itertools.count(1)

BROKEN = ["COMMUNICATIONS_ALARM", "communicationsSubsystemFailure", "NETWORK"]
CHANGED = ["PROCESSING_ERROR_ALARM", "configurationOrCustomizationError", "NETWORK"]
NAMED = {
    "port": [*BROKEN, "OS::Neutron::Port"],
    "network": [*BROKEN, "OS::Neutron::Net"],
    "router": [*BROKEN, "OS::Neutron::Router"],
    "floatingip": [*BROKEN, "OS::Neutron::FloatingIP"],
    "subnet": [*CHANGED, "OS::Neutron::Subnet"],
    **dict.fromkeys(("subnetpool", "address_scope", "address_group", "metering_label", "log"), CHANGED),
    **dict.fromkeys(("security_group", "security_group_rule", "policy", "rbac_policy"), CHANGED),
}


def of_every_resource_of_neutron() -> Iterator[Row]:
    for name, plural in NEUTRON.items():
        alarm = NAMED.get(name, BROKEN)
        forms = of_neutron(name, plural, "tenant")
        for event in (f"{name}.update.start", f"{name}.update.end", f"{name}.exists"):
            if event in forms:
                yield {"event": event, "payload": forms[event], "object": "r-1", "alarm": alarm}


ALL = [*ROWS, *of_every_resource_of_neutron()]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IfaApi]:
    database = storage.connect(f"sqlite:///{tmp_path_factory.mktemp('database') / 'alarms.sqlite'}")
    create_schemas(database)
    yield IfaApi(database)
    database.dispose()


def notification_of(row: Row, project: str) -> dict[str, Any]:
    payload = json.dumps(row["payload"]).replace('"tenant"', json.dumps(project))
    return {
        "event_type": row["event"],
        "payload": json.loads(payload),
        "publisher_id": row.get("publisher", "service.host0"),
        "message_id": f"message of {project}",
        "timestamp": "2026-11-20 23:01:36.223555",
        "ctxt": {"project_id": "operators" if "infrastructure" in row else project},
    }


def attributes_of(row: Row) -> dict[str, Any]:
    event_type, cause, *resource = row["alarm"]
    expected: dict[str, Any] = {
        "managedObjectId": row["object"],
        "ackState": "UNACKNOWLEDGED",
        "perceivedSeverity": "CRITICAL",
        "eventTime": "2026-11-20T23:01:36.223555Z",
        "eventType": event_type,
        "faultType": row.get("fault_type", row["event"]),
        "probableCause": cause,
        "isRootCause": row.get("root_cause", False),
        "correlatedAlarmIds": [],
    }
    if resource:
        handle = {"resourceId": row["object"]}
        if len(resource) > 1:
            handle["vimLevelResourceType"] = resource[1]
        expected["rootCauseFaultyResource"] = {"faultyResource": handle, "faultyResourceType": resource[0]}
    return expected


@pytest.mark.parametrize(
    "row", ALL, ids=lambda row: f"{row['event']}-{row.get('fault_type', row['alarm'][1])}"
)
def test_an_event_becomes_the_right_alarm(row: Row, converter: Converter, api: IfaApi) -> None:
    """Red for most rows when the shim does not read the fault catalogue."""
    project = f"project-{next(NUMBERS)}"
    by_resource = {"event_type": row["event"], "group_by": ["resource_id"]}
    alarm_id = api.alarm(
        RULES[row["page"]] if "page" in row else by_resource,
        f"alarm of {project}",
        type="notification",
        severity="critical",
        state="insufficient data",
        project_id=project,
    )
    infrastructure = [project] if "infrastructure" in row else []
    EngineHarness(api.database, infrastructure_projects=infrastructure).process(
        converter.event(notification_of(row, project))
    )

    (shown,) = api.pages("/vnffm/v1/alarms", project=project)
    details = dict(one.partition("=")[::2] for one in shown.pop("faultDetails"))
    expected = attributes_of(row)
    assert {name: shown.get(name) for name in expected} == expected
    assert set(shown) - set(expected) == {"id", "alarmRaisedTime", "_links"}
    assert (details["aodh.alarm_id"], details["event.message_id"]) == (alarm_id, f"message of {project}")
    assert details.get("component", "") == row.get("component", "")
    assert details["proposedAction"]
    assert row.get("details", {}).items() <= details.items()


def test_every_event_type_of_the_definitions_is_in_the_table() -> None:
    missing = [kind for kind in TYPES if not any(matches_glob(row["event"], kind) for row in ALL)]
    assert missing == []
    assert len(TYPES) > 120


def test_every_page_has_a_row() -> None:
    assert {row["page"] for row in ROWS if "page" in row} == set(RULES)
