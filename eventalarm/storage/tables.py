"""The tables: our own (prefix ``eventalarm_``) and the columns of Aodh's that we read or write.

Datetimes are stored as naive UTC with microseconds, as Aodh stores its own.
"""

from __future__ import annotations

import datetime
import json
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from eventalarm.model import UTC, object_alarm_id

metadata = sa.MetaData()
aodh_metadata = sa.MetaData()

OWN_TABLE_ARGS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ID = sa.String(36)
ALARM_ID = sa.String(128)
KEY = sa.String(255)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# Three of four lists of actions and constraints are; reading JSON is a tenth of loading a project.
EMPTY_LIST: Final = "[]"


class UtcDateTime(sa.types.TypeDecorator[datetime.datetime]):
    """An aware UTC datetime, stored naive with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Ask MySQL and MariaDB for the microseconds that they leave out by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> Any:
        """Drop the time zone on the way in."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime.datetime | None:
        """Put the time zone back on the way out."""
        return value.replace(tzinfo=UTC) if value is not None else None


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as text, as Aodh keeps it; text that is not JSON reads as None instead of failing."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Encode on the way in."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode on the way out; one unreadable row must not stop the others (G6)."""
        if value == EMPTY_LIST:
            return []
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError):
            return None


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


# One row for each life of an alarm on a managed object; ``latest`` is true on the newest one and NULL on
# the others, so that the unique index holds for the newest only.
occurrence = sa.Table(
    "eventalarm_occurrence",
    metadata,
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
    sa.UniqueConstraint("alarm_id", "managed_object", "latest", name="uq_eventalarm_occurrence_latest"),
    sa.Index("ix_eventalarm_occurrence_raised", "alarm_id", "raised"),
    sa.Index("ix_eventalarm_occurrence_cleared", "cleared_at"),
    sa.Index("ix_eventalarm_occurrence_object_id", "object_id"),
    sa.Index("ix_eventalarm_occurrence_object", "managed_object"),
    sa.Index("ix_eventalarm_occurrence_project", "project_id", "raised", "raised_at"),
    sa.Index("ix_eventalarm_occurrence_all", "raised", "raised_at"),
    **OWN_TABLE_ARGS,
)

# One row for each alarm that was ever raised, written with every change of the number of its raised
# occurrences: two nodes of a cluster that change it at once find out. ``changes`` makes every write one.
# ``is_full`` is true since the limit was reached, until a tenth of the occurrences is free again. ``awaited``
# and ``is_full_awaited`` are the same of the objects whose absence is awaited.
alarm_count = sa.Table(
    "eventalarm_alarm_count",
    metadata,
    sa.Column("alarm_id", ALARM_ID, primary_key=True),
    sa.Column("raised", sa.Integer, nullable=False),
    sa.Column("is_full", sa.Boolean, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("awaited", sa.Integer, nullable=False, default=0),
    sa.Column("is_full_awaited", sa.Boolean, nullable=False, default=False),
    **OWN_TABLE_ARGS,
)

# Messages of the bus that were delivered again: how often their evaluation was begun and did not end, as far
# as anybody knows. A row goes when it has ended.
suspect = sa.Table(
    "eventalarm_suspect",
    metadata,
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("tried_at", UtcDateTime, nullable=False),
    **OWN_TABLE_ARGS,
)

# What an event that caused several transitions holds, written once for each transaction instead of once for
# each of them. ``message_id`` is that of the transitions, by whose index the expirer finds them.
event = sa.Table(
    "eventalarm_event",
    metadata,
    sa.Column("event_id", ID, primary_key=True),
    sa.Column("message_id", KEY, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_event_recorded", "recorded_at"),
    **OWN_TABLE_ARGS,
)

# ``event`` is the event that caused it, or NULL where ``event_id`` names a row of ``eventalarm_event``.
transition = sa.Table(
    "eventalarm_transition",
    metadata,
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
    sa.UniqueConstraint("alarm_id", "managed_object", "message_id", name="uq_eventalarm_transition_once"),
    sa.Index("ix_eventalarm_transition_message", "message_id", "alarm_id"),
    sa.Index("ix_eventalarm_transition_occurrence", "occurrence_id"),
    sa.Index("ix_eventalarm_transition_recorded", "recorded_at"),
    **OWN_TABLE_ARGS,
)

# The outbox. ``seq`` rises in the order in which the deliveries of one alarm were committed. ``attempts``
# counts since a person last retried the delivery, ``earlier_attempts`` those before that. What goes to a
# subscriber has its ``subscription_id`` and the ``body`` to send. ``size`` is bytes of what is sent.
# ``losses`` counts how often a process was lost that may have been sending it; from the first loss on,
# ``started`` is true while an attempt is under way.
delivery = sa.Table(
    "eventalarm_delivery",
    metadata,
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
    sa.Index("ix_eventalarm_delivery_due", "state", "project_id", "next_attempt_at", "seq"),
    sa.Index("ix_eventalarm_delivery_order", "order_key", "state"),
    sa.Index("ix_eventalarm_delivery_owner", "owner"),
    sa.Index("ix_eventalarm_delivery_transition", "transition_id"),
    sa.Index("ix_eventalarm_delivery_finished", "finished_at"),
    sa.Index("ix_eventalarm_delivery_subscription", "subscription_id", "state"),
    **OWN_TABLE_ARGS,
)

# One row for each living process; a delivery whose owner has no row is orphaned. ``renewals`` counts how
# often the lease was renewed; others see by it that the process lives. The rest is for people: until when it
# counts as alive, when it last took an event from the bus, and by how many seconds the clock of its host was
# ahead of the database's.
worker = sa.Table(
    "eventalarm_worker",
    metadata,
    sa.Column("worker_id", ID, primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("last_event_at", UtcDateTime),
    sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("clock_offset", sa.Double),
    **OWN_TABLE_ARGS,
)

# What is to happen by itself to a ``notification`` alarm on a managed object. ``due_at`` is NULL where
# nothing is awaited at present; ``armed_at`` is the moment from which it counts; both by the database's
# clock. ``version`` is that of the definition it was armed for, ``event`` what is told when it fires.
timer = sa.Table(
    "eventalarm_timer",
    metadata,
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
    **OWN_TABLE_ARGS,
)

# That somebody took note of one life of an alarm on a managed object; the next life knows nothing of it.
acknowledgement = sa.Table(
    "eventalarm_acknowledgement",
    metadata,
    sa.Column("object_id", ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("life", sa.String(64), nullable=False),
    sa.Column("acknowledged_at", UtcDateTime, nullable=False),
    sa.Column("user_id", sa.String(128)),
    sa.Index("ix_eventalarm_acknowledgement_at", "acknowledged_at"),
    sa.Index("ix_eventalarm_acknowledgement_alarm", "alarm_id"),
    **OWN_TABLE_ARGS,
)

# Who wants to be told of which alarms; ``authentication`` is encrypted. ``changed_at`` is when the row was
# made or its state last changed, by the database's clock.
subscription = sa.Table(
    "eventalarm_subscription",
    metadata,
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("user_id", sa.String(128)),
    sa.Column("all_projects", sa.Boolean, nullable=False),
    sa.Column("callback_uri", LONG_TEXT, nullable=False),
    sa.Column("filter", LONG_TEXT, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("authentication", LONG_TEXT),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("suspended_at", UtcDateTime),
    sa.Column("changed_at", UtcDateTime),
    sa.Column("confirmed_at", UtcDateTime, nullable=False),
    sa.Column("api_root", LONG_TEXT, nullable=False),
    sa.UniqueConstraint("project_id", "digest", name="uq_eventalarm_subscription_once"),
    sa.Index("ix_eventalarm_subscription_project", "project_id", "subscription_id"),
    sa.Index("ix_eventalarm_subscription_changed", "changed_at"),
    **OWN_TABLE_ARGS,
)

# What subscribers were last told of each alarm that stands, by the id that they know. ``severities`` are all
# that were told in this ``life``, ``mark`` what a change is told by; ``state`` and ``version`` are those of
# Aodh's row then, ``alarm`` is the alarm as it was told.
told = sa.Table(
    "eventalarm_told",
    metadata,
    sa.Column("told_id", ALARM_ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("life", sa.String(64), nullable=False),
    sa.Column("severities", sa.String(128), nullable=False),
    sa.Column("mark", sa.String(64), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("version", UtcDateTime),
    sa.Column("told_at", UtcDateTime, nullable=False),
    sa.Column("alarm", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_told_alarm", "alarm_id"),
    **OWN_TABLE_ARGS,
)

# What one process at a time does for all, such as the look for what nobody told; ``done_at`` is when such a
# look last began that came to its end.
duty = sa.Table(
    "eventalarm_duty",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("owner", ID),
    sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("done_at", UtcDateTime),
    **OWN_TABLE_ARGS,
)
