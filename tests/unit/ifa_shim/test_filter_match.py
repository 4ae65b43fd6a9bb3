"""What a subscription hears of: the filter against notifications, with the edge cases that are about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from eventalarm.ifa_shim import IfaAlarm, Severity, State, from_occurrence
from eventalarm.ifa_shim.filter_match import NotificationType, unfit, wants
from tests.unit.ifa_shim.parts import SERVER, alarm, evaluated, occurrence, shown, step

RAISED = from_occurrence(occurrence(), [step(instance_id=SERVER)], alarm())
OVER = dataclasses.replace(RAISED, state=State.CLEARED, perceived_severity=Severity.CLEARED)
UNRESOLVED = shown(alarm(type="prometheus", the_rule={"query": "up"}), evaluated("alarm", 1))


@pytest.mark.parametrize(
    ("asked", "one", "heard"),
    [
        ({}, RAISED, True),
        ({"perceivedSeverities": ["CRITICAL"]}, RAISED, True),
        ({"perceivedSeverities": ["MINOR", "MAJOR"]}, RAISED, False),
        ({"minSeverity": "MAJOR"}, RAISED, True),
        ({"minSeverity": "CRITICAL"}, RAISED, False),
        ({"faultyResourceTypes": ["STORAGE", "COMPUTE"]}, RAISED, True),
        ({"faultyResourceTypes": ["STORAGE"]}, RAISED, False),
        ({"eventTypes": ["PROCESSING_ERROR_ALARM"], "probableCauses": ["x"]}, RAISED, False),
        ({"eventTypes": ["PROCESSING_ERROR_ALARM"]}, RAISED, True),
        ({"resourceIds": [SERVER]}, RAISED, True),
        ({"resourceIds": ["other"]}, RAISED, False),
        ({"projectIds": ["other"]}, RAISED, False),
        ({"faultTypes": ["volume.*", "compute.*"]}, RAISED, True),
        ({"faultTypes": ["volume.*"]}, RAISED, False),
        ({"notificationTypes": ["AlarmClearedNotification"]}, RAISED, False),
        ({"vnfInstanceSubscriptionFilter": {"vnfInstanceIds": [SERVER]}}, RAISED, True),
        ({"vnfInstanceSubscriptionFilter": {"vnfdIds": ["vnfd"]}}, RAISED, False),
        ({}, UNRESOLVED, True),
    ],
)
def test_alarm_notifications(asked: dict[str, Any], one: IfaAlarm, heard: bool) -> None:
    assert wants(asked, NotificationType.ALARM, one) is heard


@pytest.mark.parametrize(("told", "heard"), [(Severity.CRITICAL, True), (None, False)])
def test_15_who_heard_of_the_raise_hears_of_the_end(told: Severity | None, heard: bool) -> None:
    asked = {"perceivedSeverities": ["CRITICAL"]}
    lowered = dataclasses.replace(RAISED, perceived_severity=Severity.WARNING)
    assert not wants(asked, NotificationType.ALARM, lowered, told)
    assert wants(asked, NotificationType.CLEARED, OVER, told) is heard


def test_16_an_alarm_without_faulty_resource_fits_no_kind_of_resource() -> None:
    assert not wants({"faultyResourceTypes": ["COMPUTE"]}, NotificationType.ALARM, UNRESOLVED)


def test_a_rebuilt_list_concerns_all_who_want_to_know() -> None:
    rebuilt = NotificationType.REBUILT
    assert wants({"perceivedSeverities": ["CRITICAL"]}, rebuilt, None)
    assert not wants({"notificationTypes": ["AlarmNotification"]}, rebuilt, None)


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"vnfInstanceSubscriptionFilter": {"vnfdIds": ["x"]}}, "resourceIds"),
        ({"vnfInstanceSubscriptionFilter": {"vnfInstanceNames": ["x"]}}, "resourceIds"),
        ({"vnfInstanceSubscriptionFilter": {"vnfProductsFromProviders": [{"vnfProvider": "x"}]}}, "vnfInst"),
        ({"perceivedSeverities": ["CLEARED"]}, "notificationTypes"),
        ({"minSeverity": "CRITICAL"}, "strictly"),
        ({"minSeverity": "MAJOR", "perceivedSeverities": ["MINOR"]}, "minSeverity"),
        ({"projectIds": ["other"]}, "all_projects"),
        ({"perceivedSeverities": ["CRITICAL", "CLEARED"], "minSeverity": "MAJOR"}, ""),
        ({"vnfInstanceSubscriptionFilter": {"vnfInstanceIds": ["x"], "vnfdIds": []}}, ""),
        ({"projectIds": ["other", "own"]}, ""),
        ({}, ""),
    ],
)
def test_a_filter_that_nothing_can_fit_is_named_with_the_remedy(asked: dict[str, Any], remedy: str) -> None:
    problem = unfit(asked, "own")
    assert bool(problem) == bool(remedy)
    assert remedy in problem


def test_who_hears_of_all_projects_may_name_any() -> None:
    assert unfit({"projectIds": ["other"]}, None) == ""
