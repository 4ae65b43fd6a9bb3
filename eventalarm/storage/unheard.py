"""What subscribers did not take: which of them are deaf, and the end of what waits for them."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from eventalarm.model import DeliveryState
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_rows import UNFINISHED
from eventalarm.storage.subscriptions import SubscriptionState
from eventalarm.storage.tables import delivery, subscription

SUSPENDED = "suspended: the consumer does not answer"


def deaf(database: Database, since: datetime.datetime) -> set[str]:
    """Return the active subscriptions with something unsent since then, or given up since they are active."""
    active = sa.and_(
        subscription.c.subscription_id == delivery.c.subscription_id,
        subscription.c.state == SubscriptionState.ACTIVE.value,
    )
    waiting = sa.and_(delivery.c.state.in_(UNFINISHED), delivery.c.created_at < since)
    lost = sa.and_(
        delivery.c.state == DeliveryState.FAILED.value,
        delivery.c.finished_at > subscription.c.changed_at,
    )
    # In this order: what there is of subscriptions is small, what there is of deliveries may not be.
    queries = [
        sa.select(subscription.c.subscription_id).where(
            subscription.c.state == SubscriptionState.ACTIVE.value, sa.exists().where(active, what)
        )
        for what in (waiting, lost)
    ]
    with database.read() as connection:
        return {found for query in queries for found in connection.execute(query).scalars()}


def give_up(connection: sa.Connection, subscription_id: str, now: datetime.datetime) -> None:
    """End what is unsent to a subscription: it will be told to read the list instead."""
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.subscription_id == subscription_id, delivery.c.state.in_(UNFINISHED))
        .values(state=DeliveryState.FAILED.value, owner=None, finished_at=now, error=SUSPENDED)
    )
