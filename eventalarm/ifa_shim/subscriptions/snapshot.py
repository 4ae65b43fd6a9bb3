"""The subscriptions as each listener keeps them in memory, read again when one was made or changed."""

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
        """Return the subscriptions that cover alarms of a project, suspended ones too."""
        return [one for one in self.all if one.reaches(project_id)]

    def get(self, subscription_id: str) -> Subscription | None:
        """Return the subscription with that id, or None."""
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
        """Read all subscriptions with one statement.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        found = tuple(self.store.everyone(connection))
        newest = max((one.changed_at for one in found if one.changed_at is not None), default=None)
        self._snapshot = Snapshot(found, newest)
        return self._snapshot

    def at_least(self, newest: datetime.datetime | None, connection: sa.Connection) -> Snapshot:
        """Return a snapshot that holds everything made or changed until *newest*; None: there are none.

        Reads only when the snapshot is older than that. Deleted subscriptions can stay in it until the next
        refresh.
        """
        if newest is None:
            return Snapshot()
        snapshot = self._snapshot
        if snapshot.newest is None or newest > snapshot.newest:
            return self.refresh(connection)
        return snapshot
