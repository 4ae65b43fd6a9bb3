"""The tables of health checks: what is known of each target, what changed, and events to be published."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import KEY, LONG_TEXT, SEQUENCE, JsonText, UtcDateTime, eventalarm_table

# The latest finding of each target of a check, and the counts that decide what is reported; see
# ``eventalarm.pulse.hold_down.TargetState``. Rows are written by one process at a time, under a lock.
pulse_target = eventalarm_table(
    "eventalarm_pulse_target",
    sa.Column("check_name", sa.String(64), primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("host", KEY, nullable=False),
    sa.Column("health", sa.SmallInteger, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("remedy", sa.Text, nullable=False),
    sa.Column("figures", JsonText, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("checked_at", UtcDateTime, nullable=False),
    sa.Column("failing", sa.Integer, nullable=False),
    sa.Column("succeeding", sa.Integer, nullable=False),
    sa.Column("reported", sa.SmallInteger, nullable=False),
    sa.Column("reports", sa.Integer, nullable=False),
    sa.Index("ix_eventalarm_pulse_target_project", "project_id"),
)

# One row for each change of the health of a target, removed by the expirer.
pulse_change = eventalarm_table(
    "eventalarm_pulse_change",
    sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("check_name", sa.String(64), nullable=False),
    sa.Column("target", KEY, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("health", sa.SmallInteger, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("figures", JsonText, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_eventalarm_pulse_change_at", "at"),
)

# Events of changes, written with them, and removed once the broker has confirmed them.
pulse_event = eventalarm_table(
    "eventalarm_pulse_event",
    sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("body", LONG_TEXT, nullable=False),
)
