"""The first tables: occurrences, transitions, deliveries and workers, and an index on Aodh's alarms.

The index ``eventalarm_ix_alarm_timestamp`` on Aodh's ``alarm.timestamp`` makes "which definitions changed
since" a short range instead of a scan of all alarms for every batch of events. Aodh does not know it and is
not disturbed by it; dropping it costs speed only.
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
    """Create what is not there yet."""
    steps.create_index("eventalarm_ix_alarm_timestamp", "alarm", "timestamp")
    _create_occurrence()
    _create_transition()
    _create_delivery()
    _create_worker()


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
        sa.UniqueConstraint("alarm_id", "managed_object", "latest", name="uq_eventalarm_occurrence_latest"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_occurrence_raised", name, "alarm_id", "raised")
    steps.create_index("ix_eventalarm_occurrence_cleared", name, "cleared_at")


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
        sa.Column("event", LONG_TEXT, nullable=False),
        sa.UniqueConstraint("alarm_id", "managed_object", "message_id", name="uq_eventalarm_transition_once"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_transition_occurrence", name, "occurrence_id")
    steps.create_index("ix_eventalarm_transition_recorded", name, "recorded_at")
    steps.create_index("ix_eventalarm_transition_message", name, "message_id", "alarm_id")


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
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_delivery_due", name, "state", "next_attempt_at")
    steps.create_index("ix_eventalarm_delivery_order", name, "order_key", "state")
    steps.create_index("ix_eventalarm_delivery_owner", name, "owner")
    steps.create_index("ix_eventalarm_delivery_transition", name, "transition_id")
    steps.create_index("ix_eventalarm_delivery_finished", name, "finished_at")


def _create_worker() -> None:
    steps.create_table(
        "eventalarm_worker",
        sa.Column("worker_id", ID, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        **OPTIONS,
    )
