"""The number of raised occurrences of each alarm, stored in a row instead of counted for every batch."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from eventalarm.model import ALARM
from eventalarm.storage.database import Database
from eventalarm.storage.tables import alarm, alarm_count, occurrence

# More occurrences than this are cleared in separate transactions, so that no lock is held for seconds.
CLOSE_AT_ONCE: Final = 1000
# What changes of an occurrence that is cleared without a transition, besides the times.
CLOSED: Final[Mapping[str, Any]] = {"raised": False, "inhibited_by": None, "raise_inhibited": False}


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmCount:
    """The number of raised occurrences of an alarm, and whether it has reached the limit (``full``).

    ``inhibited``: of how many nobody was notified because of maintenance.
    """

    alarm_id: str
    raised: int
    full: bool
    inhibited: int = 0


class CloseFirst(Exception):
    """Raised if alarms were reset with so many raised occurrences that :func:`close_in_chunks` must run."""

    def __init__(self, alarm_ids: Iterable[str]) -> None:
        self.alarm_ids = tuple(alarm_ids)
        super().__init__(", ".join(self.alarm_ids))


@dataclasses.dataclass(frozen=True, slots=True)
class Awaited:
    """The number of objects whose absence an alarm awaits; ``full``: it has reached the limit."""

    alarm_id: str
    number: int
    full: bool


def _puts(*names: str) -> Mapping[str, sa.Insert]:
    lite, post = sqlite.insert(alarm_count), postgresql.insert(alarm_count)
    my = mysql.insert(alarm_count)
    # Not a parameter: PyMySQL would send a statement for each row.
    more = {"changes": alarm_count.c.changes + sa.literal_column("1")}
    on_mysql = my.on_duplicate_key_update({name: my.inserted[name] for name in names} | more)
    key = ["alarm_id"]
    return {
        "sqlite": lite.on_conflict_do_update(
            index_elements=key, set_={name: lite.excluded[name] for name in names} | more
        ),
        "postgresql": post.on_conflict_do_update(
            index_elements=key, set_={name: post.excluded[name] for name in names} | more
        ),
        "mysql": on_mysql,
        "mariadb": on_mysql,
    }


PUT: Final = _puts("raised", "is_full", "inhibited", "changed_at")
PUT_AWAITED: Final = _puts("awaited", "is_full_awaited", "changed_at")


def put(connection: sa.Connection, counts: Iterable[AlarmCount], now: datetime.datetime) -> None:
    """Write counts while their alarms are locked; one statement."""
    rows = [
        {
            "alarm_id": one.alarm_id,
            "raised": one.raised,
            "is_full": one.full,
            "inhibited": one.inhibited,
            "changes": 1,
            "changed_at": now,
        }
        for one in sorted(counts, key=lambda one: one.alarm_id)
    ]
    if rows:
        connection.execute(PUT[connection.dialect.name], rows)


def put_awaited(connection: sa.Connection, counts: Iterable[Awaited], now: datetime.datetime) -> None:
    """Write the numbers of awaited objects while their alarms are locked; one statement."""
    rows = [
        {
            "alarm_id": one.alarm_id,
            "raised": 0,
            "is_full": False,
            "changes": 1,
            "changed_at": now,
            "awaited": one.number,
            "is_full_awaited": one.full,
        }
        for one in sorted(counts, key=lambda one: one.alarm_id)
    ]
    if rows:
        connection.execute(PUT_AWAITED[connection.dialect.name], rows)


def close_in_chunks(
    database: Database, alarm_ids: Iterable[str], now: datetime.datetime, size: int = CLOSE_AT_ONCE
) -> None:
    """Clear the raised occurrences of alarms whose state is not ``alarm``, *size* in each transaction.

    Each transaction checks the state again; other processes may do the same at once.

    :raises Retryable: if the database failed; what was cleared stays cleared.
    """
    for alarm_id in alarm_ids:
        while _close_some(database, alarm_id, now, size):
            pass


def _close_some(database: Database, alarm_id: str, now: datetime.datetime, size: int) -> bool:
    """Clear up to *size* occurrences of an alarm; return True if there can be more."""
    lock = sa.select(alarm.c.state).where(alarm.c.alarm_id == alarm_id).with_for_update(key_share=True)
    ours = sa.and_(occurrence.c.alarm_id == alarm_id, occurrence.c.raised)
    with database.begin() as connection:
        row = connection.execute(lock).first()
        if row is None or row.state == ALARM:
            return False
        some = sa.select(occurrence.c.occurrence_id).where(ours).limit(size)
        found: list[Any] = list(connection.execute(some).scalars())
        connection.execute(
            occurrence.update()
            .where(occurrence.c.occurrence_id.in_(found))
            .values({**CLOSED, "changed_at": now, "cleared_at": now})
        )
        more = len(found) == size
        # Locked, so that a commit on another node of a cluster aborts this transaction.
        known = sa.select(alarm_count.c.raised).where(alarm_count.c.alarm_id == alarm_id).with_for_update()
        left = max(0, (connection.execute(known).scalar() or 0) - len(found)) if more else 0
        put(connection, [AlarmCount(alarm_id, left, False)], now)
    return more
