"""Sends statements to the database together whose results are needed only afterwards: one round trip.

Where the database has no pipelines the same statements take a trip each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from eventalarm.storage.database import Database

T = TypeVar("T")
# Executes statements, and returns the function that reads their results.
Ask = Callable[[sa.Connection], Callable[[], T]]


def read_in_one_trip(database: Database, ask: Ask[T]) -> T:
    """Return what *ask* reads; every statement sees what was committed before it.

    :raises Retryable: when the database failed.
    """
    if database.has_pipelines:
        return write_in_one_trip(database, ask)
    with database.read() as connection:
        return ask(connection)()


def write_in_one_trip(database: Database, ask: Ask[T]) -> T:
    """Return what *ask* reads, in a transaction.

    :raises Retryable: when the database failed.
    """
    with database.pipeline() as connection:
        read = ask(connection)
        if not database.has_pipelines:
            return read()
    # The rows have arrived with the answer to the commit.
    return read()
