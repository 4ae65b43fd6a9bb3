"""Removal of recorded events by their age and by their size. Safe while listeners run."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import recorded_decision, recorded_event
from eventalarm.storage.expire import Progress, Sweep, batches, none, retrying

EVENTS: Final = Sweep("recorded events", recorded_event.c.record_id, recorded_event.c.recorded_at)
OF_LARGE_PROJECTS: Final = "recorded events of projects with too many"
DECISIONS: Final = Sweep(
    "decisions about removed events",
    recorded_decision.c.record_id,
    recorded_decision.c.decided_at,
    others=none(recorded_event.c.record_id == recorded_decision.c.record_id),
)


def expire_recorded(
    database: Database,
    keep: datetime.timedelta,
    most: int,
    *,
    batch_size: int,
    progress: Progress = lambda _name, _removed: None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Remove events recorded longer than *keep* ago, and the oldest of projects with more than *most* bytes.

    Every batch of *batch_size* rows is a separate transaction. Return the removed rows by kind.

    :raises Retryable: if the database failed repeatedly; what was removed stays removed.
    """
    now = database.now()
    kinds: dict[str, Iterator[int]] = {
        EVENTS.name: batches(database, EVENTS, now - keep, batch_size, sleep),
        OF_LARGE_PROJECTS: _shrink(database, most, batch_size, sleep),
        # An event and its decisions are recorded in one transaction.
        DECISIONS.name: batches(database, DECISIONS, now, batch_size, sleep),
    }
    removed = {}
    for name, counts in kinds.items():
        removed[name] = 0
        for count in counts:
            removed[name] += count
            progress(name, removed[name])
    return removed


def _shrink(database: Database, most: int, size: int, sleep: Callable[[float], None]) -> Iterator[int]:
    """Remove the oldest events of each project with more than *most* bytes, and yield the size of batches."""
    retry = retrying(sleep)
    for project_id, excess in retry(_large, database, most):
        left = excess
        while left > 0:
            count, removed = retry(_remove_oldest, database, project_id, left, size)
            if not count:
                break
            left -= removed
            yield count


def _large(database: Database, most: int) -> list[tuple[str, int]]:
    """Return the projects with more than *most* bytes, each with the bytes beyond."""
    total: Any = sa.func.sum(recorded_event.c.size)
    query = sa.select(recorded_event.c.project_id, total).group_by(recorded_event.c.project_id)
    with database.read() as connection:
        rows = connection.execute(query.having(total > most)).all()
    return [(project_id, int(number) - most) for project_id, number in rows]


def _remove_oldest(database: Database, project_id: str, excess: int, size: int) -> tuple[int, int]:
    """Remove up to *size* of the oldest events until *excess* bytes are gone; return rows and bytes."""
    columns = recorded_event.c
    query = sa.select(columns.record_id, columns.size).where(columns.project_id == project_id)
    with database.begin() as connection:
        found = connection.execute(query.order_by(columns.recorded_at, columns.record_id).limit(size)).all()
        names, removed = [], 0
        for name, length in found:
            if removed >= excess:
                break
            names.append(name)
            removed += length
        if names:
            connection.execute(sa.delete(recorded_event).where(columns.record_id.in_(names)))
    return len(names), removed
