"""Profiles of deliveries: those that are stored, and the checkpoints that consumers add."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import MAX_CHECKPOINTS, Checkpoint, Profile, as_pairs, from_pairs
from eventalarm.profile.summary import AlarmProfile, alarm_profile
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_pages import DeliveryPages, Position
from eventalarm.storage.delivery_selection import Selection, StoredDelivery
from eventalarm.storage.tables import delivery

# Pages of deliveries that are searched for profiles; each examines a bounded number of rows.
PAGES: Final = 10
NAMES: Final = (
    *("delivery_id", "alarm_id", "alarm_name", "project_id", "managed_object", "event_type", "state"),
    "destination",
)


class TooManyCheckpoints(EventAlarmError):
    """A delivery would have more checkpoints of its consumer than are kept."""


class ProfileStore:
    """Profiles in one database; every method raises Retryable when it failed."""

    def __init__(self, database: Database, pages: int = PAGES) -> None:
        self._database = database
        self._pages = pages

    def newest(self, wanted: Selection, limit: int) -> list[AlarmProfile]:
        """Return up to *limit* profiles of deliveries that match *wanted*, the newest first.

        Some 20,000 deliveries are examined at most, so that there may be older ones.
        """
        pages, found = DeliveryPages(self._database), list[StoredDelivery]()
        after: Position | None = None
        for _ in range(self._pages):
            page = pages.page(wanted, after, limit - len(found))
            found += page.entries
            after = page.reached
            if after is None or len(found) >= limit:
                break
        return self._profiles(found)

    def _profiles(self, deliveries: Sequence[StoredDelivery]) -> list[AlarmProfile]:
        columns = (delivery.c.delivery_id, delivery.c.profile, delivery.c.handled)
        query = sa.select(*columns).where(delivery.c.delivery_id.in_([one.delivery_id for one in deliveries]))
        if not deliveries:
            return []
        with self._database.read() as connection:
            texts: dict[str, Any] = {row.delivery_id: row for row in connection.execute(query)}
        made = []
        for one in deliveries:
            row = texts.get(one.delivery_id)
            profile = Profile.parse(row.profile) if row is not None else None
            if row is None or profile is None:
                continue
            names = {name: str(getattr(one, name)) for name in NAMES}
            made.append(alarm_profile(names, profile, _handled(row.handled)))
        return [one for one in made if one is not None]

    def project_of(self, delivery_id: str) -> str | None:
        """Return the project of a delivery, or None if there is none of that id."""
        query = sa.select(delivery.c.delivery_id, delivery.c.project_id)
        with self._database.read() as connection:
            row = connection.execute(query.where(delivery.c.delivery_id == delivery_id)).first()
        # Databases may compare strings without regard to case or trailing blanks.
        return row.project_id if row is not None and row.delivery_id == delivery_id else None

    def add_handled(
        self, delivery_id: str, project_id: str, checkpoints: Collection[Checkpoint]
    ) -> bool | None:
        """Add what the consumer of a delivery did; a name that is known gets its new time.

        :returns: False if the delivery is not profiled, None if the project has none of that id.
        :raises TooManyCheckpoints: naming the limit.
        """
        named = sa.select(delivery.c.delivery_id, delivery.c.profile, delivery.c.handled).where(
            delivery.c.delivery_id == delivery_id, delivery.c.project_id == project_id
        )
        with self._database.read() as connection:
            row = connection.execute(named).first()
        if row is None or row.delivery_id != delivery_id:
            return None
        if row.profile is None:
            return False
        with self._database.begin() as connection:
            row = connection.execute(named.with_for_update()).first()
            if row is None:
                return None
            known = {one.name: one for one in (*_handled(row.handled), *checkpoints)}
            if len(known) > MAX_CHECKPOINTS:
                raise TooManyCheckpoints(f"a delivery has at most {MAX_CHECKPOINTS} checkpoints")
            text = json.dumps(as_pairs(known.values()))
            change = sa.update(delivery).where(delivery.c.delivery_id == delivery_id).values(handled=text)
            connection.execute(change)
        return True


def _handled(text: str | None) -> tuple[Checkpoint, ...]:
    return from_pairs(json.loads(text)) if text else ()
