"""Initial schema: the tables of deliveries, attempts and destinations, and of operational events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from eventalarm.storage.migrations import operations
from eventalarm.storage.migrations.operations import ALARM_ID, ID, KEY, LONG_TEXT, MOMENT, SEQUENCE


def create_delivery_tables() -> None:
    """Create what does not exist yet."""
    _create_deliveries()
    _create_attempts()
    _create_destinations()
    _create_operational_events()


def _indexes() -> list[sa.Index]:
    # With the conditions most versions of a row are not in the index: see the module of the tables.
    only = operations.where_postgresql
    unfinished = only("state IN ('pending', 'leased', 'deferred')")
    found = [
        sa.Index("ix_eventalarm_delivery_due", "state", "project_id", "next_attempt_at", "seq"),
        sa.Index("ix_eventalarm_delivery_order", "order_key", "state", **unfinished),
        sa.Index("ix_eventalarm_delivery_alarm", "alarm_id", "state", "order_key"),
        sa.Index("ix_eventalarm_delivery_owner", "owner", **only("owner IS NOT NULL")),
        sa.Index("ix_eventalarm_delivery_transition", "transition_id"),
        sa.Index("ix_eventalarm_delivery_finished", "finished_at", **only("finished_at IS NOT NULL")),
        sa.Index(
            "ix_eventalarm_delivery_subscription",
            "subscription_id",
            "state",
            **only("subscription_id IS NOT NULL"),
        ),
        sa.Index("ix_eventalarm_delivery_project", "project_id", "created_at", "seq"),
    ]
    if op.get_bind().dialect.name == "postgresql":
        ready = only("state = 'pending' AND next_attempt_at < '9000-01-01'")
        found.append(sa.Index("ix_eventalarm_delivery_ready", "project_id", "next_attempt_at", **ready))
    return found


def _create_deliveries() -> None:
    operations.create_table(
        "eventalarm_delivery",
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
        sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retried_at", MOMENT),
        sa.Column("subscription_id", ID),
        sa.Column("body", LONG_TEXT),
        sa.Column("size", sa.Integer, nullable=False, server_default="0"),
        sa.Column("started", sa.Boolean),
        sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("destination", KEY),
        sa.Column("latency", sa.Double),
        sa.Column("attempted_at", MOMENT),
        sa.Column("replay_id", ID),
        sa.Column("replay_of", ID),
        sa.Column("profile", sa.Text),
        sa.Column("handled", sa.Text),
        *_indexes(),
    )


def _create_attempts() -> None:
    operations.create_table(
        "eventalarm_delivery_attempt",
        sa.Column("attempt_id", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("latency", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Index("ix_eventalarm_delivery_attempt_delivery", "delivery_id", "number"),
        sa.Index("ix_eventalarm_delivery_attempt_ended", "ended_at"),
    )


def _create_destinations() -> None:
    operations.create_table(
        "eventalarm_destination",
        sa.Column("project_id", sa.String(128), primary_key=True),
        sa.Column("destination", KEY, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", MOMENT),
        sa.Column("failed_at", MOMENT),
        sa.Column("next_probe_at", MOMENT),
        sa.Column("probes", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Index("ix_eventalarm_destination_changed", "changed_at"),
    )


def _create_operational_events() -> None:
    operations.create_table(
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
        sa.Column("since", MOMENT),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Index("ix_eventalarm_operational_event_state", "state", "at"),
    )
