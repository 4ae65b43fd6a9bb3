"""Reads what happened in a time: the recorded events of a project, and the transitions of an alarm."""

from __future__ import annotations

import dataclasses
import datetime
import json

import sqlalchemy as sa

from eventalarm.model import JSONDict
from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import recorded_event
from eventalarm.storage.recorded_event_pages import OF_TRANSITION, StoredTransition
from eventalarm.storage.tables import transition


@dataclasses.dataclass(frozen=True, slots=True)
class EventBody:
    """A recorded event; ``recorded_at`` is when it was evaluated."""

    recorded_at: datetime.datetime
    body: JSONDict


def past_events(
    database: Database, project_id: str, since: datetime.datetime, until: datetime.datetime, limit: int
) -> list[EventBody]:
    """Return the first *limit* events that were evaluated in a time, in the order of their evaluation.

    :raises Retryable: if the database failed.
    """
    columns = recorded_event.c
    # Events of one transaction have one time, and were evaluated in the order of their own times.
    query = (
        sa.select(columns.recorded_at, columns.body)
        .where(columns.project_id == project_id, columns.recorded_at.between(since, until))
        .order_by(columns.recorded_at, columns.event_time, columns.record_id)
        .limit(limit)
    )
    with database.read() as connection:
        return [EventBody(row.recorded_at, json.loads(row.body)) for row in connection.execute(query)]


def past_transitions(
    database: Database, alarm_id: str, since: datetime.datetime, until: datetime.datetime, limit: int
) -> list[StoredTransition]:
    """Return the first *limit* transitions of an alarm that were recorded in a time, the oldest first.

    :raises Retryable: if the database failed.
    """
    recorded_at = transition.c.recorded_at
    query = (
        sa.select(*OF_TRANSITION)
        .where(transition.c.alarm_id == alarm_id, recorded_at.between(since, until))
        .order_by(recorded_at, transition.c.event_time, transition.c.transition_id)
        .limit(limit)
    )
    with database.read() as connection:
        return [StoredTransition(**row._mapping) for row in connection.execute(query)]
