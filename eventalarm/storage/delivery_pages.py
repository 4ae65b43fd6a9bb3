"""Pages of deliveries for the projects that own them, and what is known of their destinations.

A page takes at most three statements of bounded cost, regardless of the filter: it examines at most ``scan``
rows in the order of one index. If fewer than the limit match, the page is short and says how far it looked.
Where few rows have the wanted alarm or state, their own index is read instead.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import UNFINISHED, DeliveryState
from eventalarm.storage import attempts
from eventalarm.storage.attempts import StoredAttempt
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_selection import SHOWN, Selection, StoredDelivery, conditions, to_stored
from eventalarm.storage.pages import Page
from eventalarm.storage.tables import delivery, transition

SCAN: Final = 2000
# The newest deliveries of a project from which the figures of its destinations are computed.
SAMPLE: Final = 5000

# When the delivery was created, and its ``seq``.
Position = tuple[datetime.datetime, int]


@dataclasses.dataclass(slots=True)
class DestinationFigures:
    """What is known of a destination from the newest deliveries to it; latencies are in seconds."""

    destination: str
    delivered: int = 0
    failed: int = 0
    owed: int = 0
    latencies: list[float] = dataclasses.field(default_factory=list)
    last_success_at: datetime.datetime | None = None
    last_failure_at: datetime.datetime | None = None

    def percentile(self, share: float) -> float | None:
        """Return the latency that a *share* (0 to 1) of the successful attempts did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class DeliveryPages:
    """Reads on one database; every method raises Retryable when it failed."""

    def __init__(self, database: Database, scan: int = SCAN, sample: int = SAMPLE) -> None:
        self._database = database
        self._scan = scan
        self._sample = sample

    def page(self, wanted: Selection, after: Position | None, limit: int) -> Page[StoredDelivery, int]:
        """Return up to *limit* deliveries older than *after*, in at most three statements."""
        with self._database.read() as connection:
            looked = self._few(connection, wanted)
            ends = looked is not None
            rest, beyond = wanted, after
            # Without a filter on single rows all that are examined are on the page.
            scan = limit + 1 if wanted == _range_of(wanted) else self._scan
            if looked is None:
                looked = _in_order(sa.select(delivery.c.seq, delivery.c.created_at), wanted, after)
                looked = looked.where(*conditions(_range_of(wanted))).limit(scan)
                # Said again, the range would lead PostgreSQL to read all of it for the join.
                rest, beyond = _without_range(wanted), None
            rows = connection.execute(_shown(looked, wanted, rest, beyond, limit + 1)).all()
            if len(rows) > limit:
                return Page([to_stored(row) for row in rows[:limit]], _position(rows[limit - 1]))
            ends = ends or scan <= limit + 1
            end = None if ends else connection.execute(looked.offset(scan - 1).limit(1)).first()
        return Page([to_stored(row) for row in rows], None if end is None else _position(end))

    def _few(self, connection: sa.Connection, wanted: Selection) -> sa.Select[Any] | None:
        """Return the deliveries with the wanted alarm or state from their index, or None if they are many."""
        if not wanted.alarm_id and not (wanted.states and wanted.project_id):
            return None
        # The index of alarms has no project: all rows of another project's alarm would be read in vain.
        project_id = "" if wanted.alarm_id else wanted.project_id
        named = Selection(project_id=project_id, alarm_id=wanted.alarm_id, states=wanted.states)
        looked = sa.select(delivery.c.seq).where(*conditions(named))
        number = sa.select(sa.func.count()).select_from(looked.limit(self._scan + 1).subquery())
        return looked if connection.execute(number).scalar_one() <= self._scan else None

    def get(
        self, delivery_id: str, project_id: str | None
    ) -> tuple[StoredDelivery, list[StoredAttempt]] | None:
        """Return a delivery of a project, of any if None, with its attempts, the oldest first; or None."""
        wanted = Selection(delivery_ids=(delivery_id,), project_id=project_id or "")
        query = sa.select(*SHOWN).select_from(_with_transition(delivery)).where(*conditions(wanted))
        with self._database.read() as connection:
            row = connection.execute(query).first()
            # Compared here as well: databases may compare strings without regard to case or trailing blanks.
            if row is None or row.delivery_id != delivery_id or project_id not in (None, row.project_id):
                return None
            return to_stored(row), attempts.of_delivery(connection, delivery_id)

    def of_transitions(self, transition_ids: Collection[str]) -> dict[str, list[StoredDelivery]]:
        """Return the deliveries of transitions by transition, the oldest first, at most ``scan``."""
        query = sa.select(*SHOWN, delivery.c.transition_id).select_from(_with_transition(delivery))
        query = query.where(delivery.c.transition_id.in_(sorted(transition_ids))).order_by(delivery.c.seq)
        found: dict[str, list[StoredDelivery]] = {}
        with self._database.read() as connection:
            rows: Any = connection.execute(query.limit(self._scan))
            for row in rows:
                found.setdefault(row.transition_id, []).append(to_stored(row))
        return found

    def destinations(self, project_id: str) -> list[DestinationFigures]:
        """Return the destinations of the newest deliveries of a project and of those owed, by name."""
        newest = _in_order(
            sa.select(*(delivery.c[name] for name in ("destination", "state", "latency", "attempted_at"))),
            Selection(project_id=project_id),
            None,
        ).where(delivery.c.project_id == project_id)
        waiting = sa.select(delivery.c.destination).where(
            delivery.c.project_id == project_id, delivery.c.state.in_(UNFINISHED)
        )
        owed = waiting.limit(self._sample).subquery()
        counts = sa.select(owed.c.destination, sa.func.count()).group_by(owed.c.destination)
        with self._database.read() as connection:
            rows = connection.execute(newest.limit(self._sample)).all()
            found = _figures(rows)
            for name, number in connection.execute(counts):
                found.setdefault(name or "", DestinationFigures(name or "")).owed += number
        return [found[name] for name in sorted(found)]


def _figures(rows: Iterable[sa.Row[Any]]) -> dict[str, DestinationFigures]:
    """Return the figures of the destinations of *rows*, which are the newest first."""
    found: dict[str, DestinationFigures] = {}
    for row in rows:
        name = row.destination or ""
        one = found.setdefault(name, DestinationFigures(name))
        if row.state == DeliveryState.DELIVERED.value:
            one.delivered += 1
            one.last_success_at = _later(one.last_success_at, row.attempted_at)
            if row.latency is not None:
                one.latencies.append(row.latency)
        else:
            one.failed += row.state == DeliveryState.FAILED.value
            # A delivery that is still owed may have failed as well; without a latency there was no attempt.
            if row.latency is not None or row.state == DeliveryState.FAILED.value:
                one.last_failure_at = _later(one.last_failure_at, row.attempted_at)
    return found


def _later(one: datetime.datetime | None, other: datetime.datetime | None) -> datetime.datetime | None:
    return max(filter(None, (one, other)), default=None)


def _range_of(wanted: Selection) -> Selection:
    """Return the part of a filter that bounds a range of the index."""
    return Selection(project_id=wanted.project_id, since=wanted.since, until=wanted.until)


def _without_range(wanted: Selection) -> Selection:
    """Return the part of a filter that is about single rows."""
    return dataclasses.replace(wanted, project_id="", since=None, until=None)


def _order(wanted: Selection) -> list[sa.Column[Any]]:
    # Only the index of a project has the time; over all projects the rows are in the order of their numbers.
    return [delivery.c.created_at, delivery.c.seq] if wanted.project_id else [delivery.c.seq]


def _in_order(query: sa.Select[Any], wanted: Selection, after: Position | None) -> sa.Select[Any]:
    """Order a query, the newest first, and begin it after a position."""
    query = query.order_by(*(column.desc() for column in _order(wanted)))
    if after is None:
        return query
    moment, seq = after
    if not wanted.project_id:
        return query.where(delivery.c.seq < seq)
    # The first condition alone bounds the range of the index: not every optimizer understands the second.
    earlier = sa.or_(delivery.c.created_at < moment, delivery.c.seq < seq)
    return query.where(delivery.c.created_at <= moment, earlier)


def _shown(
    looked: sa.Select[Any], wanted: Selection, rest: Selection, after: Position | None, limit: int
) -> sa.Select[Any]:
    """Return the query of the first wanted deliveries among those that *looked* selects.

    :param rest: the part of the filter that *looked* does not contain; so is *after*.
    """
    inner = looked.subquery()
    # Only the chosen rows are read whole: sorting many wide rows is most of the time of a page.
    chosen = sa.select(delivery.c.seq).select_from(delivery.join(inner, inner.c.seq == delivery.c.seq))
    chosen = _in_order(chosen.where(*conditions(rest)), wanted, after).limit(limit)
    few = chosen.subquery()
    joined = _with_transition(delivery.join(few, few.c.seq == delivery.c.seq))
    return _in_order(sa.select(*SHOWN).select_from(joined), wanted, None)


def _with_transition(source: Any) -> Any:
    return source.outerjoin(transition, transition.c.transition_id == delivery.c.transition_id)


def _position(row: Any) -> Position:
    return row.created_at, row.seq
