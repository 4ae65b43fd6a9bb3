"""Health checks in the database: what is known of each target, what changed, and events to be published.

An event is a row of the transaction that changes its target, so that there is one for each change, whatever
fails. It is removed once the broker has confirmed it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.model import JSONDict
from eventalarm.model.findings import Finding, Health, TargetState
from eventalarm.storage.column_types import clean, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.pulse_tables import pulse_change, pulse_event
from eventalarm.storage.pulse_tables import pulse_target as table

# The most events that are published together.
PAGE: Final = 200
TRIES: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class PulseWrites:
    """What a round of a check writes: new states, targets to forget, changes of health, bodies of events."""

    states: Sequence[TargetState] = ()
    removed: Sequence[str] = ()
    changed: Sequence[TargetState] = ()
    events: Sequence[JSONDict] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class HealthChange:
    """A change of the health of a target, at an aware UTC time."""

    check: str
    finding: Finding
    at: datetime.datetime


class PulseStore:
    """Reads and writes on one database; safe to share between threads.

    Every method raises Retryable when the database failed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(self, check: str, decide: Callable[[Mapping[str, TargetState]], PulseWrites]) -> None:
        """Write what *decide* returns for the known states of the targets of *check*, in one transaction.

        The rows are locked meanwhile, so that of two processes the second sees what the first has written.
        *decide* may be called again, if both add a target.
        """
        for left in range(TRIES - 1, -1, -1):
            try:
                with self._database.begin() as connection:
                    known = _states(connection, check, lock=True)
                    _write(connection, check, known, decide(known))
            except db_exception.DBDuplicateEntry:
                if not left:
                    raise
            else:
                return

    def states(self, check: str = "", project_id: str | None = None) -> list[tuple[str, TargetState]]:
        """Return what is known of the targets, with the names of their checks, in their order.

        :param check: only of this check, if not empty.
        :param project_id: only of this project, if not None.
        """
        query = sa.select(table).order_by(table.c.check_name, table.c.target)
        if check:
            query = query.where(table.c.check_name == check)
        if project_id is not None:
            query = query.where(table.c.project_id == project_id)
        with self._database.read() as connection:
            return [(row.check_name, _state(row)) for row in connection.execute(query)]

    def history(self, check: str = "", target: str = "", last: int = 50) -> list[HealthChange]:
        """Return the *last* changes of health, the newest first; of one check or target if given."""
        query = sa.select(pulse_change).order_by(pulse_change.c.seq.desc()).limit(last)
        if check:
            query = query.where(pulse_change.c.check_name == check)
        if target:
            query = query.where(pulse_change.c.target == to_key(target))
        with self._database.read() as connection:
            return [HealthChange(row.check_name, _finding(row), row.at) for row in connection.execute(query)]

    def waiting(self) -> list[tuple[int, JSONDict]]:
        """Return up to :data:`PAGE` events to publish with their numbers, in the order of the changes."""
        query = sa.select(pulse_event.c.seq, pulse_event.c.body).order_by(pulse_event.c.seq).limit(PAGE)
        with self._database.read() as connection:
            return [(row.seq, json.loads(row.body)) for row in connection.execute(query)]

    def published(self, seqs: Sequence[int]) -> None:
        """Remove events that the broker has confirmed."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(pulse_event).where(pulse_event.c.seq.in_(seqs)))


def _states(connection: sa.Connection, check: str, *, lock: bool) -> dict[str, TargetState]:
    query = sa.select(table).where(table.c.check_name == check).order_by(table.c.target)
    rows = connection.execute(query.with_for_update() if lock else query)
    return {row.target: _state(row) for row in rows}


def _write(
    connection: sa.Connection, check: str, known: Mapping[str, TargetState], writes: PulseWrites
) -> None:
    rows = [_row(check, state) for state in writes.states]
    new = [row for row in rows if row["target"] not in known]
    old = [{f"new_{name}": value for name, value in row.items()} for row in rows if row["target"] in known]
    if writes.removed:
        these = [to_key(target) for target in writes.removed]
        gone = sa.delete(table).where(table.c.check_name == check, table.c.target.in_(these))
        connection.execute(gone)
    if new:
        connection.execute(sa.insert(table), new)
    if old:
        connection.execute(_UPDATE, old)
    if writes.changed:
        connection.execute(sa.insert(pulse_change), [_change(check, state) for state in writes.changed])
    if writes.events:
        connection.execute(sa.insert(pulse_event), [{"body": json.dumps(body)} for body in writes.events])


_CHANGE: Final = ("check_name", "target", "project_id", "health", "summary", "figures")
_KEYS: Final = ("check_name", "target")
_UPDATE: Final = (
    sa.update(table)
    .where(*(table.c[name] == sa.bindparam(f"new_{name}") for name in _KEYS))
    .values({one.name: sa.bindparam(f"new_{one.name}") for one in table.c if one.name not in _KEYS})
)


def _row(check: str, state: TargetState) -> dict[str, Any]:
    finding = state.finding
    return {
        "check_name": check,
        "target": to_key(finding.target),
        "project_id": finding.project_id,
        "host": to_key(finding.host),
        "health": finding.health.value,
        "summary": clean(finding.summary),
        "remedy": clean(finding.remedy),
        "figures": dict(finding.figures),
        "since": state.since,
        "checked_at": state.checked_at,
        "failing": state.failing,
        "succeeding": state.succeeding,
        "reported": state.reported.value,
        "reports": state.reports,
    }


def _change(check: str, state: TargetState) -> dict[str, Any]:
    row = _row(check, state)
    kept = {
        name: row[name] for name in ("check_name", "target", "project_id", "health", "summary", "figures")
    }
    return kept | {"at": state.checked_at}


def _finding(row: Any) -> Finding:
    return Finding(
        target=row.target,
        health=Health(row.health),
        summary=row.summary,
        remedy=getattr(row, "remedy", ""),
        figures=row.figures or {},
        project_id=row.project_id,
        host=getattr(row, "host", ""),
    )


def _state(row: Any) -> TargetState:
    return TargetState(
        finding=_finding(row),
        since=row.since,
        checked_at=row.checked_at,
        failing=row.failing,
        succeeding=row.succeeding,
        reported=Health(row.reported),
        reports=row.reports,
    )
