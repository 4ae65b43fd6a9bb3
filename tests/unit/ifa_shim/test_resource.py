"""Which resource an alarm is about, and which component of it, by rule, event and fault catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.resource import component_of, resource_of
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Event, object_alarm_id
from tests.support.builders import event_body
from tests.unit.ifa_shim.parts import alarm, details, occurrence, transition

SETTINGS = Settings()
GUEST: dict[str, Any] = {
    "event_type": "guest.heartbeat.missed",
    "instance_id": "vm-1",
    "check": "guest-agent",
}


@pytest.mark.parametrize(
    ("group", "managed_object", "event", "resource", "component"),
    [
        (["instance_id", "check"], "vm-1/guest-agent", GUEST, "vm-1", "guest-agent"),
        (["check", "instance_id"], "guest-agent/vm-1", GUEST, "vm-1", "guest-agent"),
        (["check"], "guest-agent", GUEST, "vm-1", "guest-agent"),
        (["instance_id"], "vm-1", GUEST, "vm-1", ""),
        (["hostname"], "compute0", GUEST | {"hostname": "compute0"}, "compute0", ""),
        (["instance_id", "path"], "vm-1/a%2Fb", GUEST | {"path": "a/b"}, "vm-1", "a/b"),
        (
            ["event_type", "hostname", "switch", "component"],
            "hardware.cpu.failure/compute0//CPU0",
            {"event_type": "hardware.cpu.failure", "hostname": "compute0", "component": "CPU0"},
            "compute0",
            "hardware.cpu.failure/CPU0",
        ),
        ([], "", {"event_type": "network.switch.failure", "switch": "tor-1"}, "tor-1", ""),
        ([], "vm-1", GUEST | {"resource_id": "other"}, "vm-1", ""),
        (["colour"], "red", {"event_type": "crate.fallen", "colour": "red"}, "", ""),
    ],
)
def test_the_resource_and_its_component(
    group: list[str], managed_object: str, event: dict[str, Any], resource: str, component: str
) -> None:
    the_rule = {"group_by": group} if group else {}
    named = dict(event)
    found = Event(event_body(named.pop("event_type"), **named))
    assert resource_of(the_rule, managed_object, found, SETTINGS) == resource
    if managed_object:
        assert component_of(the_rule, managed_object, resource) == component


def test_the_absence_of_a_group_is_about_the_resource_that_the_rule_groups_by() -> None:
    """The event of a timer carries the managed object as a whole."""
    the_rule = {"event_type": ["guest.heartbeat"], "group_by": ["instance_id", "check"]}
    fired = Event(event_body("eventalarm.timer.absence", resource_id="vm-1/guest-agent"))
    assert resource_of(the_rule, "vm-1/guest-agent", fired, SETTINGS) == "vm-1"


def test_the_alarm_names_the_resource_and_keeps_the_id_of_the_pair() -> None:
    the_rule = {"event_type": ["guest.*"], "group_by": ["instance_id", "check"]}
    row = alarm(the_rule=the_rule, type="notification")
    found = from_occurrence(occurrence("vm-1/guest-agent"), [transition(**GUEST)], row)
    assert found.managed_object_id == "vm-1"
    assert found.alarm_id == object_alarm_id("alarm-1", "vm-1/guest-agent")
    assert found.faulty_resource is not None
    assert (found.faulty_resource.resource_id, found.faulty_resource.kind) == ("vm-1", "COMPUTE")
    assert details(found)["component"] == "guest-agent"


def test_the_resource_of_a_deleted_alarm_is_the_recorded_one() -> None:
    found = from_occurrence(
        occurrence("vm-1/guest-agent", resource_id="vm-1"), [transition(**GUEST)], alarm=None
    )
    assert (found.managed_object_id, details(found)["component"]) == ("vm-1", "guest-agent")
