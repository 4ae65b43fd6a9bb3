"""The tables of the inspector as the initial revision creates them; released revisions do not change."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.migrations import operations
from eventalarm.storage.migrations.operations import ID, KEY, LONG_TEXT, MOMENT


def create_inspector_tables() -> None:
    """Create the tables of the inspector that do not exist yet."""
    _create_resource()
    _create_fault()
    _create_maintenance()
    _create_maintenance_session()


def _create_resource() -> None:
    operations.create_table(
        "eventalarm_resource",
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
        sa.Index("ix_eventalarm_resource_host", "host", "kind"),
        sa.Index("ix_eventalarm_resource_device", "device_id"),
    )
    operations.create_table(
        "eventalarm_policy_match",
        sa.Column("policy", sa.String(128), primary_key=True),
        sa.Column("source", KEY, primary_key=True),
        sa.Column("message_id", KEY, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Index("ix_eventalarm_policy_match_at", "at"),
    )


def _create_fault() -> None:
    operations.create_table(
        "eventalarm_infrastructure_fault",
        sa.Column("fault_key", ID, primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("source", KEY, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
        sa.Column("raised", sa.Boolean, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("fault_id", KEY, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Index("ix_eventalarm_infrastructure_fault_raised", "raised"),
    )
    operations.create_table(
        "eventalarm_affected",
        sa.Column("fault_key", ID, primary_key=True),
        sa.Column("resource_id", KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("device_id", KEY, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.Index("ix_eventalarm_affected_resource", "resource_id"),
    )


def _create_maintenance() -> None:
    operations.create_table(
        "eventalarm_maintenance",
        sa.Column("session_id", KEY, primary_key=True),
        sa.Column("host", KEY, primary_key=True),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("starts_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Index("ix_eventalarm_maintenance_host", "host"),
    )
    operations.create_table(
        "eventalarm_inhibition",
        sa.Column("resource_id", KEY, primary_key=True),
        sa.Column("session_id", KEY, primary_key=True),
        sa.Column("host", KEY, primary_key=True),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Index("ix_eventalarm_inhibition_host", "host"),
    )


def _create_maintenance_session() -> None:
    operations.create_table(
        "eventalarm_maintenance_session",
        sa.Column("session_id", KEY, primary_key=True),
        sa.Column("project_id", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("answered", sa.Boolean, nullable=False),
        sa.Column("alarmed", KEY, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Index("ix_eventalarm_maintenance_session_project", "project_id"),
        sa.Index("ix_eventalarm_maintenance_session_due", "due_at"),
    )
