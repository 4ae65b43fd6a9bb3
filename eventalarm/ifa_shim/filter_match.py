"""What a subscription wants to hear: its filter against one notification. Pure.

AND between the attributes of a filter, OR inside an attribute, no filter: everything (SOL003 clause 7.5.3.2).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity
from eventalarm.patterns import matches_glob


class NotificationType(enum.StrEnum):
    """SOL003's notifications."""

    ALARM = "AlarmNotification"
    CLEARED = "AlarmClearedNotification"
    REBUILT = "AlarmListRebuiltNotification"


NOBODY: Final = ("vnfdIds", "vnfProductsFromProviders", "vnfInstanceNames")


def unfit(asked: Mapping[str, Any], project_id: str | None) -> str:
    """Return why a subscription with the filter *asked* would never be told anything, or an empty text.

    *project_id* is the project whose alarms it hears of, None for all.
    """
    instances = asked.get("vnfInstanceSubscriptionFilter") or {}
    if named := [name for name in NOBODY if instances.get(name)]:
        return (
            f"filter/vnfInstanceSubscriptionFilter/{named[0]}: a VIM knows no VNF descriptors, products or "
            "names; give the ids of servers as vnfInstanceIds or resourceIds"
        )
    words = asked.get("perceivedSeverities")
    if words and set(words) == {Severity.CLEARED.value}:
        return (
            "filter/perceivedSeverities: an AlarmClearedNotification goes by the severities that the alarm "
            "had; leave CLEARED out, and ask for notificationTypes [AlarmClearedNotification]"
        )
    if not any(severe(asked, severity) for severity in Severity if severity is not Severity.CLEARED):
        return "filter/minSeverity: no severity that is asked for is worse; it is exceeded strictly"
    projects = asked.get("projectIds")
    if projects and project_id is not None and project_id not in projects:
        return "filter/projectIds: it hears of its own project only; leave it out, or ask for all_projects"
    return ""


def wants(
    asked: Mapping[str, Any],
    kind: NotificationType,
    alarm: IfaAlarm | None,
    told: Severity | None = None,
) -> bool:
    """Tell whether a subscription with the filter *asked* hears of this.

    *alarm* is None for a notification about the whole list. *told* is the severity that this subscriber was
    told last, None if it heard of the alarm never: who heard of a raise hears of its end, whatever the
    severity became meanwhile, and who did not does not.
    """
    kinds = asked.get("notificationTypes")
    if kinds and kind.value not in kinds:
        return False
    if alarm is None:
        return True
    if kind is NotificationType.CLEARED:
        return told is not None and _about(asked, alarm)
    return severe(asked, alarm.perceived_severity) and _about(asked, alarm)


def severe(asked: Mapping[str, Any], severity: Severity) -> bool:
    """Tell whether a subscription with the filter *asked* hears of faults of that severity."""
    words = asked.get("perceivedSeverities")
    least = asked.get("minSeverity")
    above = least is None or severity.rank > Severity(least).rank
    return above and (not words or severity.value in words)


def _about(asked: Mapping[str, Any], alarm: IfaAlarm) -> bool:
    resource = alarm.faulty_resource
    fault_types = asked.get("faultTypes")
    instances = asked.get("vnfInstanceSubscriptionFilter") or {}
    return (
        _among(asked.get("faultyResourceTypes"), resource.kind.value if resource is not None else None)
        and _among(asked.get("eventTypes"), alarm.event_type.value)
        and _among(asked.get("probableCauses"), alarm.probable_cause)
        and _among(asked.get("resourceIds"), alarm.managed_object_id)
        and _among(asked.get("projectIds"), alarm.project_id)
        and (not fault_types or any(matches_glob(alarm.fault_type, one) for one in fault_types))
        and _among(instances.get("vnfInstanceIds"), alarm.managed_object_id)
        # A VIM knows neither descriptors nor names of VNFs: who asks for some asks for nothing of ours.
        and not any(instances.get(name) for name in NOBODY)
    )


def _among(values: Any, value: str | None) -> bool:
    return not values or (value is not None and value in values)
