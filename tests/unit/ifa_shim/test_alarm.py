"""An alarm as text is the same alarm again."""

import dataclasses
import datetime

import pytest

from eventalarm.ifa_shim import alarm as alarm_module
from eventalarm.ifa_shim.alarm import FaultyResource, IfaAlarm, Severity, State
from eventalarm.model import UTC
from eventalarm.x733 import EventType, FaultyResourceType

AT = datetime.datetime(2026, 5, 1, 12, 0, 0, 7, tzinfo=UTC)
ALARM = IfaAlarm(
    alarm_id="a",
    managed_object_id="vm",
    raised_time=AT,
    changed_time=None,
    cleared_time=None,
    state=State.FIRED,
    perceived_severity=Severity.MAJOR,
    event_time=AT,
    event_type=EventType.QOS,
    fault_type="café",
    probable_cause="c",
    is_root_cause=True,
    correlated_alarm_ids=("b",),
    fault_details=("k=v",),
    faulty_resource=FaultyResource("vm", FaultyResourceType.COMPUTE, "OS::Nova::Server"),
    aodh_alarm_id="a",
    project_id="p",
    occurrence_id="o",
)


@pytest.mark.parametrize(
    "alarm", [ALARM, dataclasses.replace(ALARM, faulty_resource=None, changed_time=AT, acknowledged_time=AT)]
)
def test_an_alarm_is_restored_from_its_text(alarm: IfaAlarm) -> None:
    assert alarm_module.from_json(alarm_module.to_json(alarm)) == alarm
