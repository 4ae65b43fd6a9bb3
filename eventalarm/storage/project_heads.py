"""Asks for the due heads of each project with pending deliveries, together with the names of the projects.

It costs one index probe for each project, however long one project's backlog is: the heads of each project
are read separately, a bounded number of each.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage import pending_projects
from eventalarm.storage.claims import COLUMNS, Place, by_index, candidates, is_due, is_head, padded
from eventalarm.storage.tables import delivery
from eventalarm.storage.turns import Candidate

EACH: Final[Any] = sa.bindparam("each", type_=sa.Integer)
EXCLUDED: Final[Any] = sa.bindparam("excluded", expanding=True)
MYSQL: Final = ("mysql", "mariadb")

# The projects with pending deliveries, in the database's order, and the due heads of these.
OfProjects = tuple[list[str], list[Candidate]]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Which projects are looked at: those after ``after``, ``slots`` of them on MySQL and MariaDB.

    ``each`` is how many deliveries of one project are read at most.
    """

    after: str | None
    slots: int
    each: int


def ask(
    connection: sa.Connection, part: Part, avoid: Collection[Place], avoid_projects: Collection[str]
) -> Callable[[], OfProjects]:
    """Ask for the due heads of each project, the longest due first; return the function that reads them.

    Without those of what *avoid* and *avoid_projects* name.
    """
    places = padded(sorted(avoid))
    values: dict[str, Any] = {"each": part.each, "excluded": sorted(avoid_projects)}
    for number, (project_id, start) in enumerate(places):
        values |= {f"avoid{number}": _escaped(start), f"avoided{number}": project_id}
    begin = part.after is None
    if connection.dialect.name == "postgresql":
        values |= {"name": part.after, "projects": pending_projects.PROJECTS}
        names = connection.execute(pending_projects.skipping(begin), values)
        heads = connection.execute(_lateral(begin, len(places)), values)
        return lambda: (list(names.scalars()), candidates(heads))
    if connection.dialect.name in MYSQL:
        for query in pending_projects.chain(begin, part.slots):
            connection.execute(query, {"name": part.after})
        chained = connection.execute(pending_projects.chained(part.slots))
        heads = connection.execute(_of_chain(part.slots, len(places)), values)
        return lambda: ([name for name in chained.one() if name is not None], candidates(heads))
    known = pending_projects.one_by_one(connection, part.after)
    rows = [connection.execute(_of_project(len(places)), values | {"project": name}) for name in known]
    found = [one for some in rows for one in candidates(some)]
    return lambda: (known, found)


@functools.lru_cache
def _lateral(from_the_first: bool, avoided: int) -> sa.Select[Any]:
    """Return the query of the heads of each project that PostgreSQL finds by skipping."""
    names = pending_projects.skipping(from_the_first).subquery("names")
    heads = _heads(names.c.name, avoided).correlate(names).lateral("heads")
    return sa.select(heads).select_from(names.join(heads, sa.true())).where(names.c.name.not_in(EXCLUDED))


@functools.lru_cache
def _of_chain(slots: int, avoided: int) -> sa.CompoundSelect[Any]:
    """Return the query of the heads of each project whose name a variable holds."""
    parts = [
        sa.select(
            _heads(pending_projects.variable(number), avoided)
            .where(delivery.c.project_id.not_in(EXCLUDED))
            .subquery(f"part{number}")
        )
        for number in range(slots)
    ]
    return sa.union_all(*parts)


@functools.lru_cache
def _of_project(avoided: int) -> sa.Select[Any]:
    return _heads(sa.bindparam("project"), avoided).where(delivery.c.project_id.not_in(EXCLUDED))


def _heads(project: sa.ColumnElement[Any], avoided: int) -> sa.Select[Any]:
    """Return the query of EACH due heads of a project, without those for the *avoided* destinations."""
    query = (
        sa.select(*COLUMNS)
        .where(is_due(), delivery.c.project_id == project, is_head())
        .order_by(delivery.c.next_attempt_at, delivery.c.seq)
        .limit(EACH)
    )
    for other in range(avoided):
        start = sa.bindparam(f"avoid{other}", type_=sa.String)
        elsewhere = delivery.c.action.not_like(start, escape="/")
        query = query.where(sa.or_(delivery.c.project_id != sa.bindparam(f"avoided{other}"), elsewhere))
    return by_index(query, delivery, "due")


def _escaped(start: str) -> str:
    return start.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"
