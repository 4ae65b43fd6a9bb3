"""Steps of a revision that can be taken again: MySQL commits every DDL statement at once, so a revision that
was interrupted there has to find its way through what is already done.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *elements: sa.schema.SchemaItem, **options: Any) -> None:
    """Create the table *name* unless it exists; its indexes are steps of their own."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *elements, **options)


def create_index(name: str, table: str, *columns: str) -> None:
    """Create the index *name* on *table* unless it exists."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add *column* to *table* unless it is there."""
    if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
