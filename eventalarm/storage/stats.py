"""Signs of life for people and metrics: how the outbox stands, which processes are alive, what they heard."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa

from eventalarm.model import UTC, DeliveryState
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import UNFINISHED
from eventalarm.storage.tables import delivery, worker


@dataclasses.dataclass(frozen=True, slots=True)
class OutboxFigures:
    """How much is to be delivered, and how long the longest due has been waiting, in seconds."""

    unfinished: int
    due: int
    oldest_due: float


@dataclasses.dataclass(frozen=True, slots=True)
class Living:
    """The listener processes that are alive: their hosts, and when the last event came to any of them."""

    hosts: tuple[str, ...]
    last_event_at: datetime.datetime | None
    now: datetime.datetime


def outbox_figures(database: Database) -> OutboxFigures:
    """Return how the outbox stands; raises as the database does."""
    now = database.now()
    made = sa.func.coalesce(delivery.c.retried_at, delivery.c.created_at)
    since = sa.case((delivery.c.next_attempt_at == AT_ONCE, made), else_=delivery.c.next_attempt_at)
    waiting = delivery.c.state.in_(UNFINISHED)
    is_due = sa.and_(
        delivery.c.state == DeliveryState.PENDING.value,
        delivery.c.next_attempt_at <= now,
        delivery.c.next_attempt_at < IN_TURN,
    )
    with database.read() as connection:
        unfinished = connection.execute(sa.select(sa.func.count()).where(waiting)).scalar_one()
        due, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(since)).where(is_due)).one()
    oldest = _moment(oldest)
    return OutboxFigures(unfinished, due, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


def living(database: Database) -> Living:
    """Return which listeners are alive, by the database's clock."""
    now = database.now()
    query = sa.select(worker.c.host, worker.c.last_event_at).where(worker.c.expires_at > now)
    with database.read() as connection:
        rows = connection.execute(query.order_by(worker.c.host)).all()
    heard = [row.last_event_at for row in rows if row.last_event_at is not None]
    return Living(tuple(row.host for row in rows), max(heard, default=None), now)


def clock_offsets(database: Database) -> dict[str, float]:
    """Return by how many seconds the clock of each living listener's host is ahead of the database's."""
    columns = (worker.c.host, worker.c.clock_offset)
    query = sa.select(*columns).where(
        worker.c.expires_at > database.now(), worker.c.clock_offset.is_not(None)
    )
    with database.read() as connection:
        return {row.host: float(row.clock_offset) for row in connection.execute(query)}


def _moment(value: Any) -> datetime.datetime | None:
    """Give back its type to what came out of an expression (SQLite returns text)."""
    if value is None:
        return None
    moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
