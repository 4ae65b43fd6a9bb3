"""Writes recorded events, and the decisions about them, in a transaction of the evaluator."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from eventalarm.model import OBJECT_NAMESPACE, Event, JSONDict
from eventalarm.storage.column_types import clean, insert_new, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import recorded_decision, recorded_event

ADD_EVENTS: Final = insert_new(recorded_event)
ADD_DECISIONS: Final = insert_new(recorded_decision)


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision about an event that made no transition; ``state`` is that of the alarm.

    ``reason`` is a value of ``eventalarm.evaluator.decide.Reason``.
    """

    record_id: str
    alarm_id: str
    managed_object: str
    reason: str
    state: str
    decided_at: datetime.datetime


def record_id(project_id: str, message_key: str) -> str:
    """Return the id of the record of an event for a project.

    :param message_key: the id of the message as the database stores it.
    """
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"event\n{project_id}\n{message_key}"))


def event_row(
    event: Event,
    project_id: str,
    text: str,
    *,
    managed_object: str,
    event_time: datetime.datetime,
    now: datetime.datetime,
) -> JSONDict:
    """Return the row of an event; *text* is its JSON as it is stored."""
    message_key = to_key(event.message_id)
    return {
        "record_id": record_id(project_id, message_key),
        "project_id": clean(project_id),
        "message_id": message_key,
        "event_type": to_key(event.event_type),
        "managed_object": managed_object,
        "event_time": event_time,
        "recorded_at": now,
        "size": len(text),
        "body": text,
    }


def write(
    connection: sa.Connection, events: Mapping[str, JSONDict], decisions: Collection[RecordedDecision]
) -> None:
    """Add the rows of *events* (by record id) and *decisions*; those that are there stay as they are."""
    dialect = connection.dialect.name
    if events:
        # In one order for all processes, which else could wait for each other's rows.
        connection.execute(ADD_EVENTS[dialect], [events[name] for name in sorted(events)])
    if decisions:
        rows = {(one.record_id, one.alarm_id, one.managed_object): one for one in decisions}
        connection.execute(ADD_DECISIONS[dialect], [dataclasses.asdict(rows[key]) for key in sorted(rows)])


def add(database: Database, events: Mapping[str, JSONDict], most: int) -> None:
    """Add the rows of *events*, about *most* bytes in one transaction; those that are there stay.

    :raises Retryable: if the database failed; adding them again is safe.
    """
    part: dict[str, JSONDict] = {}
    size = 0
    for name in sorted(events):
        part[name] = events[name]
        size += events[name]["size"]
        if size >= most:
            _add_part(database, part)
            part, size = {}, 0
    _add_part(database, part)


def _add_part(database: Database, events: Mapping[str, JSONDict]) -> None:
    if events:
        with database.begin() as connection:
            write(connection, events, ())
