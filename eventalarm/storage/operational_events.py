"""Operational events in the database: written with the change that they are about, until they are published.

Each is a row of the transaction that changes the circuit, gives the delivery up or removes the worker: there
is one event for each change, whatever fails. Its id is made of what is stored, so that an event that is
published again, because the process ended before it noted that, has no effect.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import TIMER_EVENT_TYPE, DeliveryState, OperationalEvent, OperationalType
from eventalarm.storage.column_types import clean, insert_new, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.operational_tables import operational_event as table
from eventalarm.storage.tables import delivery, transition, worker

# Dead deliveries of one alarm to one destination are gathered for this many seconds after the first one.
GATHERED_FOR: Final = 30.0
# The most rows that are gathered, or published, in one round.
MOST: Final = 5000
PAGE: Final = 200
CHUNK: Final = 1000

GATHERED: Final = "gathered"
READY: Final = "ready"
PUBLISHED: Final = "published"
LOST: Final = "its lease was not renewed in time"

# What a process may be told to report: the subjects of the event types.
SUBJECTS: Final = frozenset(one.subject for one in OperationalType)
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(OperationalEvent))
_TYPES: Final = tuple(one.value for one in OperationalType)
_ADD: Final = insert_new(table)


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """An event that waits to be published, and the number of its row."""

    seq: int
    event: OperationalEvent


def add(connection: sa.Connection, events: Sequence[OperationalEvent]) -> None:
    """Write *events* in the caller's transaction, except those that were reported before."""
    if events:
        connection.execute(_ADD[connection.dialect.name], [_row(one) for one in events])


def add_dead(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime.datetime) -> None:
    """Write an event for each of the deliveries *which* that the caller's transaction gave up at *now*.

    One statement. Notifications of subscribers are left out, since their subscription is suspended instead,
    and what is about an operational event, which would never end.
    """
    values = {
        "state": sa.literal(GATHERED),
        "event_type": sa.literal(OperationalType.DELIVERY_DEAD.value),
        "project_id": delivery.c.project_id,
        "resource_id": sa.func.coalesce(delivery.c.destination, ""),
        "alarm_id": delivery.c.alarm_id,
        "delivery_id": delivery.c.delivery_id,
        "reason": delivery.c.error,
        "status": delivery.c.status,
        "since": delivery.c.created_at,
        "at": delivery.c.finished_at,
        "number": sa.literal(1),
    }
    dead = sa.select(*values.values()).where(
        which,
        delivery.c.state == DeliveryState.FAILED.value,
        delivery.c.finished_at == now,
        delivery.c.subscription_id.is_(None),
        ~_is_operational(),
    )
    connection.execute(sa.insert(table).from_select(list(values), dead))


def _is_operational() -> sa.ColumnElement[bool]:
    """Return the condition for a delivery about an operational event, or about its alarm's timer."""
    this, other = transition.alias(), transition.alias()
    same_alarm = sa.exists().where(
        other.c.occurrence_id == this.c.occurrence_id, other.c.event_type.in_(_TYPES)
    )
    by_timer = sa.and_(this.c.event_type.startswith(TIMER_EVENT_TYPE), same_alarm)
    return sa.exists().where(
        this.c.transition_id == delivery.c.transition_id, sa.or_(this.c.event_type.in_(_TYPES), by_timer)
    )


def add_lost(connection: sa.Connection, ended: Mapping[str, int], now: datetime.datetime) -> None:
    """Write an event for each worker in *ended*, which the caller's transaction then removes.

    Their numbers of renewals must still be the given ones. Of several processes one writes it.
    """
    empty = sa.literal("")
    values = {
        "once": worker.c.worker_id,
        "state": sa.literal(READY),
        "event_type": sa.literal(OperationalType.LISTENER_LOST.value),
        "project_id": empty,
        "resource_id": worker.c.host,
        "alarm_id": empty,
        "delivery_id": empty,
        "reason": sa.literal(LOST),
        "since": worker.c.expires_at,
        "at": sa.literal(now, table.c.at.type),
        "number": sa.literal(1),
    }
    same = (
        sa.and_(worker.c.worker_id == name, worker.c.renewals == number)
        for name, number in sorted(ended.items())
    )
    lost = sa.select(*values.values()).where(sa.or_(*same))
    connection.execute(_ADD[connection.dialect.name].from_select(list(values), lost))


class OperationalEvents:
    """The events that wait in one database; safe to share between threads.

    Every method is one transaction, and raises Retryable when the database failed.
    """

    def __init__(self, database: Database, gathered_for: float = GATHERED_FOR) -> None:
        self._database = database
        self._gathered_for = datetime.timedelta(seconds=gathered_for)

    def add(self, events: Sequence[OperationalEvent]) -> None:
        """Write events that no other change goes with, except those that were reported before."""
        with self._database.begin() as connection:
            add(connection, events)

    def waiting(self) -> bool:
        """Return True if there are events to gather or to publish now."""
        oldest = sa.select(table.c.state, sa.func.min(table.c.at)).group_by(table.c.state)
        with self._database.read() as connection:
            found = dict(connection.execute(oldest.where(table.c.state.in_((GATHERED, READY)))).all())
        return READY in found or (GATHERED in found and found[GATHERED] <= self._gathered_before())

    def gather(self) -> None:
        """Make one event of the dead deliveries of each alarm to each destination, if that is due."""
        query = sa.select(table.c.seq, table.c.project_id, table.c.alarm_id, table.c.resource_id, table.c.at)
        query = query.where(table.c.state == GATHERED).order_by(table.c.at, table.c.seq).limit(MOST)
        with self._database.begin() as connection:
            rows = connection.execute(query.with_for_update()).all()
            if not rows or rows[0].at > self._gathered_before():
                return
            groups: dict[tuple[str, str, str], list[int]] = {}
            for row in rows:
                groups.setdefault((row.project_id, row.alarm_id, row.resource_id), []).append(row.seq)
            change = sa.update(table).where(table.c.seq == sa.bindparam("first"))
            change = change.values(state=READY, number=sa.bindparam("count"))
            firsts = [{"first": seqs[0], "count": len(seqs)} for seqs in groups.values()]
            connection.execute(change, firsts)
            _remove(connection, [seq for seqs in groups.values() for seq in seqs[1:]])

    def ready(self) -> list[Stored]:
        """Return up to :data:`PAGE` events to publish, in the order in which they were written."""
        query = sa.select(table).where(table.c.state == READY).order_by(table.c.seq).limit(PAGE)
        with self._database.read() as connection:
            return [Stored(row.seq, _event(row)) for row in connection.execute(query)]

    def published(self, stored: Sequence[Stored]) -> None:
        """Remove events that the broker has confirmed; note those that may be reported again."""
        kept = [one.seq for one in stored if one.event.once]
        with self._database.begin() as connection:
            if kept:
                these = sa.update(table).where(table.c.seq.in_(kept))
                connection.execute(these.values(state=PUBLISHED))
            _remove(connection, [one.seq for one in stored if not one.event.once])

    def _gathered_before(self) -> datetime.datetime:
        return self._database.about_now() - self._gathered_for


def _remove(connection: sa.Connection, seqs: Collection[int]) -> None:
    ordered = sorted(seqs)
    for start in range(0, len(ordered), CHUNK):
        some = ordered[start : start + CHUNK]
        connection.execute(sa.delete(table).where(table.c.seq.in_(some)))


def _row(event: OperationalEvent) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in _FIELDS}
    return values | {
        "state": READY,
        "event_type": event.event_type.value,
        "resource_id": to_key(event.resource_id),
        "reason": clean(event.reason),
        "once": event.once or None,
    }


def _event(row: Any) -> OperationalEvent:
    values = {name: getattr(row, name) for name in _FIELDS}
    texts = {
        "event_type": OperationalType(row.event_type),
        "reason": row.reason or "",
        "once": row.once or "",
    }
    return OperationalEvent(**values | texts)
