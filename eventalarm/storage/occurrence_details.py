"""The reads of the IFA API that fill a page: what caused its lives, and what Aodh's history tells of them."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Kind
from eventalarm.storage.database import Database
from eventalarm.storage.events import EVENT_TEXT, STORED
from eventalarm.storage.tables import alarm, alarm_history, occurrence, transition

RECORDS_PER_ALARM: Final = 1000
CORRELATED_PER_EVENT: Final = 50

TRANSITION_COLUMNS: Final = tuple(
    transition.c[name]
    for name in (
        *("transition_id", "kind", "occurrence_id", "alarm_id", "project_id", "managed_object"),
        *("message_id", "alarm_name", "severity", "reason", "event_type", "event_time", "recorded_at"),
    )
)
RECORD_COLUMNS: Final = (
    alarm_history.c.event_id,
    alarm_history.c.alarm_id,
    alarm_history.c.type,
    alarm_history.c.detail,
    alarm_history.c.timestamp,
    alarm_history.c.user_id,
)

Document = dict[str, Any]
Key = tuple[datetime.datetime, str]


class OccurrenceDetails:
    """Reads on one database, one statement each for any number of lives; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _all(self, query: Any) -> list[Any]:
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def turning_points(self, occurrence_ids: Collection[str]) -> list[Document]:
        """Return the transitions that raised and cleared each occurrence, with their events."""
        if not occurrence_ids:
            return []
        query = (
            sa.select(*TRANSITION_COLUMNS, EVENT_TEXT)
            .select_from(STORED)
            .where(
                transition.c.occurrence_id.in_(sorted(occurrence_ids)),
                transition.c.kind.in_([Kind.RAISED.value, Kind.CLEARED.value]),
            )
        )
        return [dict(row._mapping) for row in self._all(query)]

    def records(self, alarm_ids: Collection[str], types: Iterable[str] | None = None) -> list[Document]:
        """Return Aodh's history of alarms, at most the newest 1,000 records of each."""
        if not alarm_ids:
            return []
        order = (sa.desc(alarm_history.c.timestamp), sa.desc(alarm_history.c.event_id))
        place = sa.func.row_number().over(partition_by=alarm_history.c.alarm_id, order_by=order)
        inner = sa.select(*RECORD_COLUMNS, place.label("place")).where(
            alarm_history.c.alarm_id.in_(sorted(alarm_ids))
        )
        if types is not None:
            inner = inner.where(alarm_history.c.type.in_(sorted(types)))
        ranked = inner.subquery()
        query = sa.select(ranked).where(ranked.c.place <= RECORDS_PER_ALARM)
        return [dict(row._mapping) for row in self._all(query)]

    def correlated(self, message_ids: Collection[str]) -> list[Document]:
        """Return what else the same events raised, of alarms that still exist, up to 50 for each event."""
        if not message_ids:
            return []
        columns = (
            transition.c.message_id,
            transition.c.alarm_id,
            transition.c.managed_object,
            transition.c.project_id,
        )
        place = sa.func.row_number().over(
            partition_by=transition.c.message_id,
            order_by=(transition.c.alarm_id, transition.c.managed_object),
        )
        # Most events raise one alarm, and there is nothing to tell of them.
        count = sa.func.count().over(partition_by=transition.c.message_id)
        ranked = (
            sa.select(*columns, place.label("place"), count.label("count"))
            .where(transition.c.message_id.in_(sorted(message_ids)), transition.c.kind == Kind.RAISED.value)
            .subquery()
        )
        query = (
            sa.select(ranked, alarm.c.rule)
            .join(alarm, alarm.c.alarm_id == ranked.c.alarm_id)
            .where(ranked.c.count > 1, ranked.c.place <= CORRELATED_PER_EVENT)
        )
        return [dict(row._mapping) for row in self._all(query)]

    def transitions(
        self, alarm_id: str, managed_object: str, after: Key | None, limit: int
    ) -> list[Document]:
        """Return the transitions of an alarm on one managed object, the oldest first, with their events."""
        order = (transition.c.recorded_at, transition.c.transition_id)
        query = (
            sa.select(*TRANSITION_COLUMNS, EVENT_TEXT)
            .select_from(STORED)
            .where(
                transition.c.alarm_id == alarm_id,
                transition.c.managed_object == managed_object,
                transition.c.kind != Kind.LATE.value,
            )
        )
        if after is not None:
            query = query.where(
                transition.c.recorded_at >= after[0],
                sa.or_(transition.c.recorded_at > after[0], transition.c.transition_id > after[1]),
            )
        return [dict(row._mapping) for row in self._all(query.order_by(*order).limit(limit))]

    def close_deleted(self, occurrence_ids: Collection[str], now: datetime.datetime) -> None:
        """End lives whose alarm is gone: nobody else tells when, so the time is that of the discovery.

        A row that came back meanwhile (it cannot, ids are never used again) or ended is left alone.
        """
        gone = ~sa.exists().where(alarm.c.alarm_id == occurrence.c.alarm_id)
        ids = sorted(occurrence_ids)
        with self._database.begin() as connection:
            connection.execute(
                occurrence.update()
                .where(occurrence.c.occurrence_id.in_(ids), occurrence.c.raised, gone)
                .values(raised=False, changed_at=now, cleared_at=now)
            )
