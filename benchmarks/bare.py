"""The floor with a database: what firing an alarm costs a bare driver before its webhook may be sent.

As many statements as eventalarm needs for one alarm, on tables of the same kind and rows of the same size:
a locked read, three reads, an update and four inserts, and a commit. No SQLAlchemy, no rules, no batches.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa

TABLE = "CREATE TABLE IF NOT EXISTS relayed (id VARCHAR(64) PRIMARY KEY, alarm_id VARCHAR(64), body TEXT)"
LOCK = (
    "SELECT alarm_id, project_id, type, timestamp, rule, ok_actions, enabled, name, severity, state,"
    " repeat_actions, alarm_actions, insufficient_data_actions, time_constraints"
    " FROM alarm WHERE alarm_id = %s FOR UPDATE"
)
LOOK = "SELECT id, alarm_id FROM relayed WHERE id = %s"
UPDATE = "UPDATE alarm SET state = 'alarm' WHERE alarm_id = %s"
ADD = "INSERT INTO relayed (id, alarm_id, body) VALUES (%s, %s, %s)"
READS = 3
INSERTS = 4
BODY_LENGTH = 1500


class BareCommits:
    """One connection of the plain driver, created from SQLAlchemy's reading of the URL."""

    def __init__(self, database_url: str) -> None:
        self._connection = sa.create_engine(database_url).raw_connection()
        self._cursor = self._connection.cursor()
        self._cursor.execute(TABLE)
        self._connection.commit()

    def fire(self, alarm_id: str, body: bytes) -> None:
        """Write for one alarm what must be committed before its webhook is sent."""
        text = body[:BODY_LENGTH].decode(errors="replace")
        self._cursor.execute(LOCK, (alarm_id,))
        self._cursor.fetchall()
        for _ in range(READS):
            self._cursor.execute(LOOK, (uuid.uuid4().hex,))
            self._cursor.fetchall()
        self._cursor.execute(UPDATE, (alarm_id,))
        for _ in range(INSERTS):
            self._cursor.execute(ADD, (uuid.uuid4().hex, alarm_id, text))
        self._connection.commit()
