"""The tables of the IFA APIs: acknowledgements, subscriptions, and what subscribers were last sent."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import (
    ALARM_ID,
    ID,
    LONG_TEXT,
    UtcDateTime,
    eventalarm_table,
)

# Acknowledgements, each of one occurrence of an alarm on a managed object.
acknowledgement = eventalarm_table(
    "eventalarm_acknowledgement",
    sa.Column("object_id", ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("occurrence_id", sa.String(64), nullable=False),
    sa.Column("acknowledged_at", UtcDateTime, nullable=False),
    sa.Column("user_id", sa.String(128)),
    sa.Column("comment", sa.String(1000)),
    sa.Index("ix_eventalarm_acknowledgement_at", "acknowledged_at"),
    sa.Index("ix_eventalarm_acknowledgement_alarm", "alarm_id"),
)


# Subscriptions; ``authentication`` is encrypted. ``changed_at`` is when the row was created or its state last
# changed, by the database's clock.
subscription = eventalarm_table(
    "eventalarm_subscription",
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
)


# The notification log: the last notification of each raised alarm, by the ``alarmId`` of the IFA APIs.
# ``severities`` are all that were sent for the occurrence, ``mark`` detects changes, ``state`` and
# ``version`` are those of Aodh's row at that time, and ``alarm`` is the alarm as it was sent.
notification_log = eventalarm_table(
    "eventalarm_notification_log",
    sa.Column("ifa_alarm_id", ALARM_ID, primary_key=True),
    sa.Column("alarm_id", ALARM_ID, nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("occurrence_id", sa.String(64), nullable=False),
    sa.Column("severities", sa.String(128), nullable=False),
    sa.Column("mark", sa.String(64), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("version", UtcDateTime),
    sa.Column("notified_at", UtcDateTime, nullable=False),
    sa.Column("alarm", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_notification_log_alarm", "alarm_id"),
)
