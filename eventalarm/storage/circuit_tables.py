"""The table of the circuits of destinations."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import KEY, UtcDateTime, eventalarm_table

# The circuits of destinations that failed (see model/circuits.py), one of each project and destination.
# ``changed_at`` is when the row was last written, by the database's clock; ``version`` rises with each write.
destination = eventalarm_table(
    "eventalarm_destination",
    sa.Column("project_id", sa.String(128), primary_key=True),
    sa.Column("destination", KEY, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", UtcDateTime),
    sa.Column("failed_at", UtcDateTime),
    sa.Column("next_probe_at", UtcDateTime),
    sa.Column("probes", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Index("ix_eventalarm_destination_changed", "changed_at"),
)
