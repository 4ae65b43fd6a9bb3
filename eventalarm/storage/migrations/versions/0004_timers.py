"""What happens by itself: timers of ``notification`` alarms; and how many objects a transition left raised.

Listeners of the release before go on working beside both; their transitions do not say the number.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from eventalarm.storage.migrations import steps

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Add what is not there yet."""
    steps.add_column("eventalarm_transition", sa.Column("raised_count", sa.Integer))
    name = "eventalarm_timer"
    steps.create_table(
        name,
        sa.Column("timer_id", sa.String(36), primary_key=True),
        sa.Column("alarm_id", sa.String(128), nullable=False),
        sa.Column("managed_object", sa.String(255), nullable=False),
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
