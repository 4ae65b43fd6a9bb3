"""Which projects have pending deliveries, found by skipping through an index from one project to the next."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.claims import PENDING, by_index
from eventalarm.storage.tables import delivery

# How many projects one look takes into account; the next look begins after the last of them.
PROJECTS: Final = 64
# Of pending deliveries that do not wait for their predecessor.
IS_PENDING: Final[Any] = sa.literal_column("'pending'")
FAR: Final[Any] = sa.literal_column("'9000-01-01'")
# How many projects PostgreSQL looks for.
MOST: Final[Any] = sa.bindparam("projects", type_=sa.Integer)

_FIRST: Final = sa.select(sa.func.min(delivery.c.project_id)).where(delivery.c.state == PENDING)
_NEXT: Final = _FIRST.where(delivery.c.project_id > sa.bindparam("name"))


def one_by_one(connection: sa.Connection, after: str | None) -> list[str]:
    """Return up to PROJECTS projects after *after*, asking for one at a time, where that costs nothing."""
    found: list[str] = []
    name = connection.execute(_FIRST if after is None else _NEXT, {"name": after}).scalar()
    while name is not None and len(found) < PROJECTS:
        found.append(name)
        name = connection.execute(_NEXT, {"name": name}).scalar()
    return found


@functools.lru_cache
def skipping(from_the_first: bool) -> sa.Select[Any]:
    """Return the recursive query with which PostgreSQL skips through an index in one statement.

    Its partial index is as long as there are deliveries that do not wait for a predecessor, whatever a held
    snapshot keeps of those that did. The parameters are ``projects``, and ``name`` if not *from_the_first*.
    """
    known = sa.select(sa.func.min(delivery.c.project_id).label("name")).where(*_does_not_wait(delivery))
    if not from_the_first:
        known = known.where(delivery.c.project_id > sa.bindparam("name"))
    known_cte = known.cte("known", recursive=True)
    following = delivery.alias("following")
    successor = (
        sa.select(sa.func.min(following.c.project_id))
        .where(*_does_not_wait(following), following.c.project_id > known_cte.c.name)
        .correlate(known_cte)
        .scalar_subquery()
    )
    known_cte = known_cte.union_all(sa.select(successor).where(known_cte.c.name.is_not(None)))
    return sa.select(known_cte.c.name).where(known_cte.c.name.is_not(None)).limit(MOST)


def _does_not_wait(table: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of PostgreSQL's partial index; it is not used for what is a parameter."""
    return table.c.state == IS_PENDING, table.c.next_attempt_at < FAR


def variable(number: int) -> sa.ColumnElement[str]:
    """Return the variable of a session of MySQL or MariaDB with the name of one project, or NULL."""
    return sa.literal_column(f"@eventalarm_{number}", delivery.c.project_id.type)


@functools.lru_cache
def chain(from_the_first: bool, slots: int) -> Sequence[sa.Select[Any]]:
    """Return the queries that put so many names into variables; each starts from the one before.

    MySQL and MariaDB skip through an index only if they are asked for one project at a time, and for a
    minimum only if the bound is no variable. The parameter is ``name`` if not *from_the_first*.
    """
    pending = sa.select(delivery.c.project_id).where(delivery.c.state == PENDING)
    first = by_index(pending.order_by(delivery.c.project_id).limit(1), delivery, "due")
    starts = [first if from_the_first else first.where(delivery.c.project_id > sa.bindparam("name"))]
    starts += [first.where(delivery.c.project_id > variable(number)) for number in range(slots - 1)]
    return [
        sa.select(start.scalar_subquery()).suffix_with(f"INTO @eventalarm_{number}")
        for number, start in enumerate(starts)
    ]


@functools.lru_cache
def chained(slots: int) -> Any:
    """Return the query of the variables that :func:`chain` has set."""
    return sa.select(*(variable(number).label(f"name{number}") for number in range(slots)))
