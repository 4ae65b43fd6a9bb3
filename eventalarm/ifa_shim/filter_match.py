"""The filter of a subscription against one notification (SOL003 clause 7.5.3.2). Pure.

AND between the attributes of a filter, OR inside an attribute; without a filter everything matches.
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


# Attributes of vnfInstanceSubscriptionFilter that a VIM does not know, so that they match no alarm.
UNKNOWN_TO_A_VIM: Final = ("vnfdIds", "vnfProductsFromProviders", "vnfInstanceNames")


def why_never(wanted: Mapping[str, Any], project_id: str | None) -> str:
    """Return why a subscription with the filter *wanted* would never match, or an empty text if it can.

    *project_id* is the project whose alarms it covers, None for all.
    """
    instances = wanted.get("vnfInstanceSubscriptionFilter") or {}
    if named := [name for name in UNKNOWN_TO_A_VIM if instances.get(name)]:
        return (
            f"filter/vnfInstanceSubscriptionFilter/{named[0]}: a VIM has no VNF descriptors, products or "
            "names; use the ids of servers in vnfInstanceIds or resourceIds"
        )
    severities = wanted.get("perceivedSeverities")
    if severities and set(severities) == {Severity.CLEARED.value}:
        return (
            "filter/perceivedSeverities: an AlarmClearedNotification is matched by the severities that the "
            "alarm had; leave CLEARED out, and use notificationTypes [AlarmClearedNotification]"
        )
    if not any(matches_severity(wanted, one) for one in Severity if one is not Severity.CLEARED):
        return "filter/minSeverity: must be strictly lower than at least one of the wanted severities"
    projects = wanted.get("projectIds")
    if projects and project_id is not None and project_id not in projects:
        return (
            "filter/projectIds: the subscription covers its own project only; leave this attribute out, or "
            "use all_projects"
        )
    return ""


def matches(
    wanted: Mapping[str, Any],
    kind: NotificationType,
    alarm: IfaAlarm | None,
    notified: Severity | None = None,
) -> bool:
    """Return True if a notification matches the filter *wanted* of a subscription.

    *alarm* is None for a notification about the whole list. *notified* is a severity of the alarm that this
    subscriber was notified of, None without any: a subscriber that was notified of a raise is notified of its
    clear, whatever the severity became meanwhile, and no other subscriber is.
    """
    kinds = wanted.get("notificationTypes")
    if kinds and kind.value not in kinds:
        return False
    if alarm is None:
        return True
    if kind is NotificationType.CLEARED:
        return notified is not None and _matches_alarm(wanted, alarm)
    return matches_severity(wanted, alarm.perceived_severity) and _matches_alarm(wanted, alarm)


def matches_severity(wanted: Mapping[str, Any], severity: Severity) -> bool:
    """Return True if the filter *wanted* includes faults of that severity; minSeverity must be exceeded."""
    severities = wanted.get("perceivedSeverities")
    least = wanted.get("minSeverity")
    above = least is None or severity.rank > Severity(least).rank
    return above and (not severities or severity.value in severities)


def _matches_alarm(wanted: Mapping[str, Any], alarm: IfaAlarm) -> bool:
    resource = alarm.faulty_resource
    fault_types = wanted.get("faultTypes")
    instances = wanted.get("vnfInstanceSubscriptionFilter") or {}
    return (
        _among(wanted.get("faultyResourceTypes"), resource.kind.value if resource is not None else None)
        and _among(wanted.get("eventTypes"), alarm.event_type.value)
        and _among(wanted.get("probableCauses"), alarm.probable_cause)
        and _among(wanted.get("resourceIds"), alarm.managed_object_id)
        and _among(wanted.get("projectIds"), alarm.project_id)
        and (not fault_types or any(matches_glob(alarm.fault_type, one) for one in fault_types))
        and _among(instances.get("vnfInstanceIds"), alarm.managed_object_id)
        and not any(instances.get(name) for name in UNKNOWN_TO_A_VIM)
    )


def _among(values: Any, value: str | None) -> bool:
    return not values or (value is not None and value in values)
