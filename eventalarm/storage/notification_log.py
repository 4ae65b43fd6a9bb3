"""The notification log: the last notification of each raised alarm."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import ALARM
from eventalarm.storage.column_types import in_chunks, upserts
from eventalarm.storage.ifa_tables import notification_log
from eventalarm.storage.tables import alarm, occurrence

PUT: Final = upserts(notification_log, key="ifa_alarm_id")
SEPARATOR: Final = ","


@dataclasses.dataclass(frozen=True, slots=True)
class NotifiedAlarm:
    """One row: ``alarm`` is the JSON that was sent; ``state`` and ``version`` are those of Aodh's row."""

    ifa_alarm_id: str
    alarm_id: str
    project_id: str
    occurrence_id: str
    severities: frozenset[str]
    mark: str
    state: str
    version: datetime.datetime | None
    notified_at: datetime.datetime
    alarm: str


def _notified(row: Any) -> NotifiedAlarm:
    values = dict(row._mapping)
    values["severities"] = frozenset(values["severities"].split(SEPARATOR))
    return NotifiedAlarm(**values)


def read(connection: sa.Connection, ifa_alarm_ids: Collection[str]) -> dict[str, NotifiedAlarm]:
    """Return the rows of alarms by the ``alarmId`` of the IFA APIs."""
    return _read(connection, notification_log.c.ifa_alarm_id, ifa_alarm_ids)


def of_alarms(connection: sa.Connection, alarm_ids: Collection[str]) -> dict[str, NotifiedAlarm]:
    """Lock and return the rows of Aodh's alarms, by the ``alarmId`` of the IFA APIs.

    They are locked because the row of a deleted alarm, which two processes could lock, no longer exists.
    """
    return _read(connection, notification_log.c.alarm_id, alarm_ids, lock=True)


def _read(
    connection: sa.Connection, column: sa.Column[str], values: Collection[str], *, lock: bool = False
) -> dict[str, NotifiedAlarm]:
    found: dict[str, NotifiedAlarm] = {}
    for chunk in in_chunks(values):
        query = sa.select(notification_log).where(column.in_(chunk)).order_by(notification_log.c.ifa_alarm_id)
        rows = connection.execute(query.with_for_update() if lock else query)
        found.update((row.ifa_alarm_id, _notified(row)) for row in rows)
    return found


def put(connection: sa.Connection, rows: Sequence[NotifiedAlarm]) -> None:
    """Insert or replace rows."""
    if rows:
        values = [
            dataclasses.asdict(row) | {"severities": SEPARATOR.join(sorted(row.severities))} for row in rows
        ]
        connection.execute(PUT[connection.dialect.name], values)


def drop(connection: sa.Connection, ifa_alarm_ids: Collection[str]) -> None:
    """Remove the rows of cleared alarms."""
    for chunk in in_chunks(ifa_alarm_ids):
        connection.execute(sa.delete(notification_log).where(notification_log.c.ifa_alarm_id.in_(chunk)))


def drop_all(connection: sa.Connection) -> None:
    """Remove all rows, since there is no subscription."""
    connection.execute(sa.delete(notification_log))


def not_notified(
    connection: sa.Connection, after: str, scan: int
) -> tuple[list[tuple[str, str]], str | None]:
    """Return the ids and projects of those of the next *scan* of Aodh's raised alarms that have no row.

    The second value is the id of the last alarm examined; None if these were all.
    """
    looked = (
        sa.select(alarm.c.alarm_id, alarm.c.project_id)
        .where(alarm.c.state == ALARM, alarm.c.alarm_id > after)
        .order_by(alarm.c.alarm_id)
        .limit(scan)
        .subquery()
    )
    known = sa.exists().where(notification_log.c.alarm_id == looked.c.alarm_id)
    query = sa.select(looked.c.alarm_id, looked.c.project_id, known)
    rows = connection.execute(query.order_by(looked.c.alarm_id)).all()
    more = rows[-1][0] if len(rows) == scan else None
    return [(row[0], row[1] or "") for row in rows if not row[2]], more


def changed(connection: sa.Connection, after: str, scan: int) -> tuple[list[str], str | None]:
    """Return Aodh's ids of the alarms of the next *scan* rows that may have changed, and where to continue.

    They were edited or deleted, are in another state, or their occurrence was cleared.
    """
    looked = (
        sa.select(notification_log)
        .where(notification_log.c.ifa_alarm_id > after)
        .order_by(notification_log.c.ifa_alarm_id)
        .limit(scan)
        .subquery()
    )
    ours = sa.select(occurrence.c.occurrence_id, occurrence.c.raised).subquery()
    query = (
        sa.select(
            looked.c.ifa_alarm_id,
            looked.c.alarm_id,
            looked.c.state,
            looked.c.version,
            alarm.c.state.label("now"),
            alarm.c.timestamp.label("edited"),
            ours.c.raised,
        )
        .select_from(
            looked.outerjoin(alarm, alarm.c.alarm_id == looked.c.alarm_id).outerjoin(
                ours, ours.c.occurrence_id == looked.c.occurrence_id
            )
        )
        .order_by(looked.c.ifa_alarm_id)
    )
    rows = connection.execute(query).all()
    moved = {
        row.alarm_id
        for row in rows
        if row.now != row.state or row.edited != row.version or row.raised is False
    }
    return sorted(moved), rows[-1].ifa_alarm_id if len(rows) == scan else None
