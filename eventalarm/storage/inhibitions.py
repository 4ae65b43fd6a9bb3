"""Raised occurrences whose notification was held back because of maintenance, and their release."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage import alarm_counts
from eventalarm.storage.alarm_counts import AlarmCount
from eventalarm.storage.clock import utc_now
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.ifa_tables import subscription
from eventalarm.storage.inspector_tables import inhibition
from eventalarm.storage.tables import alarm_count, occurrence

RELEASED: Final = {"inhibited_by": None, "raise_inhibited": False}


@dataclasses.dataclass(frozen=True, slots=True)
class Inhibited:
    """A raised occurrence whose notification is held back; ``silent``: not even its raise was notified."""

    occurrence_id: str
    alarm_id: str
    silent: bool


def _uninhibited(dialect: str) -> sa.Select[Any]:
    """Return the query for the occurrences that nothing inhibits any more."""
    now: sa.ColumnElement[Any] = sa.literal_column(utc_now(dialect), inhibition.c.expires_at.type)
    inhibited = sa.exists().where(
        inhibition.c.resource_id == sa.func.coalesce(occurrence.c.resource_id, occurrence.c.managed_object),
        inhibition.c.ended_at.is_(None),
        inhibition.c.expires_at > now,
    )
    columns = (occurrence.c.occurrence_id, occurrence.c.alarm_id, occurrence.c.raise_inhibited)
    return sa.select(*columns).where(occurrence.c.inhibited_by.is_not(None), occurrence.c.raised, ~inhibited)


def due(connection: sa.Connection, after: str, limit: int) -> list[Inhibited]:
    """Return up to *limit* occurrences to release, in the order of their ids, after the id *after*."""
    query = _uninhibited(connection.dialect.name).where(occurrence.c.occurrence_id > after)
    rows = connection.execute(query.order_by(occurrence.c.occurrence_id).limit(limit))
    return [Inhibited(*row) for row in rows]


def still_due(connection: sa.Connection, occurrence_ids: Collection[str]) -> list[Inhibited]:
    """Return which of the occurrences are still to be released, in the order in which they were raised.

    Their alarms are locked.
    """
    query = _uninhibited(connection.dialect.name).add_columns(occurrence.c.raised_at)
    rows = [
        row
        for chunk in in_chunks(occurrence_ids)
        for row in connection.execute(query.where(occurrence.c.occurrence_id.in_(chunk)))
    ]
    rows.sort(key=lambda row: (row.raised_at, row.occurrence_id))
    return [Inhibited(row.occurrence_id, row.alarm_id, row.raise_inhibited) for row in rows]


def counts(connection: sa.Connection, alarm_ids: Collection[str]) -> dict[str, AlarmCount]:
    """Return the counts of locked alarms; those of silent occurrences are counted anew."""
    found: dict[str, AlarmCount] = {}
    for chunk in in_chunks(alarm_ids):
        silent = sa.select(occurrence.c.alarm_id).where(
            occurrence.c.alarm_id.in_(chunk), occurrence.c.raised, occurrence.c.raise_inhibited
        )
        number = Counter(connection.execute(silent).scalars())
        rows = connection.execute(sa.select(alarm_count).where(alarm_count.c.alarm_id.in_(chunk)))
        for row in rows:
            found[row.alarm_id] = AlarmCount(row.alarm_id, row.raised, row.is_full, number[row.alarm_id])
    return found


def release(
    connection: sa.Connection,
    released: Sequence[Inhibited],
    before: Mapping[str, AlarmCount],
    now: datetime.datetime,
) -> None:
    """Record that nothing is held back of these occurrences; *before* are the counts of their alarms."""
    uninhibit(connection, [one.occurrence_id for one in released])
    silent = Counter(one.alarm_id for one in released if one.silent)
    counts_of = (before[name] for name in {one.alarm_id for one in released})
    after = [
        dataclasses.replace(one, inhibited=max(0, one.inhibited - silent[one.alarm_id])) for one in counts_of
    ]
    alarm_counts.put(connection, after, now)


def uninhibit(connection: sa.Connection, occurrence_ids: Collection[str]) -> None:
    """Record that nothing inhibits these occurrences, whose alarms are locked or deleted."""
    for chunk in in_chunks(occurrence_ids):
        these = occurrence.c.occurrence_id.in_(chunk)
        connection.execute(sa.update(occurrence).where(these).values(RELEASED))


def subscriptions_changed_at(connection: sa.Connection) -> datetime.datetime | None:
    """Return when a subscription was last created or changed (aware UTC); None without any."""
    found: datetime.datetime | None = connection.execute(
        sa.select(sa.func.max(subscription.c.changed_at))
    ).scalar()
    return found
