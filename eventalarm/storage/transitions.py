"""One transaction of the evaluator: it locks alarm rows and writes transitions with all their consequences.

A batch costs a constant number of statements, however many alarms fire (chunks of 500 aside).
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm import reasons
from eventalarm.model import Alarm, Occurrence, Transition
from eventalarm.storage.alarm_counts import CLOSED
from eventalarm.storage.alarms import ROW_COLUMNS, to_alarm
from eventalarm.storage.column_types import for_aodh, in_chunks, to_key, upserts
from eventalarm.storage.events import EventTexts, to_rows, transition_row
from eventalarm.storage.stored_state import OCCURRENCE_COLUMNS, StoredState, ask_stored_state
from eventalarm.storage.tables import (
    alarm,
    alarm_count,
    alarm_history,
    event,
    occurrence,
    transition,
)

STATE_TRANSITION: Final = "state transition"

# Statements are built once: building one takes as long as its round trip.
_ALARMS: Final[Any] = sa.bindparam("alarms", expanding=True)
_IDS: Final[Any] = sa.bindparam("ids", expanding=True)

_LOCK: Final = sa.select(*ROW_COLUMNS).where(alarm.c.alarm_id.in_(_ALARMS)).order_by(alarm.c.alarm_id)
# The nodes of a Galera cluster do not see each other's locks. A commit on another node aborts this
# transaction if it changes a row that is locked here, or fails the commit if it changes a row that was
# written here. So every transaction that changes an occurrence locks and writes its alarm's count: of two at
# once, one is retried. MariaDB omits a joined table of which no column is selected.
_LOCK_MYSQL: Final = (
    _LOCK.add_columns(alarm_count.c.changes)
    .select_from(alarm.outerjoin(alarm_count, alarm_count.c.alarm_id == alarm.c.alarm_id))
    .with_for_update()
)
_LOCK_ONE: Final = _LOCK.with_for_update(key_share=True)
LOCK: Final = {
    "sqlite": _LOCK_ONE,
    "postgresql": _LOCK_ONE,
    "mysql": _LOCK_MYSQL,
    "mariadb": _LOCK_MYSQL,
}

# Locks the alarms that no other transaction holds; reads which alarms exist.
LOCK_FREE: Final = (
    sa.select(alarm.c.alarm_id)
    .where(alarm.c.alarm_id.in_(_ALARMS))
    .with_for_update(key_share=True, skip_locked=True)
)
EXISTING: Final = sa.select(alarm.c.alarm_id).where(alarm.c.alarm_id.in_(_ALARMS))


ELSEWHERE: Final = sa.select(alarm_history.c.alarm_id, alarm_history.c.detail).where(
    alarm_history.c.alarm_id.in_(_ALARMS),
    alarm_history.c.type == STATE_TRANSITION,
    alarm_history.c.timestamp >= sa.bindparam("since", type_=alarm_history.c.timestamp.type),
)
SUPERSEDE: Final = occurrence.update().where(occurrence.c.occurrence_id.in_(_IDS)).values(latest=None)
PUT_OCCURRENCES: Final = upserts(occurrence, key="occurrence_id")
ADD_EVENTS: Final = event.insert()
ADD_TRANSITIONS: Final = transition.insert()
ADD_HISTORY: Final = alarm_history.insert()
SET_STATE: Final = (
    alarm.update()
    .where(alarm.c.alarm_id == sa.bindparam("only"))
    .values(
        state=sa.bindparam("state"),
        state_reason=sa.bindparam("reason"),
        state_timestamp=sa.bindparam("now", type_=alarm.c.state_timestamp.type),
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class StateChange:
    """A new state for an alarm row, and for Aodh's history."""

    alarm_id: str
    project_id: str
    severity: str | None
    state: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the database before anything was known: the statements have been executed."""

    asked: tuple[frozenset[str], ...]
    locked: list[sa.Result[Any]]
    state: Callable[[], StoredState]

    def covers(self, *wanted: Collection[str]) -> bool:
        """Return True if all these were asked for: alarms, managed objects, messages, and so on."""
        return all(asked.issuperset(some) for asked, some in zip(self.asked, wanted, strict=False))


class Transaction:
    """The reads and writes of the evaluator on one open write transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._asked: Asked | None = None

    def ask(
        self,
        alarm_ids: Collection[str],
        managed_objects: Collection[str],
        message_ids: Collection[str],
        resources: Collection[str],
    ) -> None:
        """Begin to lock alarms and to read their state, in one trip of a pipeline.

        :meth:`lock` and :meth:`stored_state` return the results if they are called with the same.
        """
        locked = self._lock(alarm_ids)
        asked = tuple(map(frozenset, (alarm_ids, managed_objects, message_ids, resources)))
        self._asked = Asked(
            asked,
            locked,
            ask_stored_state(self.connection, alarm_ids, managed_objects, message_ids, resources),
        )

    def lock(self, alarm_ids: Collection[str]) -> dict[str, Alarm]:
        """Lock and return the alarms that still exist, in one order for all processes."""
        asked = self._asked
        results = asked.locked if asked and asked.asked[0] == alarm_ids else self._lock(alarm_ids)
        return {row.alarm_id: to_alarm(row) for rows in results for row in rows.all()}

    def _lock(self, alarm_ids: Collection[str]) -> list[sa.Result[Any]]:
        statement = LOCK[self.connection.dialect.name]
        return [self.connection.execute(statement, {"alarms": chunk}) for chunk in in_chunks(alarm_ids)]

    def held_elsewhere(self, alarm_ids: Collection[str]) -> set[str]:
        """Return which alarms another transaction keeps locked, without waiting for it; lock the others."""
        held: set[str] = set()
        for chunk in in_chunks(alarm_ids):
            free = set(self.connection.execute(LOCK_FREE, {"alarms": chunk}).scalars())
            rest = [alarm_id for alarm_id in chunk if alarm_id not in free]
            held.update(self.connection.execute(EXISTING, {"alarms": rest}).scalars() if rest else ())
        return held

    def stored_state(
        self,
        alarm_ids: Collection[str],
        managed_objects: Collection[str],
        message_ids: Collection[str],
        resources: Collection[str],
    ) -> StoredState:
        """Return what is known of locked alarms, of these managed objects, messages and resources.

        What :meth:`ask` has asked may be more.
        """
        asked = self._asked
        if asked is not None and asked.covers(alarm_ids, managed_objects, message_ids, resources):
            return asked.state()
        return ask_stored_state(self.connection, alarm_ids, managed_objects, message_ids, resources)()

    def ask_handled_elsewhere(
        self, alarm_ids: Collection[str], since: datetime.datetime
    ) -> Callable[[], set[tuple[str, str]]]:
        """Ask which (alarm, message) Aodh's history contains since *since*, from any evaluator.

        The reason that Aodh's event evaluator records names the event: ``Event <id=...,event_type=...``.
        Return the function that reads the answer: in a pipeline, with what else is asked meanwhile.
        """
        asked = ({"alarms": chunk, "since": since} for chunk in in_chunks(alarm_ids))
        results = [self.connection.execute(ELSEWHERE, values) for values in asked]

        def read() -> set[tuple[str, str]]:
            found: set[tuple[str, str]] = set()
            for alarm_id, detail in (row for result in results for row in result):
                message_id = reasons.message_id_in(detail or "")
                if message_id:
                    found.add((alarm_id, to_key(message_id)))
            return found

        return read

    def close_occurrences(self, alarm_ids: Collection[str], now: datetime.datetime) -> None:
        """Clear all raised occurrences of alarms whose state was changed by another program or user."""
        for chunk in in_chunks(alarm_ids):
            self.connection.execute(
                occurrence.update()
                .where(occurrence.c.alarm_id.in_(chunk), occurrence.c.raised)
                .values({**CLOSED, "changed_at": now, "cleared_at": now})
            )

    def write_occurrences(
        self, changed: Sequence[Occurrence], *, known: Collection[str], superseded: Collection[str]
    ) -> None:
        """Write occurrences, new or changed.

        *known* are the ids that are already stored, *superseded* those that are no longer the latest.
        """
        for chunk in in_chunks([i for i in superseded if i in known]):
            self.connection.execute(SUPERSEDE, {"ids": chunk})
        if changed:
            rows = [_occurrence_row(o, o.occurrence_id not in superseded) for o in changed]
            self.connection.execute(PUT_OCCURRENCES[self.connection.dialect.name], rows)

    def write_transitions(self, transitions: Sequence[Transition], texts: EventTexts) -> None:
        """Record transitions; unique per alarm, managed object and message.

        An event that caused one of them is stored with it; one that caused several is stored once.
        """
        if not transitions:
            return
        stored = to_rows(transitions, texts)
        if stored.rows:
            self.connection.execute(ADD_EVENTS, stored.rows)
        rows = [
            transition_row(t) | columns for t, columns in zip(transitions, stored.of_transition, strict=True)
        ]
        self.connection.execute(ADD_TRANSITIONS, rows)

    def write_states(self, changes: Mapping[str, StateChange], now: datetime.datetime) -> None:
        """Write the columns that the evaluator owns, and no others (G4)."""
        if len(changes) == 1:
            (change,) = changes.values()
            reason = for_aodh(change.reason)
            only = {"only": change.alarm_id, "state": change.state, "reason": reason, "now": now}
            self.connection.execute(SET_STATE, only)
            return
        by_state: dict[str, list[StateChange]] = {}
        for change in changes.values():
            by_state.setdefault(change.state, []).append(change)
        for state, same in by_state.items():
            reasons = {c.alarm_id: for_aodh(c.reason) for c in same}
            for chunk in in_chunks(reasons):
                each = [(name, reasons[name]) for name in chunk]
                # Padded with the last one, so that few different statements are built.
                each += each[-1:] * ((1 << (len(each) - 1).bit_length()) - len(each))
                values: dict[str, Any] = {"alarms": chunk, "state": state, "now": now}
                for number, (name, reason) in enumerate(each):
                    values[f"alarm{number}"], values[f"reason{number}"] = name, reason
                self.connection.execute(_set_states(len(each)), values)

    def write_history(self, changes: Sequence[StateChange], now: datetime.datetime) -> None:
        """Add Aodh's own ``state transition`` records, so that its alarm-history keeps working."""
        if changes:
            self.connection.execute(ADD_HISTORY, [_history_row(c, now) for c in changes])


@functools.lru_cache
def _set_states(number: int) -> sa.Update:
    """Return the update of up to *number* alarms that enter the same state, each with its own reason."""
    whens: list[Any] = [(sa.bindparam(f"alarm{n}"), sa.bindparam(f"reason{n}")) for n in range(number)]
    return (
        alarm.update()
        .where(alarm.c.alarm_id.in_(_ALARMS))
        .values(
            state=sa.bindparam("state"),
            state_timestamp=sa.bindparam("now", type_=alarm.c.state_timestamp.type),
            state_reason=sa.case(*whens, value=alarm.c.alarm_id),
        )
    )


def _occurrence_row(one: Occurrence, latest: bool) -> dict[str, Any]:
    row: dict[str, Any] = {column.name: getattr(one, column.name) for column in OCCURRENCE_COLUMNS}
    return row | {"latest": latest or None}


def _history_row(change: StateChange, now: datetime.datetime) -> dict[str, Any]:
    detail = json.dumps({"state": change.state, "transition_reason": for_aodh(change.reason)})
    # Aodh stores the ids of its service user here, which it gets from Keystone; firing must not need it (G8).
    return {
        "event_id": str(uuid.uuid4()),
        "alarm_id": change.alarm_id,
        "on_behalf_of": change.project_id,
        "project_id": None,
        "user_id": None,
        "type": STATE_TRANSITION,
        "detail": detail,
        "timestamp": now,
        "severity": change.severity,
    }
