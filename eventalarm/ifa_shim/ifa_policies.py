"""The oslo.policy rules of the IFA API and their defaults."""

from __future__ import annotations

from typing import Any, Final

from oslo_policy import policy

LIST: Final = "ifa:alarms:list"
SHOW: Final = "ifa:alarms:show"
HISTORY: Final = "ifa:alarms:history"
RESOURCES: Final = "ifa:resources:show"
PHYSICAL_RESOURCES: Final = "ifa:physical_resources:show"
FAULT_TYPES: Final = "ifa:fault_types:list"
ACKNOWLEDGE: Final = "ifa:alarms:acknowledge"
ALL_PROJECTS: Final = "ifa:alarms:all_projects"
SUBSCRIBE: Final = "ifa:subscriptions:create"
SHOW_SUBSCRIPTIONS: Final = "ifa:subscriptions:show"
UNSUBSCRIBE: Final = "ifa:subscriptions:delete"
SUBSCRIBE_ALL_PROJECTS: Final = "ifa:subscriptions:all_projects"

READER: Final = "role:admin or (role:reader and project_id:%(project_id)s)"
MEMBER: Final = "role:admin or (role:member and project_id:%(project_id)s)"
ADMIN: Final = "role:admin"

ALARMS: Final = ("/ifa/v1/alarms", "/vnffm/v1/alarms")
SUBSCRIPTIONS: Final = "/vnffm/v1/subscriptions"


def _rule(name: str, default: str, what: str, *operations: tuple[str, str]) -> policy.DocumentedRuleDefault:
    listed: Any = [{"method": method, "path": path} for method, path in operations]
    return policy.DocumentedRuleDefault(name=name, check_str=default, description=what, operations=listed)


def list_rules() -> list[Any]:
    """Return the rules, for oslopolicy-sample-generator and for our enforcer."""
    one = [f"{path}/{{alarmId}}" for path in ALARMS]
    history = f"{one[0]}/history"
    resources = ("/ifa/v1/resources", "/ifa/v1/resources/{managedObjectId}")
    hosts = "/ifa/v1/physical-resources"
    subscription = f"{SUBSCRIPTIONS}/{{subscriptionId}}"
    return [
        _rule(LIST, READER, "List the alarms of the caller's project.", *(("GET", path) for path in ALARMS)),
        _rule(SHOW, READER, "Read one alarm.", *(("GET", path) for path in one)),
        _rule(
            HISTORY,
            READER,
            "Read the history of an alarm, and of all alarms of the caller's project.",
            ("GET", history),
            ("GET", "/ifa/v1/history"),
        ),
        _rule(
            RESOURCES,
            READER,
            "Read the states of the resources on which alarms of the caller's project are raised.",
            *(("GET", path) for path in resources),
        ),
        _rule(
            PHYSICAL_RESOURCES,
            ADMIN,
            "Read the states of the hosts of the cloud.",
            *(("GET", path) for path in (hosts, f"{hosts}/{{host}}")),
        ),
        _rule(FAULT_TYPES, READER, "Read the dictionary of alarms.", ("GET", "/ifa/v1/fault-types")),
        _rule(ACKNOWLEDGE, MEMBER, "Acknowledge or unacknowledge an alarm.", ("PATCH", one[1])),
        _rule(
            ALL_PROJECTS,
            ADMIN,
            "List the alarms of all projects with ?all_projects=true, and access any alarm by its id.",
            *(("GET", path) for path in [*ALARMS, *one, history, "/ifa/v1/history", *resources]),
            ("PATCH", one[1]),
        ),
        _rule(SUBSCRIBE, MEMBER, "Subscribe to notifications of alarms.", ("POST", SUBSCRIPTIONS)),
        _rule(
            SHOW_SUBSCRIPTIONS,
            READER,
            "Read the subscriptions of the caller's project.",
            ("GET", SUBSCRIPTIONS),
            ("GET", subscription),
        ),
        _rule(UNSUBSCRIBE, MEMBER, "Delete a subscription.", ("DELETE", subscription)),
        _rule(
            SUBSCRIBE_ALL_PROJECTS,
            ADMIN,
            "Subscribe to the alarms of all projects with ?all_projects=true, and access the subscriptions "
            "of any project.",
            ("POST", SUBSCRIPTIONS),
            ("GET", SUBSCRIPTIONS),
            ("GET", subscription),
            ("DELETE", subscription),
        ),
    ]
