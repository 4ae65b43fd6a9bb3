"""Which projects have pending deliveries, found by skipping through an index from one project to the next."""

from __future__ import annotations

import functools
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import DeliveryState
from eventalarm.storage.tables import delivery

PENDING: Final = DeliveryState.PENDING.value
# How many projects one look takes into account; the next look begins after the last of them.
PROJECTS: Final = 64
# Of pending deliveries that do not wait for their predecessor.
IS_PENDING: Final[Any] = sa.literal_column("'pending'")
FAR: Final[Any] = sa.literal_column("'9000-01-01'")


def pending(connection: sa.Connection, after: str | None) -> list[str]:
    """Return up to PROJECTS projects with pending deliveries: first those after *after*."""
    following = _projects(connection, after, PROJECTS)
    if after is not None and len(following) < PROJECTS:
        following += [name for name in _projects(connection, None, PROJECTS) if name not in following]
    return following[:PROJECTS]


def _projects(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Return the projects after *after* in the order of the database, skipping from one to the next."""
    first = _FIRST if after is None else _NEXT
    if connection.dialect.name == "postgresql":
        query = _skipping(after is None).limit(limit)
        return list(connection.execute(query, {"name": after}).scalars())
    # Other databases skip only if they are asked for one project at a time; usually there are few.
    found: list[str] = []
    name = connection.execute(first, {"name": after}).scalar()
    while name is not None and len(found) < limit:
        found.append(name)
        name = connection.execute(_NEXT, {"name": name}).scalar()
    return found


_FIRST: Final = sa.select(sa.func.min(delivery.c.project_id)).where(delivery.c.state == PENDING)
_NEXT: Final = _FIRST.where(delivery.c.project_id > sa.bindparam("name"))


@functools.lru_cache
def _skipping(from_the_first: bool) -> sa.Select[Any]:
    """Return the recursive query with which PostgreSQL skips through an index in one statement.

    Its partial index is as long as there are deliveries that do not wait for a predecessor, whatever a held
    snapshot keeps of those that did.
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
    return sa.select(known_cte.c.name).where(known_cte.c.name.is_not(None))


def _does_not_wait(table: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of PostgreSQL's partial index; it is not used for what is a parameter."""
    return table.c.state == IS_PENDING, table.c.next_attempt_at < FAR
