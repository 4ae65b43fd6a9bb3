"""The tables: eventalarm's (prefix ``eventalarm_``), and the columns of Aodh's tables that it uses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from eventalarm.model import object_alarm_id
from eventalarm.storage import (  # noqa: F401
    circuit_tables,
    event_tables,
    ifa_tables,
    inspector_tables,
    operational_tables,
    pulse_tables,
)
from eventalarm.storage.column_types import (
    ALARM_ID,
    ID,
    IS_UNFINISHED,
    KEY,
    LONG_TEXT,
    SEQUENCE,
    JsonText,
    LongJsonText,
    UtcDateTime,
    eventalarm_table,
    of_postgresql,
    partial,
)

metadata = ifa_tables.subscription.metadata
aodh_metadata = sa.MetaData()

alarm = sa.Table(
    "alarm",
    aodh_metadata,
    sa.Column("alarm_id", ALARM_ID, primary_key=True),
    sa.Column("enabled", sa.Boolean),
    sa.Column("name", sa.Text),
    sa.Column("type", sa.String(50)),
    sa.Column("severity", sa.String(50)),
    sa.Column("timestamp", UtcDateTime),
    sa.Column("project_id", sa.String(128)),
    sa.Column("state", sa.String(255)),
    sa.Column("state_reason", sa.Text),
    sa.Column("state_timestamp", UtcDateTime),
    sa.Column("ok_actions", JsonText),
    sa.Column("alarm_actions", JsonText),
    sa.Column("insufficient_data_actions", JsonText),
    sa.Column("repeat_actions", sa.Boolean),
    sa.Column("rule", JsonText),
    sa.Column("time_constraints", JsonText),
)

alarm_history = sa.Table(
    "alarm_history",
    aodh_metadata,
    sa.Column("event_id", sa.String(128), primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("on_behalf_of", sa.String(128)),
    sa.Column("project_id", sa.String(128)),
    sa.Column("user_id", sa.String(128)),
    sa.Column("type", sa.String(20)),
    sa.Column("detail", sa.Text),
    sa.Column("timestamp", UtcDateTime),
    sa.Column("severity", sa.String(50)),
)


def _object_id(context: Any) -> str:
    """Return the id of the row's (alarm, managed object), by which consumers of the IFA API ask for it."""
    values = context.get_current_parameters()
    return object_alarm_id(values["alarm_id"], values["managed_object"])


# One row for each occurrence; ``latest`` is true on the newest one of an alarm on a managed object and NULL
# on the others, so that the unique index holds for the newest only. ``inhibited_by`` is not NULL while a
# notification is held back because of maintenance.
occurrence = eventalarm_table(
    "eventalarm_occurrence",
    sa.Column("occurrence_id", ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("managed_object", KEY, nullable=False),
    sa.Column("latest", sa.Boolean),
    sa.Column("raised", sa.Boolean, nullable=False),
    sa.Column("event_time", UtcDateTime, nullable=False),
    sa.Column("raised_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime),
    sa.Column("cleared_at", UtcDateTime),
    sa.Column("hits", sa.Integer, nullable=False),
    sa.Column("severity", sa.String(16)),
    sa.Column("object_id", ID, default=_object_id),
    sa.Column("resource_id", KEY),
    sa.Column("inhibited_by", KEY),
    sa.Column("raise_inhibited", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("alarm_id", "managed_object", "latest", name="uq_eventalarm_occurrence_latest"),
    sa.Index("ix_eventalarm_occurrence_raised", "alarm_id", "raised"),
    sa.Index("ix_eventalarm_occurrence_cleared", "cleared_at"),
    sa.Index("ix_eventalarm_occurrence_object_id", "object_id"),
    sa.Index("ix_eventalarm_occurrence_object", "managed_object"),
    sa.Index("ix_eventalarm_occurrence_resource", "resource_id"),
    sa.Index("ix_eventalarm_occurrence_inhibited", "inhibited_by", **partial("inhibited_by IS NOT NULL")),
    sa.Index("ix_eventalarm_occurrence_project", "project_id", "raised", "raised_at"),
    sa.Index("ix_eventalarm_occurrence_all", "raised", "raised_at"),
)

# One row for each alarm that was ever raised, updated with every change of the number of its raised
# occurrences, so that concurrent changes on two nodes of a cluster conflict; ``changes`` makes each update
# change the row. ``is_full`` is true from when the limit is reached until a tenth of it is free again.
# ``awaited`` and ``is_full_awaited`` are the same for the objects whose absence is awaited. ``inhibited`` is
# the number of raised occurrences whose raise was not notified because of maintenance.
alarm_count = eventalarm_table(
    "eventalarm_alarm_count",
    sa.Column("alarm_id", ALARM_ID, primary_key=True),
    sa.Column("raised", sa.Integer, nullable=False),
    sa.Column("is_full", sa.Boolean, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("awaited", sa.Integer, nullable=False, default=0),
    sa.Column("is_full_awaited", sa.Boolean, nullable=False, default=False),
    sa.Column("inhibited", sa.Integer, nullable=False, default=0),
)

# The body of an event that caused several transitions, stored once for each transaction. ``message_id`` is
# that of the transitions, by whose index the expirer finds them.
event = eventalarm_table(
    "eventalarm_event",
    sa.Column("event_id", ID, primary_key=True),
    sa.Column("message_id", KEY, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_event_recorded", "recorded_at"),
)

# ``event`` is the event that caused it, or NULL where ``event_id`` names a row of ``eventalarm_event``.
transition = eventalarm_table(
    "eventalarm_transition",
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
    sa.Column("event_time", UtcDateTime, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("event", LONG_TEXT),
    sa.Column("event_id", ID),
    sa.Column("raised_count", sa.Integer),
    sa.Column("fault_id", KEY),
    sa.Column("objects", LongJsonText),
    sa.Column("inhibited_by", KEY),
    sa.UniqueConstraint("alarm_id", "managed_object", "message_id", name="uq_eventalarm_transition_once"),
    sa.Index("ix_eventalarm_transition_message", "message_id", "alarm_id"),
    sa.Index("ix_eventalarm_transition_fault", "fault_id", **partial("fault_id IS NOT NULL")),
    sa.Index("ix_eventalarm_transition_occurrence", "occurrence_id"),
    sa.Index("ix_eventalarm_transition_recorded", "recorded_at"),
    sa.Index("ix_eventalarm_transition_project", "project_id", "recorded_at", "transition_id"),
)

# The outbox. ``seq`` rises in the order in which the deliveries of one alarm were committed. ``attempts``
# counts those since an operator last retried the delivery, ``earlier_attempts`` those before. A notification
# has its ``subscription_id`` and the ``body`` to send. ``size`` is in bytes. ``losses`` counts the processes
# that were lost while they may have been sending it; then ``started`` is true while an attempt is under way.
# ``status``, ``error``, ``latency`` (seconds) and ``attempted_at`` are of the last attempt; those before are
# in ``eventalarm_delivery_attempt``. ``profile`` has its checkpoints if it is profiled, ``handled`` those
# of its consumer (JSON). ``replay_of`` is the delivery that this one repeats in ``replay_id``.
delivery = eventalarm_table(
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
    sa.Column("next_attempt_at", UtcDateTime, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("retried_at", UtcDateTime),
    sa.Column("subscription_id", ID),
    sa.Column("body", LONG_TEXT),
    sa.Column("size", sa.Integer, nullable=False, server_default="0"),
    sa.Column("started", sa.Boolean),
    sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
    sa.Column("destination", KEY),
    sa.Column("latency", sa.Double),
    sa.Column("attempted_at", UtcDateTime),
    sa.Column("replay_id", ID),
    sa.Column("replay_of", ID),
    sa.Column("profile", sa.Text),
    sa.Column("handled", sa.Text),
    sa.Index("ix_eventalarm_delivery_due", "state", "project_id", "next_attempt_at", "seq"),
    sa.Index("ix_eventalarm_delivery_order", "order_key", "state", **of_postgresql(IS_UNFINISHED)),
    sa.Index("ix_eventalarm_delivery_alarm", "alarm_id", "state", "order_key"),
    sa.Index("ix_eventalarm_delivery_owner", "owner", **of_postgresql("owner IS NOT NULL")),
    sa.Index("ix_eventalarm_delivery_transition", "transition_id"),
    sa.Index("ix_eventalarm_delivery_finished", "finished_at", **of_postgresql("finished_at IS NOT NULL")),
    # Deliveries that do not wait for their predecessor; most are never in this index.
    sa.Index(
        "ix_eventalarm_delivery_ready",
        "project_id",
        "next_attempt_at",
        **of_postgresql("state = 'pending' AND next_attempt_at < '9000-01-01'"),
    ).ddl_if(dialect="postgresql"),
    sa.Index(
        "ix_eventalarm_delivery_subscription",
        "subscription_id",
        "state",
        **of_postgresql("subscription_id IS NOT NULL"),
    ),
    sa.Index("ix_eventalarm_delivery_project", "project_id", "created_at", "seq"),
)

# The attempts of a delivery before its last one, the newest ``attempts_kept``. ``number`` counts the attempts
# of the delivery; ``latency`` is in seconds.
delivery_attempt = eventalarm_table(
    "eventalarm_delivery_attempt",
    sa.Column("attempt_id", SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("delivery_id", ID, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("ended_at", UtcDateTime, nullable=False),
    sa.Column("latency", sa.Double, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Index("ix_eventalarm_delivery_attempt_delivery", "delivery_id", "number"),
    sa.Index("ix_eventalarm_delivery_attempt_ended", "ended_at"),
)

# One row for each live process; a delivery whose owner has no row is orphaned. ``renewals`` counts how often
# the lease was renewed, which other processes watch. The rest is for health checks: when the lease ends, when
# the process last took an event, and by how many seconds the clock of its host is ahead of the database's.
worker = eventalarm_table(
    "eventalarm_worker",
    sa.Column("worker_id", ID, primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("last_event_at", UtcDateTime),
    sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease", sa.Double),
    sa.Column("clock_offset", sa.Double),
)

# Timers of ``notification`` alarms on managed objects. ``due_at`` is NULL where nothing is awaited now;
# ``armed_at`` is the moment from which it counts; both by the database's clock. ``version`` is that of the
# definition it was armed for, ``event`` the event that is reported when it fires.
timer = eventalarm_table(
    "eventalarm_timer",
    sa.Column("timer_id", ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("managed_object", KEY, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("version", UtcDateTime),
    sa.Column("armed_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("event", LONG_TEXT),
    sa.Index("ix_eventalarm_timer_due", "due_at"),
    sa.Index("ix_eventalarm_timer_alarm", "alarm_id"),
    sa.Index("ix_eventalarm_timer_armed", "armed_at"),
)


# Leader leases for singleton work, such as reconciliation; ``done_at`` is when the last finished round began.
leader_lease = eventalarm_table(
    "eventalarm_leader_lease",
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("owner", ID),
    sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("done_at", UtcDateTime),
)

# The signing secret of each project that has one, and the one before it while both are valid; both encrypted.
# ``changed_at`` is when the row was last written, by the database's clock.
project_secret = eventalarm_table(
    "eventalarm_project_secret",
    sa.Column("project_id", sa.String(128), primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("previous", sa.Text),
    sa.Column("previous_expires_at", UtcDateTime),
    sa.Index("ix_eventalarm_project_secret_changed", "changed_at"),
)
