"""The policy rules of the ingest API and their defaults (oslo.policy)."""

from __future__ import annotations

from typing import Any, Final

from eventalarm.http.policies import ADMIN, MEMBER, MEMBER_OF_PROJECT, READER, SERVICE, rule

INGEST: Final = "eventalarm:ingest"
TEST_RULE: Final = "eventalarm:rules:test"
MAINTENANCE_READ: Final = "eventalarm:maintenance:read"
MAINTENANCE_ANSWER: Final = "eventalarm:maintenance:answer"
MAINTENANCE_ALL: Final = "eventalarm:maintenance:all_projects"
HOST_MAINTENANCE: Final = "eventalarm:hosts:maintenance"
SIGNING: Final = "eventalarm:secret"
DELIVERY_READ: Final = "eventalarm:deliveries:read"
DELIVERY_SEND: Final = "eventalarm:deliveries:send"
DELIVERY_ALL: Final = "eventalarm:deliveries:all_projects"
EVENT_READ: Final = "eventalarm:events:read"
EVENT_ALL: Final = "eventalarm:events:all_projects"
HANDLED: Final = "eventalarm:handled"
HEALTH_READ: Final = "eventalarm:health:read"
HEALTH_CHECK: Final = "eventalarm:health:check"
HEALTH_ALL: Final = "eventalarm:health:all_projects"

EVENTS_PATH: Final = "/v1/events"
EVENT_PATH: Final = "/v1/events/{event_id}"
EXPLAIN_PATH: Final = "/v1/events/{event_id}/explain"
ALERTMANAGER_PATH: Final = "/v1/alertmanager"
ZABBIX_PATH: Final = "/v1/zabbix"
COLLECTD_PATH: Final = "/v1/collectd"
TEST_PATH: Final = "/v1/rules/test"
SESSIONS_PATH: Final = "/v1/maintenance"
SESSION_PATH: Final = "/v1/maintenance/{session_id}"
ANSWER_PATH: Final = "/v1/maintenance/{session_id}/answer"
HOST_PATH: Final = "/v1/hosts/{host}/maintenance"
SIGNING_PATH: Final = "/v1/secret"
ROTATION_PATH: Final = "/v1/secret/rotate"
KEYS_PATH: Final = "/v1/keys"
DELIVERIES_PATH: Final = "/v1/deliveries"
DELIVERY_PATH: Final = "/v1/deliveries/{delivery_id}"
RETRY_PATH: Final = "/v1/deliveries/{delivery_id}/retry"
REPLAY_PATH: Final = "/v1/deliveries/replay"
DESTINATIONS_PATH: Final = "/v1/destinations"
ENABLING_PATH: Final = "/v1/destinations/enable"
PROFILES_PATH: Final = "/v1/profiles"
HANDLED_PATH: Final = "/v1/handled"
HEALTH_PATH: Final = "/v1/health"
HEALTH_CHECK_PATH: Final = "/v1/health/checks/{name}"

RULES: Final = (
    rule(
        INGEST,
        SERVICE,
        "Report events. Callers can thereby raise and clear the alarms of every project.",
        POST=(EVENTS_PATH, ALERTMANAGER_PATH, ZABBIX_PATH, COLLECTD_PATH),
    ),
    rule(
        TEST_RULE,
        READER,
        "Test what an event would do to a rule, or to an alarm of the caller's project.",
        POST=(TEST_PATH,),
    ),
    rule(
        MAINTENANCE_READ,
        READER,
        "Read the maintenance sessions that affect the caller's project.",
        GET=(SESSIONS_PATH, SESSION_PATH),
    ),
    rule(
        MAINTENANCE_ANSWER,
        MEMBER,
        "Answer a maintenance session for the caller's project.",
        PUT=(ANSWER_PATH,),
    ),
    rule(
        MAINTENANCE_ALL,
        ADMIN,
        "Read and answer maintenance sessions of other projects (all_projects, project_id).",
        GET=(SESSIONS_PATH, SESSION_PATH),
        PUT=(ANSWER_PATH,),
    ),
    rule(
        HOST_MAINTENANCE,
        ADMIN,
        "Plan, begin, end and show the maintenance of a host. It inhibits alarms of every project.",
        GET=(HOST_PATH,),
        PUT=(HOST_PATH,),
        DELETE=(HOST_PATH,),
    ),
    rule(
        SIGNING,
        MEMBER_OF_PROJECT,
        "Create, rotate and show the secret that signs the webhooks of the caller's project.",
        GET=(SIGNING_PATH,),
        POST=(SIGNING_PATH, ROTATION_PATH),
    ),
    rule(
        DELIVERY_READ,
        READER,
        "Read the deliveries of the caller's project, their attempts, profiles and destinations.",
        GET=(DELIVERIES_PATH, DELIVERY_PATH, DESTINATIONS_PATH, PROFILES_PATH),
    ),
    rule(
        DELIVERY_SEND,
        MEMBER,
        "Retry and replay deliveries of the caller's project, and enable its destinations.",
        POST=(RETRY_PATH, REPLAY_PATH, ENABLING_PATH),
    ),
    rule(
        DELIVERY_ALL,
        ADMIN,
        "Read, retry and replay deliveries of other projects, and enable their destinations (all_projects, "
        "project_id).",
        GET=(DELIVERIES_PATH, DELIVERY_PATH, DESTINATIONS_PATH, PROFILES_PATH),
        POST=(RETRY_PATH, REPLAY_PATH, ENABLING_PATH),
    ),
    rule(
        HANDLED,
        MEMBER,
        "Add what a consumer did to the profile of a delivery of the caller's project. A request that is "
        "signed with the secret of the project needs no token.",
        POST=(HANDLED_PATH,),
    ),
    rule(
        EVENT_READ,
        READER,
        "Read the recorded events of the caller's project, and what they did to its alarms.",
        GET=(EVENTS_PATH, EVENT_PATH, EXPLAIN_PATH),
    ),
    rule(
        EVENT_ALL,
        ADMIN,
        "Read recorded events of other projects (all_projects, project_id).",
        GET=(EVENTS_PATH, EVENT_PATH, EXPLAIN_PATH),
    ),
    rule(
        HEALTH_READ,
        READER,
        "Read what the health checks of the cloud found in the caller's project.",
        GET=(HEALTH_PATH,),
    ),
    rule(
        HEALTH_CHECK,
        MEMBER,
        "Run a health check of the cloud with the caller's own token.",
        POST=(HEALTH_CHECK_PATH,),
    ),
    rule(
        HEALTH_ALL,
        ADMIN,
        "Read what the health checks found in the infrastructure and in all projects, with the hosts.",
        GET=(HEALTH_PATH,),
    ),
)


def list_rules() -> list[Any]:
    """Return the rules, for oslopolicy-sample-generator; those of the personas are with the IFA API's."""
    return list(RULES)
