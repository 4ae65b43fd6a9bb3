"""Reads of the IFA API that complete a page of occurrences: transitions, Aodh's history, acknowledgements."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Collection, Iterable
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.model import Event, Kind, TimerKind, Transition, objects_in_fault, timer_id
from eventalarm.storage import timers
from eventalarm.storage.alarm_counts import CLOSED
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.events import EVENT_TEXT, STORED
from eventalarm.storage.ifa_tables import acknowledgement
from eventalarm.storage.tables import alarm, alarm_history, occurrence, transition

RECORDS_PER_ALARM: Final = 1000
CORRELATED_PER_FAULT: Final = 50

# The columns that hold an attribute of a transition as it is.
TRANSITION_FIELDS: Final = tuple(
    field.name
    for field in dataclasses.fields(Transition)
    if field.name in transition.c and field.name != "event"
)
TRANSITION_COLUMNS: Final = (
    *(transition.c[name] for name in TRANSITION_FIELDS),
    *(transition.c.message_id, transition.c.event_type, EVENT_TEXT),
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
    """Reads about any number of occurrences, one statement each; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _all(self, query: Any) -> list[Any]:
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def turning_points(self, occurrence_ids: Collection[str]) -> list[Transition]:
        """Return the transitions that raised and cleared each occurrence, with their events."""
        if not occurrence_ids:
            return []
        query = (
            sa.select(*TRANSITION_COLUMNS)
            .select_from(STORED)
            .where(
                transition.c.occurrence_id.in_(sorted(occurrence_ids)),
                transition.c.kind.in_([Kind.RAISED.value, Kind.CLEARED.value]),
            )
        )
        return [to_transition(row) for row in self._all(query)]

    def objects_in_fault(self, groups: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the objects that are in fault now, by alarm id and managed object (the group)."""
        if not groups:
            return {}
        ids = {timer_id(*group, TimerKind.OBJECTS) for group in groups}
        with self._database.read() as connection:
            found = timers.read(connection, ids)
        return {(one.alarm_id, one.managed_object): objects_in_fault(one.event) for one in found}

    def last_inhibited(self, occurrence_ids: Collection[str]) -> dict[str, Transition]:
        """Return the last transition of each occurrence that maintenance inhibited, with its event."""
        if not occurrence_ids:
            return {}
        # Transitions that one transaction recorded have the same time.
        order = (
            transition.c.recorded_at.desc(),
            transition.c.event_time.desc(),
            sa.case((transition.c.kind == Kind.RAISED.value, 1), else_=0),
        )
        place = sa.func.row_number().over(partition_by=transition.c.occurrence_id, order_by=order)
        found: list[Transition] = []
        for chunk in in_chunks(occurrence_ids):
            inhibited = sa.and_(
                transition.c.occurrence_id.in_(chunk),
                transition.c.inhibited_by.is_not(None),
                transition.c.kind != Kind.LATE.value,
            )
            ranked = sa.select(transition.c.transition_id, place.label("place")).where(inhibited).subquery()
            query = (
                sa.select(*TRANSITION_COLUMNS)
                .select_from(STORED.join(ranked, ranked.c.transition_id == transition.c.transition_id))
                .where(ranked.c.place == 1)
            )
            found += [to_transition(row) for row in self._all(query)]
        return {one.occurrence_id: one for one in found}

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

    def correlated(self, faults: Collection[str], projects: Collection[str] | None) -> list[Document]:
        """Return the occurrences that the same faults raised, of existing alarms, the root causes first.

        :param faults: ids of faults, or message ids of events that name none.
        :param projects: up to 50 occurrences of each fault in each of these; None: of each fault in all.
        """
        if not faults:
            return []
        raised = self._raised_by(sorted(faults), projects).subquery()
        group = [raised.c.fault] if projects is None else [raised.c.fault, raised.c.project_id]
        root = sa.case((raised.c.message_id == raised.c.fault, 0), else_=1)
        place = sa.func.row_number().over(
            partition_by=group, order_by=(root, raised.c.alarm_id, raised.c.managed_object)
        )
        # Most events raise one alarm only: nothing is correlated with it.
        count = sa.func.count().over(partition_by=group)
        ranked = sa.select(raised, place.label("place"), count.label("count")).subquery()
        query = (
            sa.select(ranked, alarm.c.rule)
            .join(alarm, alarm.c.alarm_id == ranked.c.alarm_id)
            .where(ranked.c.count > 1, ranked.c.place <= CORRELATED_PER_FAULT)
        )
        return [dict(row._mapping) for row in self._all(query)]

    def _raised_by(self, faults: list[str], projects: Collection[str] | None) -> sa.CompoundSelect[Any]:
        """Return the transitions that these faults caused; each part uses an index of its own."""
        columns = (
            transition.c.message_id,
            transition.c.alarm_id,
            transition.c.managed_object,
            transition.c.project_id,
        )
        conditions = [transition.c.kind == Kind.RAISED.value]
        if projects is not None:
            conditions.append(transition.c.project_id.in_(sorted(projects)))
        by_fault = transition.c.fault_id.in_(faults)
        by_event = sa.and_(transition.c.message_id.in_(faults), transition.c.fault_id.is_(None))
        return sa.union_all(
            sa.select(transition.c.fault_id.label("fault"), *columns).where(by_fault, *conditions),
            sa.select(transition.c.message_id.label("fault"), *columns).where(by_event, *conditions),
        )

    def transitions(
        self, alarm_id: str, managed_object: str, after: Key | None, limit: int
    ) -> list[Transition]:
        """Return the transitions of an alarm on one managed object, the oldest first, with their events."""
        order = (transition.c.recorded_at, transition.c.transition_id)
        query = (
            sa.select(*TRANSITION_COLUMNS)
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
        return [to_transition(row) for row in self._all(query.order_by(*order).limit(limit))]

    def deleted_alarms(self, after: Key | None, scan: int) -> tuple[set[str], Key | None]:
        """Return the deleted alarms of the next *scan* raised occurrences, and where to continue."""
        query = sa.select(occurrence.c.raised_at, occurrence.c.occurrence_id, occurrence.c.alarm_id).where(
            occurrence.c.raised == sa.true()
        )
        if after is not None:
            beyond = (occurrence.c.raised_at > after[0], occurrence.c.occurrence_id > after[1])
            query = query.where(occurrence.c.raised_at >= after[0], sa.or_(*beyond))
        looked = query.order_by(occurrence.c.raised_at, occurrence.c.occurrence_id).limit(scan).subquery()
        rows = self._all(
            sa.select(looked, alarm.c.alarm_id.is_(None).label("deleted"))
            .select_from(looked.outerjoin(alarm, alarm.c.alarm_id == looked.c.alarm_id))
            .order_by(looked.c.raised_at, looked.c.occurrence_id)
        )
        deleted = {row.alarm_id for row in rows if row.deleted}
        return deleted, (rows[-1].raised_at, rows[-1].occurrence_id) if len(rows) == scan else None

    def close_deleted(self, alarm_ids: Collection[str], now: datetime.datetime) -> None:
        """Clear the occurrences of deleted alarms at *now*: when an alarm was deleted is not recorded."""
        if not alarm_ids:
            return
        gone = ~sa.exists().where(alarm.c.alarm_id == occurrence.c.alarm_id)
        with self._database.begin() as connection:
            for chunk in in_chunks(alarm_ids):
                connection.execute(
                    occurrence.update()
                    .where(occurrence.c.alarm_id.in_(chunk), occurrence.c.raised, gone)
                    .values({**CLOSED, "changed_at": now, "cleared_at": now})
                )


def to_transition(row: Any) -> Transition:
    """Return the transition of a row of TRANSITION_COLUMNS; its actions are not stored with it."""
    *stored, message_id, event_type, text = row
    values = dict(zip(TRANSITION_FIELDS, stored, strict=True))
    values["kind"] = Kind(values["kind"])
    values["alarm_name"] = values["alarm_name"] or ""
    values["objects"] = None if values["objects"] is None else tuple(values["objects"])
    event = Event({**_event_body(text), "message_id": message_id, "event_type": event_type})
    return Transition(**values, event=event)


def _event_body(text: str | None) -> Document:
    """Return a stored event; empty if it was removed or cannot be read."""
    try:
        body = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


@dataclasses.dataclass(frozen=True, slots=True)
class Acknowledgement:
    """When, by whom and with which comment an occurrence of an alarm on a managed object was acknowledged."""

    object_id: str
    alarm_id: str
    project_id: str
    occurrence_id: str
    acknowledged_at: datetime.datetime
    user_id: str
    comment: str | None = None


class Acknowledgements:
    """Reads and writes on one database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, object_ids: Collection[str]) -> dict[tuple[str, str], datetime.datetime]:
        """Return when occurrences were acknowledged (aware UTC), by object id and occurrence id."""
        if not object_ids:
            return {}
        columns = (
            acknowledgement.c.object_id,
            acknowledgement.c.occurrence_id,
            acknowledgement.c.acknowledged_at,
        )
        query = sa.select(*columns).where(acknowledgement.c.object_id.in_(sorted(object_ids)))
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def find(self, object_id: str) -> Acknowledgement | None:
        """Return the acknowledgement of any occurrence of an (alarm, managed object), or None."""
        columns = [acknowledgement.c[field.name] for field in dataclasses.fields(Acknowledgement)]
        query = sa.select(*columns).where(acknowledgement.c.object_id == object_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Acknowledgement(*row)

    def add(self, added: Acknowledgement) -> bool:
        """Record *added*; return False if the occurrence is already acknowledged."""
        this = acknowledgement.c.object_id == added.object_id
        row: dict[str, Any] = dataclasses.asdict(added)
        try:
            with self._database.begin() as connection:
                held = sa.select(acknowledgement.c.occurrence_id).where(this).with_for_update()
                if connection.execute(held).scalar() == added.occurrence_id:
                    return False
                connection.execute(sa.delete(acknowledgement).where(this))
                connection.execute(sa.insert(acknowledgement), row)
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def remove(self, object_id: str, occurrence_id: str) -> bool:
        """Remove the acknowledgement of an occurrence; return False if there is none."""
        statement = sa.delete(acknowledgement).where(
            acknowledgement.c.object_id == object_id, acknowledgement.c.occurrence_id == occurrence_id
        )
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount > 0
