"""Events and transitions as they are stored, and the messages of the bus whose evaluation was interrupted."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Event, JSONDict, Transition
from eventalarm.storage.column_types import KEY_LENGTH, clean, in_chunks, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import suspect
from eventalarm.storage.tables import event, transition

EVENT_LENGTH: Final = 1024 * 1024
REST_OF_ROW: Final = 600

# The event of a transition, in whichever table it is; for statements that join STORED.
EVENT_TEXT: Final = sa.func.coalesce(transition.c.event, event.c.body).label("event")
STORED: Final = transition.outerjoin(event, event.c.event_id == transition.c.event_id)
_IDS: Final[Any] = sa.bindparam("ids", expanding=True)
TRIES: Final = sa.select(suspect.c.message_id, suspect.c.tries).where(suspect.c.message_id.in_(_IDS))
AGAIN: Final = (
    sa.update(suspect)
    .where(suspect.c.message_id.in_(_IDS))
    .values(tries=suspect.c.tries + 1, tried_at=sa.bindparam("now", type_=suspect.c.tried_at.type))
)
CLEAR: Final = sa.delete(suspect).where(suspect.c.message_id.in_(_IDS))


def event_json(body: Mapping[str, Any], limit: int = EVENT_LENGTH, whole: str = "") -> str:
    """Return an event as JSON of at most *limit* characters; see :func:`bounded_event`."""
    return bounded_event(body, limit, whole)[0]


def bounded_event(body: Mapping[str, Any], limit: int = EVENT_LENGTH, whole: str = "") -> tuple[str, bool]:
    """Return an event as JSON of at most *limit* characters, and whether that is all of it.

    The limit keeps it below the packet limits of databases. A longer event loses its ``raw`` part first, then
    its traits; ``truncated`` then names what is missing. *whole* is *body* as JSON, if that is known.
    """
    whole = whole or json.dumps(body)
    if len(whole) <= limit:
        return whole, True
    without_raw = json.dumps({**body, "raw": {}, "truncated": ["raw"]})
    if len(without_raw) <= limit:
        return without_raw, False
    kept = {name: str(body.get(name))[:KEY_LENGTH] for name in ("message_id", "event_type", "generated")}
    return json.dumps({**kept, "traits": [], "raw": {}, "truncated": ["raw", "traits"]}), False


class EventTexts:
    """The JSON of the events of one batch, each encoded once; it keeps the events referenced.

    :param limit: the largest size of one event in bytes; see :func:`bounded_event`.
    """

    def __init__(self, limit: int = EVENT_LENGTH) -> None:
        self._limit = limit
        self._texts: dict[int, tuple[Event, str]] = {}
        self._cut: dict[int, Event] = {}

    def __call__(self, of: Event) -> str:
        """Return the JSON of an event."""
        known = self._texts.get(id(of))
        if known is None:
            said, whole = bounded_event(of.body, self._limit, of.json())
            if not whole:
                cut = self._cut[id(of)] = Event(json.loads(said))
                cut.profile = of.profile
            known = self._texts[id(of)] = (of, said)
        return known[1]

    def as_stored(self, one: Transition) -> Transition:
        """Return a transition with its event as it is stored, so that all deliveries of it are equal."""
        self(one.event)
        cut = self._cut.get(id(one.event))
        return one if cut is None else dataclasses.replace(one, event=cut)


class Weight:
    """The approximate size of the transitions of one transaction in bytes; every event counts once.

    :param texts: the JSON of the events that the transaction will write.
    """

    def __init__(self, texts: EventTexts) -> None:
        self.bytes = 0
        self._texts = texts
        self._counted: set[int] = set()

    def add(self, transitions: Iterable[Transition]) -> None:
        """Count more transitions."""
        for one in transitions:
            # The reason is stored with the transition, the alarm and its history.
            self.bytes += REST_OF_ROW + 3 * len(one.reason)
            if id(one.event) not in self._counted:
                self._counted.add(id(one.event))
                self.bytes += len(self._texts(one.event))


@dataclasses.dataclass(frozen=True, slots=True)
class StoredEvents:
    """Rows of shared events, and the columns ``event`` and ``event_id`` of each transition."""

    rows: list[JSONDict]
    of_transition: list[JSONDict]


def to_rows(transitions: Sequence[Transition], texts: EventTexts) -> StoredEvents:
    """Return the rows and columns that store the events of *transitions*."""
    uses = Counter(id(t.event) for t in transitions)
    rows: dict[int, JSONDict] = {}
    columns: list[JSONDict] = []
    for t in transitions:
        if uses[id(t.event)] == 1:
            columns.append({"event": texts(t.event), "event_id": None})
            continue
        row = rows.get(id(t.event))
        if row is None:
            row = rows[id(t.event)] = {
                "event_id": str(uuid.uuid4()),
                "message_id": to_key(t.event.message_id),
                "recorded_at": t.recorded_at,
                "body": texts(t.event),
            }
        columns.append({"event": None, "event_id": row["event_id"]})
    return StoredEvents(list(rows.values()), columns)


class Suspects:
    """Counts interrupted evaluations; every method raises Retryable if the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tries(self, message_ids: Collection[str]) -> dict[str, int]:
        """Return how often the evaluation of each of these messages has begun since it was redelivered."""
        found: dict[str, int] = {}
        with self._database.read() as connection:
            for chunk in in_chunks(message_ids):
                rows: Any = connection.execute(TRIES, {"ids": chunk})
                found.update({row.message_id: row.tries for row in rows})
        return found

    def count(self, message_ids: Collection[str]) -> None:
        """Count that the evaluation of these messages begins now."""
        now = self._database.about_now()
        known = self.tries(message_ids)
        new = [{"message_id": one, "tries": 1, "tried_at": now} for one in sorted({*message_ids} - {*known})]
        with self._database.begin() as connection:
            if new:
                connection.execute(suspect.insert(), new)
            for chunk in in_chunks(known):
                connection.execute(AGAIN, {"ids": chunk, "now": now})

    def clear(self, message_ids: Collection[str]) -> None:
        """Remove the counts of messages whose evaluation has ended."""
        with self._database.begin() as connection:
            for chunk in in_chunks(message_ids):
                connection.execute(CLEAR, {"ids": chunk})


def transition_row(t: Transition) -> dict[str, Any]:
    """Return the row of a transition, without its event."""
    return {
        "transition_id": t.transition_id,
        "kind": t.kind.value,
        "occurrence_id": t.occurrence_id,
        "alarm_id": t.alarm_id,
        "project_id": t.project_id,
        "managed_object": t.managed_object,
        "message_id": to_key(t.event.message_id),
        "alarm_name": t.alarm_name,
        "severity": t.severity,
        "previous": t.previous,
        "current": t.current,
        "reason": clean(t.reason),
        "event_type": to_key(t.event.event_type),
        "event_time": t.event_time,
        "recorded_at": t.recorded_at,
        "raised_count": t.raised_count,
        "fault_id": to_key(t.fault_id) if t.fault_id else None,
        "inhibited_by": t.inhibited_by,
        "objects": None if t.objects is None else list(t.objects),
    }
