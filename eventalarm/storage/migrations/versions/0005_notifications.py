"""Notifications to subscribers: their bodies in the outbox, what was told last, who looks for what was not.

Listeners of the release before go on working beside it; they tell subscribers nothing, as before.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from eventalarm.storage.migrations import steps

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ID = sa.String(36)
ALARM_ID = sa.String(128)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Add what is not there yet."""
    steps.add_column("eventalarm_delivery", sa.Column("subscription_id", ID))
    steps.add_column("eventalarm_delivery", sa.Column("body", LONG_TEXT))
    steps.create_index(
        "ix_eventalarm_delivery_subscription", "eventalarm_delivery", "subscription_id", "state"
    )
    steps.add_column("eventalarm_subscription", sa.Column("changed_at", MOMENT))
    op.execute("UPDATE eventalarm_subscription SET changed_at = created_at WHERE changed_at IS NULL")
    steps.create_index("ix_eventalarm_subscription_changed", "eventalarm_subscription", "changed_at")
    _create_told()
    _create_duty()


def _create_told() -> None:
    name = "eventalarm_told"
    steps.create_table(
        name,
        sa.Column("told_id", ALARM_ID, primary_key=True),
        sa.Column("alarm_id", ALARM_ID, nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("life", sa.String(64), nullable=False),
        sa.Column("severities", sa.String(128), nullable=False),
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("version", MOMENT),
        sa.Column("told_at", MOMENT, nullable=False),
        sa.Column("alarm", LONG_TEXT, nullable=False),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_told_alarm", name, "alarm_id")


def _create_duty() -> None:
    steps.create_table(
        "eventalarm_duty",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("owner", ID),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("done_at", MOMENT),
        **OPTIONS,
    )
