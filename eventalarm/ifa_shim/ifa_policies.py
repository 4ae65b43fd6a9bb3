"""The oslo.policy rules of the IFA API and their defaults."""

from __future__ import annotations

from typing import Any, Final

from eventalarm.http.policies import ADMIN, MEMBER, PERSONAS, READER, rule

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

ALARMS: Final = ("/ifa/v1/alarms", "/vnffm/v1/alarms")
SUBSCRIPTIONS: Final = "/vnffm/v1/subscriptions"
ALARM: Final = tuple(f"{path}/{{alarmId}}" for path in ALARMS)
ALARM_HISTORY: Final = f"{ALARM[0]}/history"
ALL_HISTORY: Final = "/ifa/v1/history"
RESOURCE_PATHS: Final = ("/ifa/v1/resources", "/ifa/v1/resources/{managedObjectId}")
HOST_PATHS: Final = ("/ifa/v1/physical-resources", "/ifa/v1/physical-resources/{host}")
SUBSCRIPTION: Final = f"{SUBSCRIPTIONS}/{{subscriptionId}}"

RULES: Final = (
    rule(LIST, READER, "List the alarms of the caller's project.", GET=ALARMS),
    rule(SHOW, READER, "Read one alarm.", GET=ALARM),
    rule(
        HISTORY,
        READER,
        "Read the history of an alarm, and of all alarms of the caller's project.",
        GET=(ALARM_HISTORY, ALL_HISTORY),
    ),
    rule(
        RESOURCES,
        READER,
        "Read the states of the resources on which alarms of the caller's project are raised.",
        GET=RESOURCE_PATHS,
    ),
    rule(PHYSICAL_RESOURCES, ADMIN, "Read the states of the hosts of the cloud.", GET=HOST_PATHS),
    rule(FAULT_TYPES, READER, "Read the dictionary of alarms.", GET=("/ifa/v1/fault-types",)),
    rule(ACKNOWLEDGE, MEMBER, "Acknowledge or unacknowledge an alarm.", PATCH=ALARM[1:]),
    rule(
        ALL_PROJECTS,
        ADMIN,
        "List the alarms of all projects with ?all_projects=true, and access any alarm by its id.",
        GET=(*ALARMS, *ALARM, ALARM_HISTORY, ALL_HISTORY, *RESOURCE_PATHS),
        PATCH=ALARM[1:],
    ),
    rule(SUBSCRIBE, MEMBER, "Subscribe to notifications of alarms.", POST=(SUBSCRIPTIONS,)),
    rule(
        SHOW_SUBSCRIPTIONS,
        READER,
        "Read the subscriptions of the caller's project.",
        GET=(SUBSCRIPTIONS, SUBSCRIPTION),
    ),
    rule(UNSUBSCRIBE, MEMBER, "Delete a subscription.", DELETE=(SUBSCRIPTION,)),
    rule(
        SUBSCRIBE_ALL_PROJECTS,
        ADMIN,
        "Subscribe to the alarms of all projects with ?all_projects=true, and access the subscriptions "
        "of any project.",
        POST=(SUBSCRIPTIONS,),
        GET=(SUBSCRIPTIONS, SUBSCRIPTION),
        DELETE=(SUBSCRIPTION,),
    ),
)


def list_rules() -> list[Any]:
    """Return the rules and those of the personas, which both APIs have, for oslopolicy-sample-generator."""
    return [*PERSONAS, *RULES]
