"""The table of operational events that are still to be published."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import ALARM_ID, ID, KEY, SEQUENCE, UtcDateTime, eventalarm_table

# Operational events (see model/operational.py), written in the transaction that changes what they are about
# and removed once the broker has them. Those that several processes may report, identified by ``once``, stay
# as *published* for a while. Dead deliveries are *gathered* first, a row for each.
operational_event = eventalarm_table(
    "eventalarm_operational_event",
    sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("once", KEY, unique=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("resource_id", KEY, nullable=False),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("delivery_id", ID, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("since", UtcDateTime),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Index("ix_eventalarm_operational_event_state", "state", "at"),
)
