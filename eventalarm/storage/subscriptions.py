"""Subscriptions to alarms: created, listed, deleted, suspended and resumed."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.model import UNFINISHED, DeliveryState
from eventalarm.storage.database import Database
from eventalarm.storage.ifa_tables import subscription
from eventalarm.storage.tables import delivery


class SubscriptionState(enum.StrEnum):
    """Whether notifications are sent; suspended: the consumer did not answer for too long.

    A returning subscription is sent notifications again; its consumer must read the list of alarms.
    """

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETURNING = "returning"


@dataclasses.dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription. ``filter`` is as the consumer sent it; ``authentication`` is encrypted, or None.

    ``all_projects`` was granted when it was created; otherwise it receives the alarms of ``project_id`` only.
    ``confirmed_at`` is when its user last proved the right to it (None: when it was created). ``api_root`` is
    the root of the SOL003 API as its user reached it, for links.
    """

    subscription_id: str
    project_id: str
    user_id: str
    all_projects: bool
    callback_uri: str
    filter: Mapping[str, Any]
    created_at: datetime.datetime
    authentication: str | None = None
    state: SubscriptionState = SubscriptionState.ACTIVE
    suspended_at: datetime.datetime | None = None
    changed_at: datetime.datetime | None = None
    confirmed_at: datetime.datetime | None = None
    api_root: str = ""

    @property
    def listening(self) -> bool:
        """Whether notifications are sent to it."""
        return self.state is not SubscriptionState.SUSPENDED

    def reaches(self, project_id: str) -> bool:
        """Return True if it receives alarms of *project_id*."""
        return self.all_projects or self.project_id == project_id

    @property
    def digest(self) -> str:
        """A hash of callback, filter and scope, equal for equivalent subscriptions."""
        same = [self.callback_uri, self.filter, self.all_projects]
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def _read(row: Any) -> Subscription:
    values = dict(row._mapping)
    del values["digest"]
    values["filter"] = json.loads(values["filter"])
    values["state"] = SubscriptionState(values["state"])
    values["user_id"] = values["user_id"] or ""
    return Subscription(**values)


class Subscriptions:
    """Reads and writes on one database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, wanted: Subscription) -> Subscription | None:
        """Add *wanted*; return None, or the equivalent subscription of the same project if there is one."""
        row = dataclasses.asdict(wanted)
        row |= {"filter": json.dumps(wanted.filter), "digest": wanted.digest, "state": wanted.state.value}
        row["changed_at"] = row["confirmed_at"] = self._database.now()
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(subscription), row)
        except db_exception.DBDuplicateEntry:
            same = sa.select(subscription).where(
                subscription.c.project_id == wanted.project_id, subscription.c.digest == wanted.digest
            )
            with self._database.read() as connection:
                found = connection.execute(same).first()
            return _read(found) if found is not None else self.add(wanted)
        return None

    def everyone(self, connection: sa.Connection | None = None) -> list[Subscription]:
        """Return all subscriptions, read in the transaction of *connection* if it is given."""
        query = sa.select(subscription).order_by(subscription.c.subscription_id)
        if connection is not None:
            return [_read(row) for row in connection.execute(query)]
        with self._database.read() as reader:
            return [_read(row) for row in reader.execute(query)]

    def turn(
        self,
        subscription_id: str,
        before: SubscriptionState,
        after: SubscriptionState,
        connection: sa.Connection,
    ) -> bool:
        """Change the state in the caller's transaction; return False if it was not *before*."""
        now = self._database.now()
        values: dict[str, Any] = {"state": after.value, "changed_at": now}
        if after is not SubscriptionState.RETURNING:
            values["suspended_at"] = now if after is SubscriptionState.SUSPENDED else None
        change = sa.update(subscription).where(
            subscription.c.subscription_id == subscription_id, subscription.c.state == before.value
        )
        return connection.execute(change.values(values)).rowcount == 1

    def touch(self, subscription_id: str) -> None:
        """Mark a subscription as changed now, so that every listener reads it."""
        this = subscription.c.subscription_id == subscription_id
        with self._database.begin() as connection:
            connection.execute(sa.update(subscription).where(this).values(changed_at=self._database.now()))

    def confirm(self, known: Subscription, user_id: str, since: datetime.timedelta) -> None:
        """Record that *user_id* has proved the right to the subscription *known*, if it is theirs.

        Nothing is written if the last proof is more recent than *since*, so that few requests write.
        """
        now = self._database.now()
        if known.user_id != user_id or known.confirmed_at is None or now - known.confirmed_at < since:
            return
        this = subscription.c.subscription_id == known.subscription_id
        with self._database.begin() as connection:
            connection.execute(sa.update(subscription).where(this).values(confirmed_at=now))

    def renew(self, known: Subscription, authentication: str) -> None:
        """Replace the encrypted credentials of *known*; every listener reads them again."""
        this = subscription.c.subscription_id == known.subscription_id
        values = {"authentication": authentication, "changed_at": self._database.now()}
        with self._database.begin() as connection:
            connection.execute(sa.update(subscription).where(this).values(values))

    def expire(self, subscription_id: str, before: datetime.datetime) -> bool:
        """Delete a subscription whose right was last proved before *before*; return False if it was not."""
        this = sa.and_(
            subscription.c.subscription_id == subscription_id, subscription.c.confirmed_at < before
        )
        return self._end(subscription_id, this)

    def page(
        self, project_id: str | None, after: str, limit: int, user_id: str | None = None
    ) -> list[Subscription]:
        """Return up to *limit* subscriptions of a project (None: of all) after the id *after*, ordered by id.

        Only those of one user if *user_id* is given.
        """
        query = sa.select(subscription).where(subscription.c.subscription_id > after)
        if project_id is not None:
            query = query.where(subscription.c.project_id == project_id)
        if user_id is not None:
            query = query.where(subscription.c.user_id == user_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(subscription.c.subscription_id).limit(limit))
            return [_read(row) for row in rows]

    def get(self, subscription_id: str) -> Subscription | None:
        """Return a subscription, or None."""
        query = sa.select(subscription).where(subscription.c.subscription_id == subscription_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return _read(row) if row is not None and row.subscription_id == subscription_id else None

    def remove(self, subscription_id: str) -> bool:
        """Delete a subscription and its unfinished deliveries; return False if there is none."""
        return self._end(subscription_id, subscription.c.subscription_id == subscription_id)

    def _end(self, subscription_id: str, condition: sa.ColumnElement[bool]) -> bool:
        unsent = sa.delete(delivery).where(
            delivery.c.subscription_id == subscription_id, delivery.c.state.in_(UNFINISHED)
        )
        with self._database.begin() as connection:
            ended = connection.execute(sa.delete(subscription).where(condition)).rowcount > 0
            if ended:
                connection.execute(unsent)
        return ended


SUSPENDED = "suspended: the consumer does not answer"


def stalled(database: Database, since: datetime.datetime) -> set[str]:
    """Return the active subscriptions with deliveries unsent since *since*, or given up while active."""
    active = sa.and_(
        subscription.c.subscription_id == delivery.c.subscription_id,
        subscription.c.state == SubscriptionState.ACTIVE.value,
    )
    waiting = sa.and_(delivery.c.state.in_(UNFINISHED), delivery.c.created_at < since)
    lost = sa.and_(
        delivery.c.state == DeliveryState.FAILED.value,
        delivery.c.finished_at > subscription.c.changed_at,
    )
    # From subscriptions to deliveries: there are few subscriptions, but there may be many deliveries.
    queries = [
        sa.select(subscription.c.subscription_id).where(
            subscription.c.state == SubscriptionState.ACTIVE.value, sa.exists().where(active, what)
        )
        for what in (waiting, lost)
    ]
    with database.read() as connection:
        return {found for query in queries for found in connection.execute(query).scalars()}


def give_up(connection: sa.Connection, subscription_id: str, now: datetime.datetime) -> None:
    """Give up the unfinished deliveries of a subscription: its consumer must read the list instead."""
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.subscription_id == subscription_id, delivery.c.state.in_(UNFINISHED))
        .values(state=DeliveryState.FAILED.value, owner=None, finished_at=now, error=SUSPENDED)
    )
