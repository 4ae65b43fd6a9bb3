"""The circuits of destinations in the database, and the deliveries that wait for one of them to close.

A deferred delivery is out of the range of the index that claims read, so a destination that does not answer
costs the other claims nothing, however many deliveries wait for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.model import UTC, Circuit, CircuitState, DeliveryState, OperationalType, event_of_circuit
from eventalarm.storage import claims, operational_events
from eventalarm.storage.circuit_tables import destination as table
from eventalarm.storage.claims import DEFERRED
from eventalarm.storage.column_types import clean, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.tables import delivery

# The most deliveries that one transaction releases or gives up.
CHUNK: Final = 500
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Circuit))
_OPEN: Final = (CircuitState.OPEN.value, CircuitState.HALF_OPEN.value)
# A commit is seen this long after its time at the latest, else with the next read of all.
LATEST_COMMIT: Final = datetime.timedelta(seconds=10)
ENABLED: Final = "it was enabled by hand"


@dataclasses.dataclass(frozen=True, slots=True)
class ReadCircuits:
    """Circuits, and the time of the last change among them, None if there are none."""

    circuits: tuple[Circuit, ...]
    newest: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """The right to send a probe: *taken*, or another process has it.

    ``stored`` is the circuit as the database has it, None if it has none. ``seq`` is the number of the
    deferred delivery to send, None if none waits for the circuit.
    """

    stored: Circuit | None
    taken: bool = False
    seq: int | None = None


class CircuitStore:
    """Reads and writes on one database; safe to share between threads.

    Every method is one transaction and raises Retryable when the database failed.

    :param reported: the subjects of operational events, ``destination`` or ``delivery``, to write.
    """

    def __init__(self, database: Database, reported: Collection[str] = ()) -> None:
        self._database = database
        self._reports = OperationalType.DESTINATION_FAILING.subject in reported
        self._reports_dead = OperationalType.DELIVERY_DEAD.subject in reported

    def now(self) -> datetime.datetime:
        """Return an estimate of the database's clock without a query; this host's until it is known."""
        return self._database.clock.now() or datetime.datetime.now(UTC)

    def read(self, since: datetime.datetime | None = None) -> ReadCircuits:
        """Return the circuits that changed *since* then, with an overlap, or all that are not closed."""
        query = sa.select(table)
        if since is None:
            query = query.where(table.c.state != CircuitState.CLOSED.value)
        else:
            query = query.where(table.c.changed_at >= since - LATEST_COMMIT)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        newest = max((row.changed_at for row in rows), default=since)
        return ReadCircuits(tuple(map(_circuit, rows)), newest)

    def of_project(self, project_id: str) -> dict[str, Circuit]:
        """Return the circuits of a project by destination; those without a row never failed for long."""
        query = sa.select(table).where(table.c.project_id == project_id)
        with self._database.read() as connection:
            found = map(_circuit, connection.execute(query).all())
            return {one.destination: one for one in found if one.project_id == project_id}

    def write(self, circuit: Circuit) -> Circuit | None:
        """Store a change of the version that *circuit* has; return what is stored then, None if nothing is.

        That is another one if another process stored its change first.
        """
        now = self._database.about_now()
        try:
            with self._database.begin() as connection:
                before = _one(connection, circuit, lock=True) if self._reports else None
                if _replace(connection, circuit, now):
                    stored = dataclasses.replace(circuit, version=_next_version(connection, circuit))
                    self._report(connection, before, stored, now)
                    return stored
                if not circuit.version and _one(connection, circuit) is None:
                    connection.execute(sa.insert(table), [_values(circuit, now) | {"version": 1}])
                    stored = dataclasses.replace(circuit, version=1)
                    self._report(connection, None, stored, now)
                    return stored
        except db_exception.DBDuplicateEntry:
            pass
        with self._database.read() as connection:
            return _one(connection, circuit)

    def _report(
        self,
        connection: sa.Connection,
        before: Circuit | None,
        after: Circuit,
        now: datetime.datetime,
        why: str = "",
    ) -> None:
        """Write the operational event of a change, if there is one for it."""
        event = event_of_circuit(before, after, now, why) if self._reports else None
        if event is not None:
            operational_events.add(connection, [event])

    def take_probe(self, before: Circuit, probing: Circuit) -> Probe:
        """Store *probing* in place of *before*, and find the delivery to send.

        That is the one that waits longest or, with every other probe, shortest: of several URLs of the
        destination one may fail for good. Nothing is found if another process was first.
        """
        now = self._database.about_now()
        asked = {"project": before.project_id, "destination": before.destination}
        with self._database.begin() as connection:
            if not _replace(connection, dataclasses.replace(probing, version=before.version), now):
                return Probe(_one(connection, before))
            stored = dataclasses.replace(probing, version=before.version + 1)
            query = _waiting(newest=probing.probes % 2 == 0)
            return Probe(stored, taken=True, seq=connection.execute(query, asked).scalar())

    def release(self, circuit: Circuit) -> int:
        """Make up to CHUNK deliveries due that waited for *circuit*; return how many."""
        return self._release(_to(circuit, DEFERRED))

    def release_stray(self) -> int:
        """Make up to CHUNK deferred deliveries due whose circuit is not open; return how many.

        A process deferred them by what it knew, after another one had closed the circuit, or ended before it
        stored that it opened it. This reads every deferred delivery.
        """
        opened = sa.exists().where(
            table.c.project_id == delivery.c.project_id,
            table.c.destination == delivery.c.destination,
            table.c.state.in_(_OPEN),
        )
        return self._release(sa.and_(delivery.c.state == DEFERRED, ~opened))

    def _release(self, which: sa.ColumnElement[bool]) -> int:
        pending = {"state": DeliveryState.PENDING.value, "next_attempt_at": claims.AT_ONCE}
        return self._change(which, [DEFERRED], pending)

    def give_up(self, circuit: Circuit, error: str, owed_before: datetime.datetime | None = None) -> int:
        """Give up at most CHUNK unsent deliveries that go to the destination of *circuit*; return how many.

        With *owed_before* only those that are owed since before then.
        """
        states = [DEFERRED, DeliveryState.PENDING.value]
        which = _to(circuit, *states)
        if owed_before is not None:
            since = sa.func.coalesce(delivery.c.retried_at, delivery.c.created_at)
            which = sa.and_(which, since < owed_before)
        values = {"finished_at": self._database.about_now(), "error": clean(error)}
        return self._change(which, states, values | {"state": DeliveryState.FAILED.value})

    def _change(self, which: sa.ColumnElement[bool], states: list[str], values: dict[str, Any]) -> int:
        query = sa.select(delivery.c.seq).where(which)
        query = query.order_by(delivery.c.next_attempt_at, delivery.c.seq).limit(CHUNK)
        if self._database.dialect != "sqlite":
            query = query.with_for_update(skip_locked=True)
        with self._database.begin() as connection:
            seqs = list(connection.execute(query).scalars())
            if not seqs:
                return 0
            still = sa.and_(delivery.c.seq.in_(seqs), delivery.c.state.in_(states))
            changed = connection.execute(sa.update(delivery).where(still).values(values)).rowcount
            if self._reports_dead and values["state"] == DeliveryState.FAILED.value:
                operational_events.add_dead(connection, delivery.c.seq.in_(seqs), values["finished_at"])
            return changed

    def enable(self, project_id: str, destination: str) -> Circuit | None:
        """Close the circuit of a destination and return it; None if the project has none of it.

        What waits for it is released by the processes that deferred it.
        """
        wanted = Circuit(project_id, to_key(destination))
        with self._database.begin() as connection:
            known = _one(connection, wanted, lock=True)
            if known is None:
                return None
            now = self._database.about_now()
            closed = dataclasses.replace(wanted, version=known.version)
            _replace(connection, closed, now)
            stored = dataclasses.replace(closed, version=known.version + 1)
            self._report(connection, known, stored, now, ENABLED)
            return stored


def _circuit(row: Any) -> Circuit:
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Circuit(**fields | {"state": CircuitState(row.state), "error": row.error or ""})


def _values(circuit: Circuit, now: datetime.datetime) -> dict[str, Any]:
    values = {name: getattr(circuit, name) for name in _FIELDS if name != "version"}
    return values | {
        "state": circuit.state.value,
        "error": clean(circuit.error) or None,
        "changed_at": now,
    }


def _named(circuit: Circuit) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.project_id == circuit.project_id, table.c.destination == circuit.destination)


def _one(connection: sa.Connection, circuit: Circuit, *, lock: bool = False) -> Circuit | None:
    query = sa.select(table).where(_named(circuit))
    row = connection.execute(query.with_for_update() if lock else query).first()
    # Compared here as well: databases may compare strings without regard to case or trailing blanks.
    if row is None or (row.project_id, row.destination) != (circuit.project_id, circuit.destination):
        return None
    return _circuit(row)


def _replace(connection: sa.Connection, circuit: Circuit, now: datetime.datetime) -> bool:
    """Store a circuit if the row still has its version, or is closed where it has none."""
    is_closed = table.c.state == CircuitState.CLOSED.value
    same = table.c.version == circuit.version if circuit.version else is_closed
    values = _values(circuit, now) | {"version": table.c.version + 1}
    return connection.execute(sa.update(table).where(_named(circuit), same).values(values)).rowcount == 1


def _next_version(connection: sa.Connection, circuit: Circuit) -> int:
    if circuit.version:
        return circuit.version + 1
    found: int = connection.execute(sa.select(table.c.version).where(_named(circuit))).scalar_one()
    return found


def _to(circuit: Circuit, *states: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        delivery.c.state.in_(states),
        delivery.c.project_id == circuit.project_id,
        delivery.c.destination == circuit.destination,
        delivery.c.subscription_id.is_(None),
    )


@functools.cache
def _waiting(*, newest: bool) -> sa.Select[Any]:
    order = (delivery.c.next_attempt_at, delivery.c.seq)
    query = (
        sa.select(delivery.c.seq)
        .where(
            delivery.c.state == DEFERRED,
            delivery.c.project_id == sa.bindparam("project"),
            delivery.c.destination == sa.bindparam("destination"),
            claims.is_head(),
        )
        .order_by(*((column.desc() for column in order) if newest else order))
        .limit(1)
    )
    return claims.by_index(query, delivery, "due")
