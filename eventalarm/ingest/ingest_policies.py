"""The policy rules of the ingest API and their defaults (oslo.policy)."""

from __future__ import annotations

from typing import Any, Final

from oslo_policy import policy

INGEST: Final = "eventalarm:ingest"
TEST_RULE: Final = "eventalarm:rules:test"

EVENTS_PATH: Final = "/v1/events"
ALERTMANAGER_PATH: Final = "/v1/alertmanager"
ZABBIX_PATH: Final = "/v1/zabbix"
COLLECTD_PATH: Final = "/v1/collectd"
TEST_PATH: Final = "/v1/rules/test"


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
    ]
