"""What a retried delivery went through before, and when a process last took an event from the bus.

Adds columns only, all with defaults: listeners of the release before go on working beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from eventalarm.storage.migrations import steps

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Add what is not there yet."""
    count = sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0")
    steps.add_column("eventalarm_delivery", count)
    steps.add_column("eventalarm_delivery", sa.Column("retried_at", MOMENT))
    steps.add_column("eventalarm_worker", sa.Column("last_event_at", MOMENT))
