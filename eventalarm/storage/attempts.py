"""The attempts of deliveries: the last one in the row of the delivery, those before in their own table.

So a delivery that succeeds at once, the usual case, costs no row. An attempt is copied when the next one is
recorded or when the delivery is retried by hand, in the same transaction.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import DeliveryResult
from eventalarm.storage.column_types import ID
from eventalarm.storage.tables import delivery, delivery_attempt

# The default of [eventalarm_delivery] attempts_kept.
KEPT: Final = 20
NO_LATENCY: Final = -1.0
_NAMED: Final[sa.BindParameter[Any]] = sa.bindparam("ids", expanding=True)
_NUMBER: Final = delivery.c.earlier_attempts + delivery.c.attempts
_COPIED: Final = {
    "delivery_id": delivery.c.delivery_id,
    "number": _NUMBER,
    "ended_at": delivery.c.attempted_at,
    "latency": delivery.c.latency,
    "status": delivery.c.status,
    "error": delivery.c.error,
}


@dataclasses.dataclass(frozen=True, slots=True)
class StoredAttempt:
    """One attempt: its number, when it ended (aware UTC), and its latency in seconds."""

    number: int
    ended_at: datetime.datetime
    latency: float
    status: int | None
    error: str


@functools.cache
def _copy(*, held: bool) -> sa.Insert:
    """Return the copy of the last attempts of *ids*; *held*: only of those that one of *workers* holds."""
    last = sa.select(*_COPIED.values()).where(
        delivery.c.delivery_id.in_(_NAMED), delivery.c.latency.is_not(None)
    )
    if held:
        last = last.where(delivery.c.owner.in_(sa.bindparam("workers", expanding=True)))
    return sa.insert(delivery_attempt).from_select(list(_COPIED), last)


@functools.cache
def _remove_oldest() -> sa.Delete:
    this = delivery.c.delivery_id == delivery_attempt.c.delivery_id
    bound = sa.select(_NUMBER - sa.bindparam("kept", type_=sa.Integer)).where(this).scalar_subquery()
    return sa.delete(delivery_attempt).where(
        delivery_attempt.c.delivery_id.in_(_NAMED), delivery_attempt.c.number <= bound
    )


def copy_before(
    connection: sa.Connection, worker_ids: Sequence[str], results: Sequence[DeliveryResult], kept: int
) -> None:
    """Copy the attempts before those of *results*, which are then written in the same transaction.

    No statement if all are first attempts, otherwise one, and one more if a delivery has had more than *kept*
    since it was last retried by hand.
    """
    # Without a latency no attempt was made, and ``attempts`` counts only earlier ones.
    again = [one for one in results if one.attempts > (0 if one.latency is None else 1)]
    if again:
        ids = [one.delivery_id for one in again]
        connection.execute(_copy(held=True), {"workers": list(worker_ids), "ids": ids})
    if many := [one.delivery_id for one in again if one.attempts > kept]:
        connection.execute(_remove_oldest(), {"ids": many, "kept": kept})


def copy_last(connection: sa.Connection, delivery_ids: Collection[str], kept: int) -> None:
    """Copy the last attempts of deliveries that are about to be retried by hand; *kept* of each remain."""
    named = {"ids": sorted(delivery_ids)}
    connection.execute(_copy(held=False), named)
    connection.execute(_remove_oldest(), {**named, "kept": kept})


def remove(connection: sa.Connection, delivery_ids: Collection[str]) -> None:
    """Remove the attempts of those of *delivery_ids* that were removed before in the same transaction."""
    gone = ~sa.exists().where(delivery.c.delivery_id == delivery_attempt.c.delivery_id)
    named = delivery_attempt.c.delivery_id.in_(delivery_ids)
    connection.execute(sa.delete(delivery_attempt).where(named, gone))


def of_delivery(connection: sa.Connection, delivery_id: str) -> list[StoredAttempt]:
    """Return the attempts of a delivery, the oldest first; those that were not kept are missing."""
    before = sa.select(*(delivery_attempt.c[name] for name in _COPIED if name != "delivery_id")).where(
        delivery_attempt.c.delivery_id == delivery_id
    )
    last = sa.select(
        *(column.label(name) for name, column in _COPIED.items() if name != "delivery_id")
    ).where(delivery.c.delivery_id == delivery_id, delivery.c.latency.is_not(None))
    rows = connection.execute(before.union_all(last).order_by("number", "ended_at"))
    return [StoredAttempt(**{**row._mapping, "error": row.error or ""}) for row in rows]


@functools.cache
def latencies(size: int) -> sa.ColumnElement[Any]:
    """Return an expression with the latency of each of up to *size* deliveries: see :func:`latency_values`.

    Few sizes are asked for, and each is compiled once.
    """
    whens: list[Any] = [
        (sa.bindparam(f"id_{number}", type_=ID), sa.bindparam(f"latency_{number}", type_=sa.Double()))
        for number in range(size)
    ]
    # Databases cannot tell the type of an expression of which every value is NULL.
    return sa.func.nullif(sa.case(*whens, value=delivery.c.delivery_id), NO_LATENCY)


def size_for(number: int) -> int:
    """Return the size of the expression for *number* deliveries: the next power of two."""
    return 1 << (number - 1).bit_length()


def latency_values(results: Sequence[DeliveryResult]) -> Mapping[str, Any]:
    """Return the parameters of :func:`latencies` for *results*."""
    values: dict[str, Any] = {}
    for number in range(size_for(len(results))):
        one = results[min(number, len(results) - 1)]
        latency = NO_LATENCY if one.latency is None else one.latency
        values |= {f"id_{number}": one.delivery_id, f"latency_{number}": latency}
    return values
