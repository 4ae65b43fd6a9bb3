"""The queries of what follows a finished delivery: the head of its order key.

What is unfinished of each key is read once, and so is what a held snapshot keeps of that, however many
deliveries of the key wait. The queries prescribe how the databases proceed: their statistics are often those
of an outbox in which nothing waited.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from eventalarm.storage.claims import (
    COLUMNS,
    IN_TURN,
    NOW,
    PENDING,
    PRIMARY,
    by_index,
    is_due,
    is_unfinished,
    is_waiting,
)
from eventalarm.storage.tables import delivery

_READ: Final = (*COLUMNS, delivery.c.state, delivery.c.next_attempt_at)


@functools.cache
def next_heads(dialect: str) -> sa.Select[Any]:
    """Return the query of the heads of *keys* that wait or are due; built once, sent with every batch."""
    return _of_each_key() if dialect == "postgresql" else _of_all_keys()


def _of_each_key() -> sa.Select[Any]:
    """Return the query for PostgreSQL, which asks for one key after the other."""
    before = delivery.alias("before")
    wanted = sa.func.unnest(sa.bindparam("keys", type_=ARRAY(sa.String))).table_valued("order_key")
    keys = wanted.render_derived("keys")
    unfinished = sa.select(*(before.c[column.name] for column in _READ)).where(
        before.c.order_key == keys.c.order_key, is_unfinished(before)
    )
    # By an expression, else rows may be read in the order of seq until one has the key.
    heads = unfinished.order_by(before.c.seq + 0).limit(1).correlate(keys).lateral("heads")
    due = sa.or_(heads.c.next_attempt_at <= NOW, heads.c.next_attempt_at == IN_TURN)
    return (
        sa.select(*(heads.c[column.name] for column in COLUMNS))
        .join_from(keys, heads, sa.true())
        .where(heads.c.state == PENDING, due)
        .order_by(heads.c.next_attempt_at, heads.c.seq)
    )


def _of_all_keys() -> sa.Select[Any]:
    """Return the query for the other databases, which groups what is unfinished by key."""
    before = delivery.alias("before")
    named = before.c.order_key.in_(sa.bindparam("keys", expanding=True))
    oldest = sa.select(sa.func.min(before.c.seq).label("seq")).where(named, is_unfinished(before))
    heads = by_index(oldest.group_by(before.c.order_key), before, "order").subquery("heads")
    return (
        by_index(sa.select(*COLUMNS), delivery, PRIMARY)
        .join(heads, heads.c.seq == delivery.c.seq)
        .where(sa.or_(is_due(), is_waiting()))
        .order_by(delivery.c.next_attempt_at, delivery.c.seq)
    )


@functools.cache
def still_next() -> sa.Select[Any]:
    """Return what finds those of the same heads that still wait or are due."""
    return sa.select(delivery.c.seq).where(sa.or_(is_due(), is_waiting()))
