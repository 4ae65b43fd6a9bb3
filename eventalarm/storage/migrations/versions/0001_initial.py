"""Initial schema: our tables, and three indexes on Aodh's ``alarm`` table.

The indexes on Aodh's table do not affect Aodh, and serve only performance. With
``eventalarm_ix_alarm_timestamp`` the search for changed definitions, made for every batch of events, reads a
short range instead of the whole table; with ``eventalarm_ix_alarm_project_state`` and
``eventalarm_ix_alarm_state`` so does the search for raised alarms in the IFA API.
"""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.migrations import operations
from eventalarm.storage.migrations.initial_delivery_tables import create_delivery_tables
from eventalarm.storage.migrations.initial_event_tables import create_event_tables
from eventalarm.storage.migrations.initial_inspector_tables import create_inspector_tables
from eventalarm.storage.migrations.initial_pulse_tables import create_pulse_tables
from eventalarm.storage.migrations.operations import ALARM_ID, ID, KEY, LONG_TEXT, MOMENT

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what does not exist yet."""
    operations.create_index_online("eventalarm_ix_alarm_timestamp", "alarm", "timestamp")
    operations.create_index_online(
        "eventalarm_ix_alarm_project_state", "alarm", "project_id", "state", "alarm_id"
    )
    operations.create_index_online("eventalarm_ix_alarm_state", "alarm", "state", "alarm_id")
    _create_occurrence()
    _create_counts_and_events()
    _create_transition()
    create_delivery_tables()
    create_event_tables()
    _create_leases()
    _create_timer()
    _create_acknowledgement()
    _create_subscription()
    _create_notification_log()
    _create_project_secret()
    create_inspector_tables()
    create_pulse_tables()


def _create_occurrence() -> None:
    operations.create_table(
        "eventalarm_occurrence",
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
        sa.Column("resource_id", KEY),
        sa.Column("inhibited_by", KEY),
        sa.Column("raise_inhibited", sa.Boolean, nullable=False),
        sa.UniqueConstraint("alarm_id", "managed_object", "latest", name="uq_eventalarm_occurrence_latest"),
        sa.Index("ix_eventalarm_occurrence_raised", "alarm_id", "raised"),
        sa.Index("ix_eventalarm_occurrence_cleared", "cleared_at"),
        sa.Index("ix_eventalarm_occurrence_object_id", "object_id"),
        sa.Index("ix_eventalarm_occurrence_object", "managed_object"),
        sa.Index("ix_eventalarm_occurrence_resource", "resource_id"),
        sa.Index(
            "ix_eventalarm_occurrence_inhibited",
            "inhibited_by",
            **operations.where("inhibited_by IS NOT NULL"),
        ),
        sa.Index("ix_eventalarm_occurrence_project", "project_id", "raised", "raised_at"),
        sa.Index("ix_eventalarm_occurrence_all", "raised", "raised_at"),
    )


def _create_counts_and_events() -> None:
    operations.create_table(
        "eventalarm_alarm_count",
        sa.Column("alarm_id", ALARM_ID, primary_key=True),
        sa.Column("raised", sa.Integer, nullable=False),
        sa.Column("is_full", sa.Boolean, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("awaited", sa.Integer, nullable=False),
        sa.Column("is_full_awaited", sa.Boolean, nullable=False),
        sa.Column("inhibited", sa.Integer, nullable=False),
    )
    operations.create_table(
        "eventalarm_suspect",
        sa.Column("message_id", KEY, primary_key=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("tried_at", MOMENT, nullable=False),
    )
    operations.create_table(
        "eventalarm_event",
        sa.Column("event_id", ID, primary_key=True),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Index("ix_eventalarm_event_recorded", "recorded_at"),
    )


def _create_transition() -> None:
    operations.create_table(
        "eventalarm_transition",
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
        sa.Column("fault_id", KEY),
        sa.Column("objects", LONG_TEXT),
        sa.Column("inhibited_by", KEY),
        sa.UniqueConstraint("alarm_id", "managed_object", "message_id", name="uq_eventalarm_transition_once"),
        sa.Index("ix_eventalarm_transition_message", "message_id", "alarm_id"),
        sa.Index("ix_eventalarm_transition_fault", "fault_id", **operations.where("fault_id IS NOT NULL")),
        sa.Index("ix_eventalarm_transition_occurrence", "occurrence_id"),
        sa.Index("ix_eventalarm_transition_recorded", "recorded_at"),
        sa.Index("ix_eventalarm_transition_project", "project_id", "recorded_at", "transition_id"),
    )


def _create_leases() -> None:
    operations.create_table(
        "eventalarm_worker",
        sa.Column("worker_id", ID, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_event_at", MOMENT),
        sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("lease", sa.Double),
        sa.Column("clock_offset", sa.Double),
    )
    operations.create_table(
        "eventalarm_leader_lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("owner", ID),
        sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("done_at", MOMENT),
    )


def _create_timer() -> None:
    operations.create_table(
        "eventalarm_timer",
        sa.Column("timer_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("managed_object", KEY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("version", MOMENT),
        sa.Column("armed_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("event", LONG_TEXT),
        sa.Index("ix_eventalarm_timer_due", "due_at"),
        sa.Index("ix_eventalarm_timer_alarm", "alarm_id"),
        sa.Index("ix_eventalarm_timer_armed", "armed_at"),
    )


def _create_acknowledgement() -> None:
    operations.create_table(
        "eventalarm_acknowledgement",
        sa.Column("object_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("occurrence_id", sa.String(64), nullable=False),
        sa.Column("acknowledged_at", MOMENT, nullable=False),
        sa.Column("user_id", sa.String(128)),
        sa.Column("comment", sa.String(1000)),
        sa.Index("ix_eventalarm_acknowledgement_at", "acknowledged_at"),
        sa.Index("ix_eventalarm_acknowledgement_alarm", "alarm_id"),
    )


def _create_subscription() -> None:
    operations.create_table(
        "eventalarm_subscription",
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
        sa.Index("ix_eventalarm_subscription_project", "project_id", "subscription_id"),
        sa.Index("ix_eventalarm_subscription_changed", "changed_at"),
    )


def _create_notification_log() -> None:
    operations.create_table(
        "eventalarm_notification_log",
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
        sa.Index("ix_eventalarm_notification_log_alarm", "alarm_id"),
    )


def _create_project_secret() -> None:
    operations.create_table(
        "eventalarm_project_secret",
        sa.Column("project_id", sa.String(128), primary_key=True),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("previous_expires_at", MOMENT),
        sa.Index("ix_eventalarm_project_secret_changed", "changed_at"),
    )
