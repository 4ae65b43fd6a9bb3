"""Which deliveries a process may lease: the due heads of all projects in turn, bounded in number and bytes.

The candidates of each project are read separately, a bounded number of each (``candidates.py``), and picked
in turn. This module also defines what the loss of a process means for its deliveries: the first loss makes a
delivery suspect; a suspect delivery is marked before it is sent, and a loss while it is marked counts as an
attempt.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from eventalarm.model import EPOCH, UNFINISHED, UTC, DeliveryState
from eventalarm.storage.attempts import size_for
from eventalarm.storage.clock import Present
from eventalarm.storage.tables import delivery, worker
from eventalarm.storage.turns import Candidate

# Values of next_attempt_at that depend on no clock: due now, or when the predecessor is finished.
AT_ONCE: Final = EPOCH
IN_TURN: Final = datetime.datetime(9999, 1, 1, tzinfo=UTC)
# The name of the index of the primary key.
PRIMARY: Final = "PRIMARY"
PENDING: Final = DeliveryState.PENDING.value
LEASED: Final = DeliveryState.LEASED.value
DEFERRED: Final = DeliveryState.DEFERRED.value
MOMENT: Final = delivery.c.next_attempt_at.type
NOW: Final = Present()
# No retry is due later than this, unless the database's clock has been set back since it was put off.
LATEST: Final[Any] = sa.bindparam("latest", type_=MOMENT)
COLUMNS: Final = (delivery.c.seq, delivery.c.project_id, delivery.c.size)

# A project, and the prefix of its actions that go to one destination.
Place = tuple[str, str]
T = TypeVar("T")


def candidates(rows: Iterable[Any]) -> list[Candidate]:
    """Return the candidates of *rows* with :data:`COLUMNS`."""
    return [Candidate(*row) for row in rows]


def padded(values: Sequence[T]) -> Sequence[T]:
    """Return *values* with the last one repeated, so that statements are built for few numbers of them."""
    if not values:
        return values
    return [*values, *[values[-1]] * (size_for(len(values)) - len(values))]


def is_due() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that are due."""
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at <= NOW)


def is_waiting() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that wait until their predecessor is finished."""
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at == IN_TURN)


def is_orphaned() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries whose process has no worker row any more."""
    registered = sa.exists().where(worker.c.worker_id == delivery.c.owner)
    return sa.and_(delivery.c.state == LEASED, ~registered)


def is_unfinished(table: sa.FromClause = delivery) -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that are pending or leased.

    Its values are written out: PostgreSQL does not use a partial index for what is a parameter.
    """
    return table.c.state.in_([sa.literal_column(f"'{name}'", table.c.state.type) for name in UNFINISHED])


def is_leased(table: sa.FromClause = delivery) -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that are leased, for the same index as :func:`is_unfinished`."""
    return table.c.state == sa.literal_column(f"'{LEASED}'", table.c.state.type)


def is_overlooked() -> sa.ColumnElement[bool]:
    """Return the condition for deliveries that wait, or are due after LATEST.

    Except those of which a registered worker holds a later one of the same order key: such a delivery had
    failed, and was retried meanwhile.
    """
    later = delivery.alias("later")
    overtaken = with_same_key(
        later,
        is_leased(later),
        later.c.seq > delivery.c.seq,
        sa.exists().where(worker.c.worker_id == later.c.owner),
    )
    return sa.and_(delivery.c.state == PENDING, delivery.c.next_attempt_at > LATEST, ~overtaken)


def is_head() -> sa.ColumnElement[bool]:
    """Return the condition for the oldest unfinished delivery of each order key."""
    before = delivery.alias("before")
    return ~with_same_key(before, is_unfinished(before), before.c.seq < delivery.c.seq)


@functools.lru_cache
def still_claimable(*, orphans: bool, overlooked: bool) -> sa.Select[Any]:
    """Return what finds those of the heads of a look that may still be leased.

    A head remains one: only the retry of an older delivery by hand changes that, and it may as well come
    after the lease.
    """
    allowed = [is_due()]
    allowed += [is_orphaned()] if orphans else []
    allowed += [is_overlooked()] if overlooked else []
    return sa.select(delivery.c.seq).where(sa.or_(*allowed))


def with_same_key(other: sa.FromClause, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the condition that an *other* delivery of the same order key fulfils *which*.

    MariaDB needs a hint: by its statistics the index of due deliveries can seem better, and is then read from
    end to end for each of thousands of waiting deliveries, which takes minutes and delays the lease too.
    """
    query = sa.select(other.c.seq).where(other.c.order_key == delivery.c.order_key, *which)
    return by_index(query, other, "order").correlate(delivery).exists()


def by_index(query: sa.Select[Any], table: sa.FromClause, index: str) -> sa.Select[Any]:
    """Return *query* with the index of deliveries that MySQL and MariaDB must use for *table*."""
    name = index if index == PRIMARY else f"ix_eventalarm_delivery_{index}"
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(table, f"FORCE INDEX ({name})", dialect)
    return query


@functools.cache
def still_deferred() -> sa.Select[Any]:
    """Return the query of the heads that wait for a circuit to close."""
    return sa.select(delivery.c.seq).where(delivery.c.state == DEFERRED, is_head())


@functools.cache
def behind() -> sa.Select[Any]:
    """Return the query of what waits behind what *holder* holds of *keys*, or was held by ended processes."""
    held = delivery.alias("held")
    holds = with_same_key(
        held,
        held.c.owner == sa.bindparam("holder"),
        is_leased(held),
        held.c.seq < delivery.c.seq,
    )
    wanted = sa.or_(delivery.c.state.in_((PENDING, DEFERRED)), is_orphaned())
    keys = delivery.c.order_key.in_(sa.bindparam("keys", expanding=True))
    return sa.select(delivery.c.seq).where(keys, wanted, holds)


@functools.cache
def make_due() -> sa.Update:
    """Return the update that makes those of *left* due that wait."""
    left = delivery.c.seq.in_(sa.bindparam("left", expanding=True))
    return sa.update(delivery).where(left, is_waiting()).values(next_attempt_at=AT_ONCE)


class LeaseStatements(NamedTuple):
    """What leases the deliveries *seqs* that still fulfil a condition to *new_owner*.

    ``lock`` locks them, and returns who had leased them before; ``update`` leases them.
    """

    lock: sa.Select[Any]
    update: sa.Update


@functools.lru_cache(maxsize=16)
def leasing(still: sa.Select[Any], *, waits: bool = False) -> LeaseStatements:
    """Return the statements that lease deliveries which are *still* found by a query.

    A loss counts as the module docstring says. What another session has locked is left out, or waited for if
    *waits*. The update needs no answer to the lock; it waits for no other session, since it locks only what
    it joins. Only the update evaluates the condition, which costs more than the rest.
    """
    named = delivery.c.seq.in_(sa.bindparam("seqs", expanding=True))
    known = sa.exists().where(worker.c.worker_id == sa.bindparam("new_owner"))
    lock = sa.select(delivery.c.seq, delivery.c.state, delivery.c.owner).where(named).order_by(delivery.c.seq)
    free = (
        still.where(named, known)
        .order_by(delivery.c.seq)
        .limit(sa.bindparam("number", type_=sa.Integer))
        .with_for_update(skip_locked=not waits)
        .subquery("free")
    )
    lost = delivery.c.state == LEASED
    marked = sa.and_(lost, delivery.c.started.is_(sa.true()))
    counts = sa.or_(marked, sa.and_(lost, delivery.c.losses == 0))
    # By an expression, else MySQL may look for each row of a small table among the free ones: that locks all.
    update = sa.update(delivery).where(delivery.c.seq == free.c.seq + 0)
    # In this order: MySQL evaluates assignments from left to right.
    return LeaseStatements(
        lock.with_for_update(skip_locked=not waits),
        update.ordered_values(
            (delivery.c.attempts, delivery.c.attempts + sa.case((marked, 1), else_=0)),
            (delivery.c.losses, delivery.c.losses + sa.case((counts, 1), else_=0)),
            (delivery.c.started, None),
            (delivery.c.state, LEASED),
            (delivery.c.owner, sa.bindparam("new_owner")),
        ),
    )


def not_held(locked: Iterable[Any], worker_id: str) -> set[int]:
    """Return the numbers of what a *lock* found, without the deliveries that *worker_id* held before."""
    return {seq for seq, state, owner in locked if state != LEASED or owner != worker_id}
