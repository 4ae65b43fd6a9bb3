"""Which deliveries a process may lease: the due heads of all projects in turn, bounded in number and bytes.

A look costs one index probe for each project with pending deliveries, however long one project's backlog is:
the candidates of each project are read separately, a bounded number of each, and picked in turn. This module
also defines what the loss of a process means for its deliveries: the first loss makes a delivery suspect; a
suspect delivery is marked before it is sent, and a loss while it is marked counts as an attempt.
"""

from __future__ import annotations

import datetime
import functools
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import EPOCH, UNFINISHED, UTC, DeliveryState
from eventalarm.storage import pending_projects
from eventalarm.storage.column_types import ID
from eventalarm.storage.tables import delivery, worker
from eventalarm.storage.turns import Candidate

# Values of next_attempt_at that depend on no clock: due now, or when the predecessor is finished.
AT_ONCE: Final = EPOCH
IN_TURN: Final = datetime.datetime(9999, 1, 1, tzinfo=UTC)
# How many deliveries of ended processes one look takes into account.
ORPHANS: Final = 20_000

PENDING: Final = DeliveryState.PENDING.value
LEASED: Final = DeliveryState.LEASED.value
MOMENT: Final = delivery.c.next_attempt_at.type
NOW: Final[Any] = sa.bindparam("now", type_=MOMENT)
# No retry is due later than this, unless the database's clock has been set back since it was put off.
LATEST: Final[Any] = sa.bindparam("latest", type_=MOMENT)
COLUMNS: Final = (delivery.c.seq, delivery.c.project_id, delivery.c.size)

# A project, and the prefix of its actions that go to one destination.
Place = tuple[str, str]


def is_due(now: datetime.datetime | sa.BindParameter[Any] = NOW) -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that are due."""
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at <= now)


def is_waiting() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that wait until their predecessor is finished."""
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at == IN_TURN)


def is_orphaned() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries whose process has no worker row any more."""
    registered = sa.exists().where(worker.c.worker_id == delivery.c.owner)
    return sa.and_(delivery.c.state == LEASED, ~registered)


def is_overlooked() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that wait, or are due after LATEST.

    Except those of which a registered worker holds a later one of the same order key: such a delivery had
    failed, and was retried meanwhile.
    """
    later = delivery.alias("later")
    overtaken = with_same_key(
        later,
        later.c.state == LEASED,
        later.c.seq > delivery.c.seq,
        sa.exists().where(worker.c.worker_id == later.c.owner),
    )
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at > LATEST, ~overtaken)


def is_head() -> sa.ColumnElement[bool]:
    """Return the condition for the oldest unfinished delivery of each order key."""
    before = delivery.alias("before")
    return ~with_same_key(before, before.c.state.in_(UNFINISHED), before.c.seq < delivery.c.seq)


def still_claimable(*, orphans: bool, overlooked: bool) -> sa.Select[Any]:
    """Return what finds the heads that may still be leased; the parameters are those of the first look."""
    allowed = [is_due()]
    allowed += [is_orphaned()] if orphans else []
    allowed += [is_overlooked()] if overlooked else []
    return sa.select(delivery.c.seq).where(sa.or_(*allowed), is_head())


def with_same_key(other: sa.FromClause, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the condition that an *other* delivery of the same order key fulfils *which*.

    MariaDB needs a hint: by its statistics the index of due deliveries can seem better, and is then read from
    end to end for each of thousands of waiting deliveries, which takes minutes and delays the lease too.
    """
    query = sa.select(other.c.seq).where(other.c.order_key == delivery.c.order_key, *which)
    return by_index(query, other, "order").correlate(delivery).exists()


def read(
    connection: sa.Connection,
    now: datetime.datetime,
    limit: int,
    *,
    latest: datetime.datetime | None,
    orphans: bool,
    registered: Sequence[str],
    avoid: Collection[Place],
    avoid_projects: Collection[str],
    after: str | None,
) -> tuple[list[Candidate], str | None]:
    """Return what may be leased now, in the order of each project, and the last project looked at.

    Without what *avoid* and *avoid_projects* name. Projects after *after*, if it is not None, come first.
    At most *limit* of one project are returned. With *latest* also the overlooked deliveries. With *orphans*
    also those of processes without a worker row, none of which is *registered*.
    """
    found = _lost(connection, limit, latest=latest, orphans=orphans, registered=registered)
    names = pending_projects.pending(connection, after)
    chosen = [name for name in names if name not in avoid_projects]
    last = names[-1] if names else None
    while chosen:
        each = -(-2 * limit // len(chosen))
        rows = _of_projects(connection, chosen, each, now, avoid)
        found += rows
        # Where few projects have many deliveries, they may use the room that the others leave.
        counts: defaultdict[str, int] = defaultdict(int)
        for row in rows:
            counts[row.project_id] += 1
        full = [name for name in chosen if counts[name] == each < limit]
        if len(rows) >= limit or not full or len(full) == len(chosen):
            break
        chosen = full
    return found, last


def _lost(
    connection: sa.Connection,
    limit: int,
    *,
    latest: datetime.datetime | None,
    orphans: bool,
    registered: Sequence[str],
) -> list[Candidate]:
    """Return what no process would send otherwise: deliveries of ended processes, and overlooked ones."""
    found: list[Candidate] = []
    if orphans and _has_unknown_owners(connection, registered):
        query = sa.select(*COLUMNS).where(is_orphaned(), is_head()).order_by(delivery.c.seq).limit(ORPHANS)
        found += _candidates(connection.execute(query))
    if latest is not None:
        query = sa.select(*COLUMNS).where(is_overlooked(), is_head()).order_by(delivery.c.seq).limit(limit)
        found += _candidates(connection.execute(query, {"latest": latest}))
    return found


def _has_unknown_owners(connection: sa.Connection, registered: Sequence[str]) -> bool:
    """Return True if there are deliveries of processes that are not *registered*.

    It costs one probe into the index of owners for each name, and one more: what lies at the names is not
    read. There are the finished deliveries of these processes, whose old versions cannot be removed from the
    index while a transaction holds a snapshot.
    """
    names = list(registered)
    names += names[-1:] * (_power(len(names)) - len(names))
    values = {f"registered{number}": name for number, name in enumerate(names)}
    return any(connection.execute(_between(len(names)), values).one())


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


def _candidates(rows: Iterable[Any]) -> list[Candidate]:
    return [Candidate(*row) for row in rows]


def _of_projects(
    connection: sa.Connection,
    projects: Sequence[str],
    each: int,
    now: datetime.datetime,
    avoid: Collection[Place],
) -> list[Candidate]:
    """Return up to *each* due heads of each of *projects*, the longest due first."""
    # Padded with the last one, so that few different statements are built.
    names = [*projects, *[projects[-1]] * (_power(len(projects)) - len(projects))]
    places = sorted(place for place in avoid if place[0] in projects)
    places += places[-1:] * (_power(len(places)) - len(places))
    values: dict[str, Any] = {"now": now, "each": each}
    values |= {f"project{number}": name for number, name in enumerate(names)}
    for number, (project_id, start) in enumerate(places):
        values |= {f"avoid{number}": _escaped(start), f"avoided{number}": project_id}
    rows = connection.execute(_heads_of(len(names), len(places)), values)
    return _candidates(dict.fromkeys(map(tuple, rows)))


@functools.lru_cache
def _heads_of(projects: int, avoided: int) -> Any:
    parts = []
    for number in range(projects):
        query = (
            sa.select(*COLUMNS)
            .where(is_due(), delivery.c.project_id == sa.bindparam(f"project{number}"), is_head())
            .order_by(delivery.c.next_attempt_at, delivery.c.seq)
            .limit(sa.bindparam("each", type_=sa.Integer))
        )
        for other in range(avoided):
            start = sa.bindparam(f"avoid{other}", type_=sa.String)
            elsewhere = delivery.c.action.not_like(start, escape="/")
            query = query.where(sa.or_(delivery.c.project_id != sa.bindparam(f"avoided{other}"), elsewhere))
        parts.append(sa.select(by_index(query, delivery, "due").subquery(f"part{number}")))
    return sa.union_all(*parts) if len(parts) > 1 else parts[0]


def by_index(query: sa.Select[Any], table: sa.FromClause, index: str) -> sa.Select[Any]:
    """Return *query* with the index of deliveries that MySQL and MariaDB must use for *table*."""
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(table, f"FORCE INDEX (ix_eventalarm_delivery_{index})", dialect)
    return query


def _escaped(start: str) -> str:
    return start.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"


def _power(number: int) -> int:
    """Return the next power of two, 0 for 0."""
    return 1 << (number - 1).bit_length() if number else 0


@functools.cache
def leasing() -> sa.Update:
    """Return the update that leases *seqs* to *new_owner*; a loss counts as the module docstring says."""
    lost = delivery.c.state == LEASED
    marked = sa.and_(lost, delivery.c.started.is_(sa.true()))
    counts = sa.or_(marked, sa.and_(lost, delivery.c.losses == 0))
    # In this order: MySQL evaluates assignments from left to right.
    named = delivery.c.seq.in_(sa.bindparam("seqs", expanding=True))
    return (
        sa.update(delivery)
        .where(named)
        .ordered_values(
            (delivery.c.attempts, delivery.c.attempts + sa.case((marked, 1), else_=0)),
            (delivery.c.losses, delivery.c.losses + sa.case((counts, 1), else_=0)),
            (delivery.c.started, None),
            (delivery.c.state, LEASED),
            (delivery.c.owner, sa.bindparam("new_owner")),
        )
    )


def _is_next() -> sa.ColumnElement[bool]:
    due = sa.or_(is_due(), is_waiting())
    return sa.and_(due, delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)))


@functools.cache
def next_heads() -> sa.Select[Any]:
    """Return the query of the heads of *keys* that wait or are due; built once, sent with every batch."""
    return (
        sa.select(*COLUMNS).where(_is_next(), is_head()).order_by(delivery.c.next_attempt_at, delivery.c.seq)
    )


@functools.cache
def still_next() -> sa.Select[Any]:
    """Return what finds those of the same heads that still wait or are due."""
    return sa.select(delivery.c.seq).where(_is_next(), is_head())
