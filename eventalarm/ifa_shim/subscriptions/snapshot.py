"""The subscriptions as every listener has them at hand: read anew when the database has news of them."""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa

from eventalarm.storage.subscriptions import Subscription, Subscriptions


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All subscriptions at one moment; ``newest`` is when the last of them was made or changed."""

    all: tuple[Subscription, ...] = ()
    newest: datetime.datetime | None = None

    def of(self, project_id: str) -> list[Subscription]:
        """Return those that alarms of a project are the business of, suspended ones too."""
        return [one for one in self.all if one.reaches(project_id)]

    def get(self, subscription_id: str) -> Subscription | None:
        """Return the subscription of that id."""
        return next((one for one in self.all if one.subscription_id == subscription_id), None)


class Subscribers:
    """Keeps a snapshot; safe to share between threads, since a snapshot never changes."""

    def __init__(self, store: Subscriptions) -> None:
        self.store = store
        self._snapshot = Snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """What was read last."""
        return self._snapshot

    def refresh(self, connection: sa.Connection | None = None) -> Snapshot:
        """Read all subscriptions: one statement.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        found = tuple(self.store.everyone(connection))
        newest = max((one.changed_at for one in found if one.changed_at is not None), default=None)
        self._snapshot = Snapshot(found, newest)
        return self._snapshot

    def at_least(self, newest: datetime.datetime | None, connection: sa.Connection) -> Snapshot:
        """Return a snapshot that knows of everything made or changed until *newest*; None: there are none.

        Costs nothing while there is no news. Those that ended may still be in it for as long as a refresh
        takes to come.
        """
        if newest is None:
            return Snapshot()
        snapshot = self._snapshot
        if snapshot.newest is None or newest > snapshot.newest:
            return self.refresh(connection)
        return snapshot
