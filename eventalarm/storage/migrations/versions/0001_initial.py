"""Initial schema: our tables, and three indexes on Aodh's ``alarm`` table.

The indexes on Aodh's table change nothing for Aodh, and dropping them costs speed only:
``eventalarm_ix_alarm_timestamp`` makes "which definitions changed since" a short range instead of a scan for
every batch of events; ``eventalarm_ix_alarm_project_state`` and ``eventalarm_ix_alarm_state`` do the same for
"what is in alarm" in the IFA API.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from eventalarm.storage.migrations import steps

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ID = sa.String(36)
ALARM_ID = sa.String(128)
KEY = sa.String(255)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create what does not exist yet."""
    steps.create_index_online("eventalarm_ix_alarm_timestamp", "alarm", "timestamp")
    steps.create_index_online("eventalarm_ix_alarm_project_state", "alarm", "project_id", "state", "alarm_id")
    steps.create_index_online("eventalarm_ix_alarm_state", "alarm", "state", "alarm_id")
    _create_occurrence()
    _create_alarm_count()
    _create_suspect()
    _create_event()
    _create_transition()
    _create_delivery()
    _create_worker()
    _create_timer()
    _create_acknowledgement()
    _create_subscription()
    _create_notification_log()
    _create_leader_lease()
    _create_resource()
    _create_infrastructure_fault()
    _create_affected()
    _create_policy_match()


def _create_occurrence() -> None:
    name = "eventalarm_occurrence"
    steps.create_table(
        name,
        sa.Column("occurrence_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("managed_object", KEY, nullable=False),
        sa.Column("latest", sa.Boolean),
        sa.Column("raised", sa.Boolean, nullable=False),
        sa.Column("event_time", MOMENT, nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT),
        sa.Column("cleared_at", MOMENT),
        sa.Column("hits", sa.Integer, nullable=False),
        sa.Column("severity", sa.String(16)),
        sa.Column("object_id", ID),
        sa.UniqueConstraint("alarm_id", "managed_object", "latest", name="uq_eventalarm_occurrence_latest"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_occurrence_raised", name, "alarm_id", "raised")
    steps.create_index("ix_eventalarm_occurrence_cleared", name, "cleared_at")
    steps.create_index("ix_eventalarm_occurrence_object_id", name, "object_id")
    steps.create_index("ix_eventalarm_occurrence_object", name, "managed_object")
    steps.create_index("ix_eventalarm_occurrence_project", name, "project_id", "raised", "raised_at")
    steps.create_index("ix_eventalarm_occurrence_all", name, "raised", "raised_at")


def _create_alarm_count() -> None:
    steps.create_table(
        "eventalarm_alarm_count",
        sa.Column("alarm_id", ALARM_ID, primary_key=True),
        sa.Column("raised", sa.Integer, nullable=False),
        sa.Column("is_full", sa.Boolean, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("awaited", sa.Integer, nullable=False),
        sa.Column("is_full_awaited", sa.Boolean, nullable=False),
        **OPTIONS,
    )


def _create_suspect() -> None:
    steps.create_table(
        "eventalarm_suspect",
        sa.Column("message_id", KEY, primary_key=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("tried_at", MOMENT, nullable=False),
        **OPTIONS,
    )


def _create_event() -> None:
    name = "eventalarm_event"
    steps.create_table(
        name,
        sa.Column("event_id", ID, primary_key=True),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_event_recorded", name, "recorded_at")


def _create_transition() -> None:
    name = "eventalarm_transition"
    steps.create_table(
        name,
        sa.Column("transition_id", ID, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("occurrence_id", ID, nullable=False),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("managed_object", KEY, nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("alarm_name", sa.Text),
        sa.Column("severity", sa.String(50)),
        sa.Column("previous", sa.String(32), nullable=False),
        sa.Column("current", sa.String(32), nullable=False),
        sa.Column("reason", LONG_TEXT, nullable=False),
        sa.Column("event_type", KEY, nullable=False),
        sa.Column("event_time", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("event", LONG_TEXT),
        sa.Column("event_id", ID),
        sa.Column("raised_count", sa.Integer),
        sa.UniqueConstraint("alarm_id", "managed_object", "message_id", name="uq_eventalarm_transition_once"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_transition_message", name, "message_id", "alarm_id")
    steps.create_index("ix_eventalarm_transition_occurrence", name, "occurrence_id")
    steps.create_index("ix_eventalarm_transition_recorded", name, "recorded_at")


def _create_delivery() -> None:
    name = "eventalarm_delivery"
    steps.create_table(
        name,
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("delivery_id", ID, nullable=False, unique=True),
        sa.Column("transition_id", ID, nullable=False),
        sa.Column("order_key", sa.String(64), nullable=False),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("action", LONG_TEXT, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", ID),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retried_at", MOMENT),
        sa.Column("subscription_id", ID),
        sa.Column("body", LONG_TEXT),
        sa.Column("size", sa.Integer, nullable=False, server_default="0"),
        sa.Column("started", sa.Boolean),
        sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_delivery_due", name, "state", "project_id", "next_attempt_at", "seq")
    steps.create_index("ix_eventalarm_delivery_order", name, "order_key", "state")
    steps.create_index("ix_eventalarm_delivery_owner", name, "owner")
    steps.create_index("ix_eventalarm_delivery_transition", name, "transition_id")
    steps.create_index("ix_eventalarm_delivery_finished", name, "finished_at")
    steps.create_index("ix_eventalarm_delivery_subscription", name, "subscription_id", "state")


def _create_worker() -> None:
    steps.create_table(
        "eventalarm_worker",
        sa.Column("worker_id", ID, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_event_at", MOMENT),
        sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("clock_offset", sa.Double),
        **OPTIONS,
    )


def _create_timer() -> None:
    name = "eventalarm_timer"
    steps.create_table(
        name,
        sa.Column("timer_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("managed_object", KEY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("version", MOMENT),
        sa.Column("armed_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("event", LONG_TEXT),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_timer_due", name, "due_at")
    steps.create_index("ix_eventalarm_timer_alarm", name, "alarm_id")
    steps.create_index("ix_eventalarm_timer_armed", name, "armed_at")


def _create_acknowledgement() -> None:
    name = "eventalarm_acknowledgement"
    steps.create_table(
        name,
        sa.Column("object_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("occurrence_id", sa.String(64), nullable=False),
        sa.Column("acknowledged_at", MOMENT, nullable=False),
        sa.Column("user_id", sa.String(128)),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_acknowledgement_at", name, "acknowledged_at")
    steps.create_index("ix_eventalarm_acknowledgement_alarm", name, "alarm_id")


def _create_subscription() -> None:
    name = "eventalarm_subscription"
    steps.create_table(
        name,
        sa.Column("subscription_id", ID, primary_key=True),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128)),
        sa.Column("all_projects", sa.Boolean, nullable=False),
        sa.Column("callback_uri", LONG_TEXT, nullable=False),
        sa.Column("filter", LONG_TEXT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("authentication", LONG_TEXT),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("suspended_at", MOMENT),
        sa.Column("changed_at", MOMENT),
        sa.Column("confirmed_at", MOMENT, nullable=False),
        sa.Column("api_root", LONG_TEXT, nullable=False),
        sa.UniqueConstraint("project_id", "digest", name="uq_eventalarm_subscription_once"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_subscription_project", name, "project_id", "subscription_id")
    steps.create_index("ix_eventalarm_subscription_changed", name, "changed_at")


def _create_notification_log() -> None:
    name = "eventalarm_notification_log"
    steps.create_table(
        name,
        sa.Column("ifa_alarm_id", ALARM_ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("occurrence_id", sa.String(64), nullable=False),
        sa.Column("severities", sa.String(128), nullable=False),
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("version", MOMENT),
        sa.Column("notified_at", MOMENT, nullable=False),
        sa.Column("alarm", LONG_TEXT, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_notification_log_alarm", name, "alarm_id")


def _create_leader_lease() -> None:
    steps.create_table(
        "eventalarm_leader_lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("owner", ID),
        sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("done_at", MOMENT),
        **OPTIONS,
    )


def _create_resource() -> None:
    name = "eventalarm_resource"
    steps.create_table(
        name,
        sa.Column("resource_id", KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("device_id", KEY, nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("host", KEY, nullable=False),
        sa.Column("host_at", MOMENT),
        sa.Column("server_group", KEY, nullable=False),
        sa.Column("checked_at", MOMENT),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_resource_host", name, "host", "kind")
    steps.create_index("ix_eventalarm_resource_device", name, "device_id")


def _create_infrastructure_fault() -> None:
    name = "eventalarm_infrastructure_fault"
    steps.create_table(
        name,
        sa.Column("fault_key", ID, primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("source", KEY, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
        sa.Column("raised", sa.Boolean, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("fault_id", KEY, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_infrastructure_fault_raised", name, "raised")


def _create_affected() -> None:
    name = "eventalarm_affected"
    steps.create_table(
        name,
        sa.Column("fault_key", ID, primary_key=True),
        sa.Column("resource_id", KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("device_id", KEY, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_affected_resource", name, "resource_id")


def _create_policy_match() -> None:
    name = "eventalarm_policy_match"
    steps.create_table(
        name,
        sa.Column("policy", sa.String(128), primary_key=True),
        sa.Column("source", KEY, primary_key=True),
        sa.Column("message_id", KEY, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_policy_match_at", name, "at")
