"""The tables of recorded events, of the decisions about them, and of redelivered messages."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import ALARM_ID, ID, KEY, LONG_TEXT, UtcDateTime, eventalarm_table

# One row for each event and project that it concerns; ``record_id`` is the uuid5 of both, so that an event
# that is received again has one row. ``managed_object`` is the resource of the event, ``size`` that of the
# body in bytes. ``recorded_at`` is when the event was evaluated, by the database's clock.
recorded_event = eventalarm_table(
    "eventalarm_recorded_event",
    sa.Column("record_id", ID, primary_key=True),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("message_id", KEY, nullable=False),
    sa.Column("event_type", KEY, nullable=False),
    sa.Column("managed_object", KEY, nullable=False),
    sa.Column("event_time", UtcDateTime, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    # With the size, so that the sizes of projects are summed without reading the bodies.
    sa.Index("ix_eventalarm_recorded_event_project", "project_id", "recorded_at", "record_id", "size"),
    # For the filters of a project: without them a page reads thousands of rows with their bodies.
    sa.Index(
        "ix_eventalarm_recorded_event_object", "project_id", "managed_object", "recorded_at", "record_id"
    ),
    sa.Index("ix_eventalarm_recorded_event_type", "project_id", "event_type", "recorded_at", "record_id"),
    sa.Index("ix_eventalarm_recorded_event_recorded", "recorded_at"),
)

# The decisions about recorded events that made no transition; those that did are in
# ``eventalarm_transition``. ``state`` is that of the alarm.
recorded_decision = eventalarm_table(
    "eventalarm_recorded_decision",
    sa.Column("record_id", ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, primary_key=True),
    sa.Column("managed_object", KEY, primary_key=True),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("decided_at", UtcDateTime, nullable=False),
    sa.Index("ix_eventalarm_recorded_decision_decided", "decided_at"),
)

# Redelivered messages of the bus, with the number of evaluations that were begun and did not end. The row is
# removed when an evaluation ends.
suspect = eventalarm_table(
    "eventalarm_suspect",
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("tried_at", UtcDateTime, nullable=False),
)
