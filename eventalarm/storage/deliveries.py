"""Deliveries as rows of the outbox, and the results of their attempts."""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import UNFINISHED, Delivery, DeliveryResult, DeliveryState, JSONDict
from eventalarm.storage import attempts, operational_events
from eventalarm.storage.claims import is_unfinished
from eventalarm.storage.column_types import ID, clean, to_key
from eventalarm.storage.tables import delivery

# One statement names at most this many rows: psycopg 3 takes 65,535 parameters, SQLite 32,766.
CHUNK: Final = 5000
UNFINISHED_KEYS: Final = (
    sa.select(delivery.c.order_key)
    .where(delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)), is_unfinished())
    .distinct()
)


def order_key(alarm_id: str, action: str) -> str:
    """Return the order key of the deliveries of one alarm to one action: 64 hexadecimal characters."""
    return hashlib.sha256(f"{alarm_id}\n{action}".encode("utf-8", "surrogatepass")).hexdigest()


def notified_reason(reason: str, inhibited_by: str | None) -> str:
    """Return the reason of a notification; one that maintenance held back until its end says so."""
    if inhibited_by is None:
        return reason
    return f"{reason} Not notified before, because of the maintenance {inhibited_by}."


def reason_data(
    event: Any,
    *,
    kind: str | None,
    occurrence_id: str | None,
    managed_object: str | None,
    raised: int | None,
    objects: Sequence[str] | None,
    inhibited_by: str | None,
) -> JSONDict:
    """Return the ``reason_data`` of a notification: Aodh's two fields, and the occurrence that changed.

    *raised* is the number of managed objects on which the alarm is raised. If it is None, as for every
    ``event`` alarm, only Aodh's fields are returned. *objects* are those in fault, for ``at_least``.
    *inhibited_by* is the session of maintenance that held the notification back until its end.
    """
    data: JSONDict = {"type": "event", "event": event}
    if inhibited_by is not None:
        data["inhibited_by"] = inhibited_by
    if raised is not None:
        data["occurrence"] = {
            "id": occurrence_id,
            "managed_object": managed_object,
            "transition": kind,
            "raised": raised,
        }
        if objects is not None:
            data["occurrence"]["objects"] = list(objects)
    return data


def to_row(item: Delivery, transition_id: str, owner: str | None, due: datetime.datetime) -> JSONDict:
    """Return the new row of *item*: leased to *owner*, or pending and due at *due*."""
    return {
        "delivery_id": item.delivery_id,
        "transition_id": transition_id,
        "order_key": item.order_key,
        "alarm_id": item.alarm_id,
        "project_id": item.project_id,
        "action": clean(item.action),
        "state": (DeliveryState.LEASED if owner else DeliveryState.PENDING).value,
        "owner": owner,
        "attempts": item.attempts,
        "next_attempt_at": due,
        "created_at": item.created_at,
        "subscription_id": item.subscription_id or None,
        "body": clean(item.body) if item.body else None,
        "size": item.size,
        "destination": to_key(item.destination),
    }


def insert_refused(
    connection: sa.Connection, items: Sequence[Delivery], transition_id: str, error: str
) -> None:
    """Insert *items* that are never sent, given up with *error*, in the caller's transaction."""
    given_up = {"state": DeliveryState.FAILED.value, "error": error}
    rows = [to_row(one, transition_id, None, one.created_at) | given_up for one in items]
    connection.execute(sa.insert(delivery), [row | {"finished_at": row["created_at"]} for row in rows])


ERROR_LENGTH: Final = 500

# Hardly two batches of results make the same statement: SQLAlchemy would cache hundreds in vain.
NOT_CACHED: Final[Any] = {"compiled_cache": None}


def held_by(worker_ids: Sequence[str] | sa.BindParameter[Any]) -> sa.ColumnElement[bool]:
    """Return the condition for the deliveries that one of *worker_ids* holds."""
    return sa.and_(delivery.c.owner.in_(worker_ids), delivery.c.state == DeliveryState.LEASED.value)


def write(
    connection: sa.Connection,
    worker_ids: Sequence[str],
    results: Sequence[DeliveryResult],
    now: datetime.datetime,
    kept: int = attempts.KEPT,
    *,
    reports_dead: bool = False,
) -> None:
    """Write *results* in the caller's transaction; rows that none of *worker_ids* holds are not changed.

    At most two statements, one more if actions had credentials, one more if some are given up and
    *reports_dead*, and two more if deliveries had attempts before, of which :func:`attempts.copy_before`
    keeps the newest. A delivery to be retried or deferred goes back to the outbox; the former is due after
    its ``retry_in`` (seconds).
    """
    attempts.copy_before(connection, worker_ids, results, kept)
    retries = [result for result in results if result.state in UNFINISHED]
    finished = [result for result in results if result.state not in UNFINISHED]
    if finished:
        _finish(connection, worker_ids, finished, now)
    dead = [result.delivery_id for result in finished if result.state == DeliveryState.FAILED]
    if dead and reports_dead:
        operational_events.add_dead(connection, delivery.c.delivery_id.in_(dead), now)
    if retries:
        due = {r.delivery_id: now + datetime.timedelta(seconds=r.retry_in) for r in retries}
        columns: dict[str, Any] = {"owner": None, "next_attempt_at": _each(delivery.c.next_attempt_at, due)}
        # The process survived the attempt: this delivery does not end processes.
        columns |= {"losses": 0, "started": None, "attempted_at": now}
        again = _update(worker_ids, retries).values(columns)
        connection.execute(again, execution_options=NOT_CACHED)


def _finish(
    connection: sa.Connection,
    worker_ids: Sequence[str],
    finished: Sequence[DeliveryResult],
    now: datetime.datetime,
) -> None:
    """Write final results; actions with credentials are replaced by those without."""
    bare = {result.delivery_id: result.action for result in finished if result.action}
    if bare:
        # The text column is not compared: every row gets its own value.
        values = sa.case(bare, value=delivery.c.delivery_id)
        named = delivery.c.delivery_id.in_(bare)
        drop = sa.update(delivery).where(held_by(worker_ids), named).values(action=values)
        connection.execute(drop, execution_options=NOT_CACHED)
    if len({_outcome(result) for result in finished}) > 1:
        done = _update(worker_ids, finished).values(owner=None, finished_at=now, attempted_at=now)
        connection.execute(done, execution_options=NOT_CACHED)
        return
    ids = [result.delivery_id for result in finished]
    outcome = {f"new_{name}": value for name, value in _outcome(finished[0])._asdict().items()}
    outcome |= {**attempts.latency_values(finished), "now": now, "workers": worker_ids, "ids": ids}
    profiled = [result for result in finished if result.profile]
    outcome |= _profile_values(profiled)
    sizes = attempts.size_for(len(finished)), attempts.size_for(len(profiled)) if profiled else 0
    connection.execute(_finish_alike(*sizes), outcome)


class _Outcome(NamedTuple):
    """The result of the last attempt; the fields are named like the columns."""

    state: str
    attempts: int
    status: int | None
    error: str | None


def _outcome(result: DeliveryResult) -> _Outcome:
    error = clean(result.error)[:ERROR_LENGTH] or None
    return _Outcome(result.state.value, result.attempts, result.status, error)


@functools.cache
def _finish_alike(size: int, profiled: int) -> sa.Update:
    """Return the update that finishes up to *size* deliveries *ids* of *workers* alike, the usual case.

    Up to *profiled* of them get their profile (:func:`_profile_values`).
    """
    named = delivery.c.delivery_id.in_(sa.bindparam("ids", expanding=True))
    outcome: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _Outcome._fields}
    done = sa.update(delivery).where(held_by(sa.bindparam("workers", expanding=True)), named)
    times: dict[str, Any] = {"finished_at": sa.bindparam("now"), "attempted_at": sa.bindparam("now")}
    if profiled:
        outcome["profile"] = _profiles(profiled)
    return done.values(**outcome, **times, owner=None, latency=attempts.latencies(size))


def _profiles(size: int) -> sa.ColumnElement[Any]:
    whens: list[Any] = [
        (sa.bindparam(f"profiled_{number}", type_=ID), sa.bindparam(f"profile_{number}", type_=sa.Text()))
        for number in range(size)
    ]
    return sa.case(*whens, value=delivery.c.delivery_id, else_=delivery.c.profile)


def _profile_values(profiled: Sequence[DeliveryResult]) -> JSONDict:
    """Return the parameters of :func:`_profiles`; the last one is repeated up to a power of two."""
    size = attempts.size_for(len(profiled)) if profiled else 0
    padded = [profiled[min(number, len(profiled) - 1)] for number in range(size)]
    values: JSONDict = {f"profiled_{number}": one.delivery_id for number, one in enumerate(padded)}
    return values | {f"profile_{number}": one.profile for number, one in enumerate(padded)}


def _update(worker_ids: Sequence[str], results: Sequence[DeliveryResult]) -> sa.Update:
    named = delivery.c.delivery_id.in_([result.delivery_id for result in results])
    outcomes = {result.delivery_id: _outcome(result) for result in results}
    columns = {
        name: _each(delivery.c[name], {key: getattr(one, name) for key, one in outcomes.items()})
        for name in _Outcome._fields
    }
    columns["latency"] = _each(delivery.c.latency, {one.delivery_id: one.latency for one in results})
    if profiles := {one.delivery_id: one.profile for one in results if one.profile}:
        columns["profile"] = sa.case(profiles, value=delivery.c.delivery_id, else_=delivery.c.profile)
    return sa.update(delivery).where(held_by(worker_ids), named).values(columns)


def _each(column: sa.Column[Any], values: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    """Return one expression with the value of each delivery; the most frequent value is the default.

    Most batches hold one value only; then this is a plain parameter.
    """
    usual = Counter(values.values()).most_common(1)[0][0]
    others = {name: sa.literal(value, column.type) for name, value in values.items() if value != usual}
    default = sa.literal(usual, column.type)
    return sa.case(others, value=delivery.c.delivery_id, else_=default) if others else default


def unfinished_keys(connection: sa.Connection, keys: Iterable[str]) -> set[str]:
    """Return which of the order keys *keys* have unfinished deliveries."""
    wanted = sorted(keys)
    found: set[str] = set()
    for start in range(0, len(wanted), CHUNK):
        some = {"keys": wanted[start : start + CHUNK]}
        found.update(connection.execute(UNFINISHED_KEYS, some).scalars())
    return found


def put_back(
    worker_id: str, due: datetime.datetime, state: DeliveryState = DeliveryState.PENDING
) -> sa.Update:
    """Return the update that makes the deliveries of *worker_id* pending again, due at *due*, or deferred."""
    pending = {
        "state": state.value,
        "owner": None,
        "next_attempt_at": due,
        "started": None,
    }
    return sa.update(delivery).where(held_by([worker_id])).values(pending)
