"""The filters of subscriptions against notifications, with their edge cases."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from eventalarm.ifa_shim import IfaAlarm, Severity, State, from_occurrence
from eventalarm.ifa_shim.filter_match import NotificationType, matches, why_never
from tests.unit.ifa_shim.parts import SERVER, alarm, evaluated, occurrence, shown, transition

RAISED = from_occurrence(occurrence(), [transition(instance_id=SERVER)], alarm())
OVER = dataclasses.replace(RAISED, state=State.CLEARED, perceived_severity=Severity.CLEARED)
UNRESOLVED = shown(alarm(type="prometheus", the_rule={"query": "up"}), evaluated("alarm", 1))


@pytest.mark.parametrize(
    ("asked", "one", "matched"),
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
def test_alarm_notifications(asked: dict[str, Any], one: IfaAlarm, matched: bool) -> None:
    assert matches(asked, NotificationType.ALARM, one) is matched


@pytest.mark.parametrize(("notified", "matched"), [(Severity.CRITICAL, True), (None, False)])
def test_15_the_clear_goes_to_those_notified_of_the_raise(notified: Severity | None, matched: bool) -> None:
    asked = {"perceivedSeverities": ["CRITICAL"]}
    lowered = dataclasses.replace(RAISED, perceived_severity=Severity.WARNING)
    assert not matches(asked, NotificationType.ALARM, lowered, notified)
    assert matches(asked, NotificationType.CLEARED, OVER, notified) is matched


def test_16_an_alarm_without_faulty_resource_fits_no_kind_of_resource() -> None:
    assert not matches({"faultyResourceTypes": ["COMPUTE"]}, NotificationType.ALARM, UNRESOLVED)


def test_a_rebuilt_list_concerns_all_who_want_to_know() -> None:
    rebuilt = NotificationType.REBUILT
    assert matches({"perceivedSeverities": ["CRITICAL"]}, rebuilt, None)
    assert not matches({"notificationTypes": ["AlarmNotification"]}, rebuilt, None)


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
    problem = why_never(asked, "own")
    assert bool(problem) == bool(remedy)
    assert remedy in problem


def test_a_subscription_to_all_projects_may_name_any() -> None:
    assert why_never({"projectIds": ["other"]}, None) == ""
