"""Initial schema: the tables of recorded events and of the decisions about them."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.migrations import operations
from eventalarm.storage.migrations.operations import ALARM_ID, ID, KEY, LONG_TEXT, MOMENT


def create_event_tables() -> None:
    """Create what does not exist yet."""
    operations.create_table(
        "eventalarm_recorded_event",
        sa.Column("record_id", ID, primary_key=True),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("event_type", KEY, nullable=False),
        sa.Column("managed_object", KEY, nullable=False),
        sa.Column("event_time", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Index("ix_eventalarm_recorded_event_project", "project_id", "recorded_at", "record_id", "size"),
        sa.Index(
            "ix_eventalarm_recorded_event_object", "project_id", "managed_object", "recorded_at", "record_id"
        ),
        sa.Index("ix_eventalarm_recorded_event_type", "project_id", "event_type", "recorded_at", "record_id"),
        sa.Index("ix_eventalarm_recorded_event_recorded", "recorded_at"),
    )
    operations.create_table(
        "eventalarm_recorded_decision",
        sa.Column("record_id", ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, primary_key=True),
        sa.Column("managed_object", KEY, primary_key=True),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Index("ix_eventalarm_recorded_decision_decided", "decided_at"),
    )
