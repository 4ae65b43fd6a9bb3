"""The policy rules of the ingest API and their defaults (oslo.policy)."""

from __future__ import annotations

from typing import Any, Final

from oslo_policy import policy

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

EVENTS_PATH: Final = "/v1/events"
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


def list_rules() -> list[Any]:
    """Return the rules, for oslopolicy-sample-generator and for our enforcer."""
    return [
        policy.DocumentedRuleDefault(
            name=INGEST,
            check_str="role:service or role:admin",
            description="Report events. Callers can thereby raise and clear the alarms of every project.",
            operations=[
                {"method": "POST", "path": path}
                for path in (EVENTS_PATH, ALERTMANAGER_PATH, ZABBIX_PATH, COLLECTD_PATH)
            ],
        ),
        policy.DocumentedRuleDefault(
            name=TEST_RULE,
            check_str="role:admin or (role:reader and project_id:%(project_id)s)",
            description="Test what an event would do to a rule, or to an alarm of the caller's project.",
            operations=[{"method": "POST", "path": TEST_PATH}],
        ),
        policy.DocumentedRuleDefault(
            name=MAINTENANCE_READ,
            check_str="role:admin or (role:reader and project_id:%(project_id)s)",
            description="Read the maintenance sessions that affect the caller's project.",
            operations=[{"method": "GET", "path": path} for path in (SESSIONS_PATH, SESSION_PATH)],
        ),
        policy.DocumentedRuleDefault(
            name=MAINTENANCE_ANSWER,
            check_str="role:admin or (role:member and project_id:%(project_id)s)",
            description="Answer a maintenance session for the caller's project.",
            operations=[{"method": "PUT", "path": ANSWER_PATH}],
        ),
        policy.DocumentedRuleDefault(
            name=MAINTENANCE_ALL,
            check_str="role:admin",
            description="Read and answer maintenance sessions of other projects (all_projects, project_id).",
            operations=[
                {"method": "GET", "path": SESSIONS_PATH},
                {"method": "GET", "path": SESSION_PATH},
                {"method": "PUT", "path": ANSWER_PATH},
            ],
        ),
        policy.DocumentedRuleDefault(
            name=HOST_MAINTENANCE,
            check_str="role:admin",
            description="Plan, begin, end and show the maintenance of a host. It inhibits alarms of every "
            "project.",
            operations=[{"method": method, "path": HOST_PATH} for method in ("GET", "PUT", "DELETE")],
        ),
        policy.DocumentedRuleDefault(
            name=SIGNING,
            check_str="(role:admin or role:member) and project_id:%(project_id)s",
            description="Create, rotate and show the secret that signs the webhooks of the caller's project.",
            operations=[
                {"method": "GET", "path": SIGNING_PATH},
                {"method": "POST", "path": SIGNING_PATH},
                {"method": "POST", "path": ROTATION_PATH},
            ],
        ),
        policy.DocumentedRuleDefault(
            name=DELIVERY_READ,
            check_str="role:admin or (role:reader and project_id:%(project_id)s)",
            description="Read the deliveries of the caller's project, their attempts and their destinations.",
            operations=[
                {"method": "GET", "path": path}
                for path in (DELIVERIES_PATH, DELIVERY_PATH, DESTINATIONS_PATH)
            ],
        ),
        policy.DocumentedRuleDefault(
            name=DELIVERY_SEND,
            check_str="role:admin or (role:member and project_id:%(project_id)s)",
            description="Retry and replay deliveries of the caller's project.",
            operations=[{"method": "POST", "path": path} for path in (RETRY_PATH, REPLAY_PATH)],
        ),
        policy.DocumentedRuleDefault(
            name=DELIVERY_ALL,
            check_str="role:admin",
            description="Read, retry and replay deliveries of other projects (all_projects, project_id).",
            operations=[
                {"method": "GET", "path": DELIVERIES_PATH},
                {"method": "GET", "path": DELIVERY_PATH},
                {"method": "GET", "path": DESTINATIONS_PATH},
                {"method": "POST", "path": RETRY_PATH},
                {"method": "POST", "path": REPLAY_PATH},
            ],
        ),
    ]
