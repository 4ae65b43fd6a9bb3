"""Reads recorded events for the projects that they concern: pages, single events, and what they led to."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import JSONDict
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import recorded_decision, recorded_event
from eventalarm.storage.pages import Page
from eventalarm.storage.recorded_events import RecordedDecision, record_id
from eventalarm.storage.tables import alarm, transition

# The most rows that a page with a filter on single rows examines, and the most results shown of one event.
SCAN: Final = 2000
MOST_SHOWN: Final = 1000

_FIELDS: Final = (
    *(recorded_event.c[name] for name in ("record_id", "project_id", "message_id", "event_type")),
    *(recorded_event.c[name] for name in ("managed_object", "event_time", "recorded_at", "size")),
)
OF_TRANSITION: Final = (
    *(transition.c[name] for name in ("transition_id", "kind", "alarm_id", "alarm_name", "managed_object")),
    *(transition.c[name] for name in ("previous", "current", "severity", "reason", "recorded_at")),
    *(transition.c[name] for name in ("inhibited_by", "message_id", "project_id", "event_time")),
    transition.c.event_type,
)

# When the event was recorded, and its record id.
Position = tuple[datetime.datetime, str]


@dataclasses.dataclass(frozen=True, slots=True)
class EventSelection:
    """A filter on recorded events; an empty field matches all. Times are aware UTC, of the recording."""

    project_id: str = ""
    event_type: str = ""
    managed_object: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A recorded event of a project; ``size`` is that of its body in bytes.

    ``managed_object`` is the resource of the event. ``led_to`` is the number of alarms by what the event did
    to them: a kind of transition, or the reason why there was none.
    """

    record_id: str
    project_id: str
    message_id: str
    event_type: str
    managed_object: str
    event_time: datetime.datetime
    recorded_at: datetime.datetime
    size: int
    led_to: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class StoredTransition:
    """A transition without its event."""

    transition_id: str
    kind: str
    alarm_id: str
    alarm_name: str
    managed_object: str
    previous: str
    current: str
    severity: str | None
    reason: str
    recorded_at: datetime.datetime
    inhibited_by: str | None
    message_id: str
    project_id: str
    event_time: datetime.datetime
    event_type: str


@dataclasses.dataclass(frozen=True, slots=True)
class LedTo:
    """What an event did to alarms, at most ``MOST_SHOWN`` of each: transitions, and other decisions."""

    transitions: list[StoredTransition]
    decisions: list[RecordedDecision]


class RecordedEventPages:
    """Reads on one database; every method raises Retryable when it failed."""

    def __init__(self, database: Database, scan: int = SCAN) -> None:
        self._database = database
        self._scan = scan

    def page(self, wanted: EventSelection, after: Position | None, limit: int) -> Page[RecordedEvent, str]:
        """Return up to *limit* events older than *after*, in at most four statements.

        With a filter that no index bounds, a page can be short, or empty, while there is a next one.
        """
        ranged = _range_of(wanted)
        filtered = ranged != wanted
        columns = recorded_event.c
        looked = _by_index(sa.select(columns.record_id, columns.recorded_at), ranged)
        looked = looked.where(*_conditions(ranged), *_older_than(after))
        looked = looked.order_by(columns.recorded_at.desc(), columns.record_id.desc())
        inner = looked.limit(self._scan if filtered else limit + 1).subquery()
        query = sa.select(*_FIELDS).select_from(
            recorded_event.join(inner, inner.c.record_id == columns.record_id)
        )
        # Said again, the range would lead PostgreSQL to read all of it for the join.
        query = query.where(*_conditions(dataclasses.replace(wanted, project_id="", since=None, until=None)))
        query = query.order_by(columns.recorded_at.desc(), columns.record_id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            events = [RecordedEvent(**row._mapping) for row in connection.execute(query)]
            if len(events) > limit:
                events = events[:limit]
                reached = events[-1].recorded_at, events[-1].record_id
                return Page(_with_results(connection, events), reached)
            last = looked.offset(self._scan - 1).limit(1)
            end: Any = connection.execute(last).first() if filtered else None
            found = _with_results(connection, events)
        return Page(found, None if end is None else (end.recorded_at, end.record_id))

    def get(self, name: str, project_id: str | None) -> tuple[RecordedEvent, JSONDict] | None:
        """Return an event with its body, of a project or of any if None; or None.

        :param name: its record id; with a project, the id of its message serves as well.
        """
        names = [name] if project_id is None else [name, record_id(project_id, to_key(name))]
        query = sa.select(*_FIELDS, recorded_event.c.body).where(recorded_event.c.record_id.in_(names))
        if project_id is not None:
            query = query.where(recorded_event.c.project_id == project_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
            # Compared here as well: databases may compare strings without regard to trailing blanks.
            if row is None or row.record_id not in names or project_id not in (None, row.project_id):
                return None
            known: dict[str, Any] = dict(row._mapping)
            body = json.loads(known.pop("body"))
            (event,) = _with_results(connection, [RecordedEvent(**known)])
        return event, body

    def led_to(self, event: RecordedEvent, alarm_id: str = "") -> LedTo:
        """Return what an event did to alarms of its project, or to one of them."""
        transitions = sa.select(*OF_TRANSITION).where(
            transition.c.message_id == event.message_id, transition.c.project_id == event.project_id
        )
        decisions = sa.select(recorded_decision).where(recorded_decision.c.record_id == event.record_id)
        if alarm_id:
            transitions = transitions.where(transition.c.alarm_id == alarm_id)
            decisions = decisions.where(recorded_decision.c.alarm_id == alarm_id)
        transitions = transitions.order_by(transition.c.alarm_id, transition.c.managed_object)
        decisions = decisions.order_by(recorded_decision.c.alarm_id, recorded_decision.c.managed_object)
        with self._database.read() as connection:
            changed = connection.execute(transitions.limit(MOST_SHOWN)).all()
            others = connection.execute(decisions.limit(MOST_SHOWN)).all()
        return LedTo(
            [StoredTransition(**row._mapping) for row in changed],
            [RecordedDecision(**row._mapping) for row in others],
        )

    def names(self, alarm_ids: Iterable[str]) -> dict[str, str]:
        """Return the names of alarms, of those that exist; at most ``MOST_SHOWN`` are read."""
        wanted = sorted(set(alarm_ids))[:MOST_SHOWN]
        query = sa.select(alarm.c.alarm_id, alarm.c.name).where(alarm.c.alarm_id.in_(wanted))
        with self._database.read() as connection:
            return {row.alarm_id: row.name or "" for row in connection.execute(query)}


def _range_of(wanted: EventSelection) -> EventSelection:
    """Return the part of a filter that bounds a range of one index."""
    if wanted.project_id and wanted.managed_object:
        return dataclasses.replace(wanted, event_type="")
    if wanted.project_id:
        return wanted
    return dataclasses.replace(wanted, event_type="", managed_object="")


def _by_index(query: sa.Select[Any], ranged: EventSelection) -> sa.Select[Any]:
    """Return *query* with the index that MySQL and MariaDB must use: they may prefer a longer range."""
    if not (ranged.managed_object or ranged.event_type):
        return query
    name = "object" if ranged.managed_object else "type"
    for dialect in ("mysql", "mariadb"):
        hint = f"FORCE INDEX (ix_eventalarm_recorded_event_{name})"
        query = query.with_hint(recorded_event, hint, dialect)
    return query


def _conditions(wanted: EventSelection) -> list[sa.ColumnElement[bool]]:
    columns = recorded_event.c
    found: list[sa.ColumnElement[bool]] = []
    if wanted.project_id:
        found.append(columns.project_id == wanted.project_id)
    if wanted.event_type:
        found.append(columns.event_type == to_key(wanted.event_type))
    if wanted.managed_object:
        found.append(columns.managed_object == to_key(wanted.managed_object))
    if wanted.since is not None:
        found.append(columns.recorded_at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.recorded_at <= wanted.until)
    return found


def _older_than(after: Position | None) -> list[sa.ColumnElement[bool]]:
    if after is None:
        return []
    moment, name = after
    columns = recorded_event.c
    earlier = sa.or_(columns.recorded_at < moment, columns.record_id < name)
    # The first condition alone bounds the range of the index: not every optimizer understands the second.
    return [columns.recorded_at <= moment, earlier]


def _with_results(connection: sa.Connection, events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """Return the events with what they led to, in two statements."""
    if not events:
        return []
    number = sa.func.count()
    messages: Collection[str] = {one.message_id for one in events}
    changes = (
        sa.select(transition.c.message_id, transition.c.project_id, transition.c.kind, number)
        .where(transition.c.message_id.in_(messages))
        .group_by(transition.c.message_id, transition.c.project_id, transition.c.kind)
    )
    decisions = (
        sa.select(recorded_decision.c.record_id, recorded_decision.c.reason, number)
        .where(recorded_decision.c.record_id.in_([one.record_id for one in events]))
        .group_by(recorded_decision.c.record_id, recorded_decision.c.reason)
    )
    found: dict[str, Counter[str]] = {one.record_id: Counter() for one in events}
    records = {(one.message_id, one.project_id): one.record_id for one in events}
    for message_id, project_id, kind, count in connection.execute(changes):
        name = records.get((message_id, project_id))
        if name is not None:
            found[name][kind] += count
    for name, reason, count in connection.execute(decisions):
        found[name][reason] += count
    return [dataclasses.replace(one, led_to=tuple(sorted(found[one.record_id].items()))) for one in events]
