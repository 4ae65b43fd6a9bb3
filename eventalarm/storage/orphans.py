"""Asks for deliveries that no process would send otherwise: of ended processes, and overlooked ones."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.claims import COLUMNS, candidates, is_head, is_orphaned, is_overlooked, padded
from eventalarm.storage.column_types import ID
from eventalarm.storage.tables import delivery
from eventalarm.storage.turns import Candidate

# How many deliveries of ended processes one look takes into account.
ORPHANS: Final = 20_000

HEADS: Final = sa.select(*COLUMNS).where(is_head()).order_by(delivery.c.seq)
ORPHANED: Final = HEADS.where(is_orphaned()).limit(ORPHANS)
OVERLOOKED: Final = HEADS.where(is_overlooked()).limit(sa.bindparam("limit", type_=sa.Integer))


def ask_orphaned(connection: sa.Connection) -> Callable[[], list[Candidate]]:
    """Ask for the heads of processes without a worker row; return the function that reads them."""
    found = connection.execute(ORPHANED)
    return lambda: candidates(found)


def ask_overlooked(
    connection: sa.Connection, latest: datetime.datetime, limit: int
) -> Callable[[], list[Candidate]]:
    """Ask for heads that wait, or are due after *latest*; return the function that reads them."""
    found = connection.execute(OVERLOOKED, {"latest": latest, "limit": limit})
    return lambda: candidates(found)


def ask_for_others(connection: sa.Connection, registered: Sequence[str]) -> Callable[[], bool]:
    """Ask if there are deliveries of processes that are not *registered*; return the function that reads it.

    It costs one probe into the index of owners for each name, and one more: what lies at the names is not
    read. There are the finished deliveries of these processes, whose old versions cannot be removed from the
    index while a transaction holds a snapshot.

    :param registered: names of workers, in the order in which the database compares them.
    """
    names = padded(registered)
    values = {f"registered{number}": name for number, name in enumerate(names)}
    found = connection.execute(_between(len(names)), values)
    return lambda: any(found.one())


@functools.lru_cache
def _between(registered: int) -> sa.Select[Any]:
    """Return the query of one owner before, between and after so many names, in the order of the database."""
    names = [sa.bindparam(f"registered{number}", type_=ID) for number in range(registered)]
    owner = delivery.c.owner
    probes = []
    for low, high in itertools.pairwise([None, *names, None]):
        above = sa.true() if low is None else owner > low
        below = sa.true() if high is None else owner < high
        probes.append(sa.select(sa.func.min(owner)).where(above, below).scalar_subquery())
    return sa.select(*(probe.label(f"probe{number}") for number, probe in enumerate(probes)))
