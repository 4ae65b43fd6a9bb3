"""An outbox on a real database: builders, and what it holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryResult, DeliveryState
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LEASES, WorkerLease, read_leases
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import EVENT, NOW

LONG = 1000.0


def enqueue(
    database: Database, outbox: Outbox, deliveries: Sequence[Delivery], owner: str | None
) -> list[Delivery]:
    with database.begin() as connection:
        for item in deliveries:
            connection.execute(sa.insert(tables.transition), _transition(item))
        return outbox.enqueue(connection, deliveries, [f"t-{d.delivery_id[:30]}" for d in deliveries], owner)


def _transition(item: Delivery) -> dict[str, Any]:
    return {
        "transition_id": f"t-{item.delivery_id[:30]}",
        "kind": "raised",
        "occurrence_id": "o",
        "alarm_id": item.alarm_id,
        "project_id": "p",
        "managed_object": "vm",
        "message_id": item.delivery_id,
        "alarm_name": item.notification.alarm_name,
        "severity": item.notification.severity,
        "previous": "ok",
        "current": "alarm",
        "reason": "because",
        "event_type": "e",
        "event_time": NOW,
        "recorded_at": NOW,
        "event": json.dumps(EVENT),
    }


def lose(outbox: Outbox, item: Delivery, taker: str) -> Delivery:
    """Let the process that holds *item* die; return what *taker* claims."""
    outbox.register(taker, "host", LONG)
    with outbox._database.begin() as connection:
        owner = sa.select(tables.delivery.c.owner).where(tables.delivery.c.delivery_id == item.delivery_id)
        name = connection.execute(owner).scalar_one()
        connection.execute(sa.delete(tables.worker).where(tables.worker.c.worker_id == name))
    return next(one for one in outbox.claim(taker, 100) if one.delivery_id == item.delivery_id)


def leases(database: Database) -> dict[str, WorkerLease]:
    """Return the lease of each worker, in the database's order of names."""
    with database.read() as connection:
        return read_leases(connection.execute(LEASES))


def rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        found = connection.execute(sa.select(tables.delivery).order_by(tables.delivery.c.seq)).mappings()
        return [dict(row) for row in found]


def states(database: Database) -> list[tuple[str, str | None]]:
    return [(row["state"], row["owner"]) for row in rows(database)]


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    return [item.delivery_id for item in deliveries]


def done(item: Delivery, attempts: int = 1) -> DeliveryResult:
    return DeliveryResult(item.delivery_id, DeliveryState.DELIVERED, attempts, status=200)


def again(item: Delivery, retry_in: float, error: str = "timeout: no answer") -> DeliveryResult:
    return DeliveryResult(
        item.delivery_id, DeliveryState.PENDING, item.attempts + 1, error=error, retry_in=retry_in
    )
