"""Initial schema: the tables of health checks of the cloud."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.migrations import operations
from eventalarm.storage.migrations.operations import KEY, LONG_TEXT, MOMENT, SEQUENCE


def create_pulse_tables() -> None:
    """Create what does not exist yet."""
    operations.create_table(
        "eventalarm_pulse_target",
        sa.Column("check_name", sa.String(64), primary_key=True),
        sa.Column("target", KEY, primary_key=True),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("host", KEY, nullable=False),
        sa.Column("health", sa.SmallInteger, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("checked_at", MOMENT, nullable=False),
        sa.Column("failing", sa.Integer, nullable=False),
        sa.Column("succeeding", sa.Integer, nullable=False),
        sa.Column("reported", sa.SmallInteger, nullable=False),
        sa.Column("reports", sa.Integer, nullable=False),
        sa.Index("ix_eventalarm_pulse_target_project", "project_id"),
    )
    operations.create_table(
        "eventalarm_pulse_change",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("check_name", sa.String(64), nullable=False),
        sa.Column("target", KEY, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("health", sa.SmallInteger, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Index("ix_eventalarm_pulse_change_at", "at"),
    )
    operations.create_table(
        "eventalarm_pulse_event",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("body", LONG_TEXT, nullable=False),
    )
