"""What the IFA API asks the database: ids of managed objects, acknowledgements, subscriptions, indexes.

The index ``eventalarm_ix_alarm_project_state`` on Aodh's alarms makes "what is in alarm in this project" a
short range. Aodh does not know it and is not disturbed by it. Listeners of the release before go on working
beside the new columns; what they write is found by its alarm, not yet by the id of its managed object.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from eventalarm.model import object_alarm_id
from eventalarm.storage.migrations import steps

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ID = sa.String(36)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
CHUNK = 1000


def upgrade() -> None:
    """Add what is not there yet."""
    _extend_occurrence()
    steps.create_index("eventalarm_ix_alarm_project_state", "alarm", "project_id", "state", "alarm_id")
    steps.create_index("eventalarm_ix_alarm_state", "alarm", "state", "alarm_id")
    _create_acknowledgement()
    _create_subscription()


def _extend_occurrence() -> None:
    name = "eventalarm_occurrence"
    steps.add_column(name, sa.Column("severity", sa.String(16)))
    steps.add_column(name, sa.Column("object_id", ID))
    _fill_object_ids()
    steps.create_index("ix_eventalarm_occurrence_object_id", name, "object_id")
    steps.create_index("ix_eventalarm_occurrence_object", name, "managed_object")
    steps.create_index("ix_eventalarm_occurrence_project", name, "project_id", "raised", "raised_at")
    steps.create_index("ix_eventalarm_occurrence_all", name, "raised", "raised_at")


def _fill_object_ids() -> None:
    names = ("occurrence_id", "alarm_id", "managed_object", "object_id")
    table = sa.table("eventalarm_occurrence", *(sa.column(name, sa.String()) for name in names))
    wanted = sa.select(table.c.occurrence_id, table.c.alarm_id, table.c.managed_object)
    change = sa.update(table).where(table.c.occurrence_id == sa.bindparam("row_id"))
    connection = op.get_bind()
    reached = ""
    while True:
        page = wanted.where(table.c.object_id.is_(None), table.c.occurrence_id > reached)
        rows = connection.execute(page.order_by(table.c.occurrence_id).limit(CHUNK)).all()
        if not rows:
            return
        filled = [{"row_id": row[0], "made": object_alarm_id(row[1], row[2])} for row in rows]
        connection.execute(change.values(object_id=sa.bindparam("made")), filled)
        reached = rows[-1][0]


def _create_acknowledgement() -> None:
    name = "eventalarm_acknowledgement"
    steps.create_table(
        name,
        sa.Column("object_id", ID, primary_key=True),
        sa.Column("alarm_id", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("life", sa.String(64), nullable=False),
        sa.Column("acknowledged_at", MOMENT, nullable=False),
        sa.Column("user_id", sa.String(128)),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_acknowledgement_at", name, "acknowledged_at")


def _create_subscription() -> None:
    name = "eventalarm_subscription"
    steps.create_table(
        name,
        sa.Column("subscription_id", ID, primary_key=True),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128)),
        sa.Column("all_projects", sa.Boolean, nullable=False),
        sa.Column("callback_uri", LONG_TEXT, nullable=False),
        sa.Column("filter", LONG_TEXT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("authentication", LONG_TEXT),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("suspended_at", MOMENT),
        sa.UniqueConstraint("project_id", "digest", name="uq_eventalarm_subscription_once"),
        **OPTIONS,
    )
    steps.create_index("ix_eventalarm_subscription_project", name, "project_id", "subscription_id")
