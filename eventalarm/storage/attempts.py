"""What came of attempts, written to the rows of the deliveries."""

from __future__ import annotations

import datetime
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import DeliveryResult, DeliveryState
from eventalarm.storage.tables import delivery
from eventalarm.storage.text import clean

ERROR_LENGTH: Final = 500

# No two batches of results make the same statement: SQLAlchemy would keep hundreds that are never used again.
UNLIKE_ANY_OTHER: Final[Any] = {"compiled_cache": None}


def held_by(worker_ids: Sequence[str] | sa.BindParameter[Any]) -> sa.ColumnElement[bool]:
    """Return what is true of the deliveries that one of *worker_ids* is sending."""
    return sa.and_(delivery.c.owner.in_(worker_ids), delivery.c.state == DeliveryState.LEASED.value)


def write(
    connection: sa.Connection,
    worker_ids: Sequence[str],
    results: Sequence[DeliveryResult],
    now: datetime.datetime,
) -> None:
    """Write *results* in the caller's transaction; rows that no one of *worker_ids* holds stay as they are.

    At most two statements, and one where actions had credentials. What is to be tried again goes back to the
    outbox, due after its ``retry_in``.
    """
    retries = [result for result in results if result.state == DeliveryState.PENDING]
    finished = [result for result in results if result.state != DeliveryState.PENDING]
    bare = {result.delivery_id: result.action for result in finished if result.action}
    if bare:
        # The text column is not compared: every row gets its own value.
        values = sa.case(bare, value=delivery.c.delivery_id)
        named = delivery.c.delivery_id.in_(bare)
        drop = sa.update(delivery).where(held_by(worker_ids), named).values(action=values)
        connection.execute(drop, execution_options=UNLIKE_ANY_OTHER)
    if finished and len({_outcome(result) for result in finished}) == 1:
        ids = [result.delivery_id for result in finished]
        outcome = {f"new_{name}": value for name, value in _outcome(finished[0])._asdict().items()}
        connection.execute(_finish_alike(), {**outcome, "now": now, "workers": worker_ids, "ids": ids})
    elif finished:
        done = _update(worker_ids, finished).values(owner=None, finished_at=now)
        connection.execute(done, execution_options=UNLIKE_ANY_OTHER)
    if retries:
        due = {r.delivery_id: now + datetime.timedelta(seconds=r.retry_in) for r in retries}
        columns: dict[str, Any] = {"owner": None, "next_attempt_at": _each(delivery.c.next_attempt_at, due)}
        # The process outlived the attempt: this is not what ends processes.
        columns |= {"losses": 0, "started": None}
        again = _update(worker_ids, retries).values(columns)
        connection.execute(again, execution_options=UNLIKE_ANY_OTHER)


class _Outcome(NamedTuple):
    """What a row tells of its last attempt, by column."""

    state: str
    attempts: int
    status: int | None
    error: str | None


def _outcome(result: DeliveryResult) -> _Outcome:
    error = clean(result.error)[:ERROR_LENGTH] or None
    return _Outcome(result.state.value, result.attempts, result.status, error)


@functools.cache
def _finish_alike() -> sa.Update:
    """Return what finishes the deliveries *ids* of *workers* with one outcome, which mostly all have."""
    named = delivery.c.delivery_id.in_(sa.bindparam("ids", expanding=True))
    outcome: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _Outcome._fields}
    done = sa.update(delivery).where(held_by(sa.bindparam("workers", expanding=True)), named)
    return done.values(**outcome, owner=None, finished_at=sa.bindparam("now"))


def _update(worker_ids: Sequence[str], results: Sequence[DeliveryResult]) -> sa.Update:
    named = delivery.c.delivery_id.in_([result.delivery_id for result in results])
    outcomes = {result.delivery_id: _outcome(result) for result in results}
    columns = {
        name: _each(delivery.c[name], {key: getattr(one, name) for key, one in outcomes.items()})
        for name in _Outcome._fields
    }
    return sa.update(delivery).where(held_by(worker_ids), named).values(columns)


def _each(column: sa.Column[Any], values: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    """Return one expression that gives each delivery its own value; the most frequent one is the default.

    Most batches hold one value only, and then this is a plain parameter.
    """
    usual = Counter(values.values()).most_common(1)[0][0]
    others = {name: sa.literal(value, column.type) for name, value in values.items() if value != usual}
    default = sa.literal(usual, column.type)
    return sa.case(others, value=delivery.c.delivery_id, else_=default) if others else default
