"""Removal of old records: finished deliveries, transitions, events, cleared occurrences and dead workers.

Safe while listeners run. A removed record is never needed again: a finished delivery is checked again as it
is removed, a transition gets its deliveries only in the transaction that records it, and a cleared occurrence
is never raised again (a new raise is a new occurrence).
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import sqlalchemy as sa
import tenacity

from eventalarm.exceptions import Retryable
from eventalarm.model import FINISHED, CircuitState
from eventalarm.storage.circuit_tables import destination
from eventalarm.storage.database import Database
from eventalarm.storage.event_tables import suspect
from eventalarm.storage.ifa_tables import acknowledgement
from eventalarm.storage.operational_events import PUBLISHED
from eventalarm.storage.operational_tables import operational_event
from eventalarm.storage.pulse_tables import pulse_change
from eventalarm.storage.tables import (
    alarm,
    alarm_count,
    delivery,
    delivery_attempt,
    event,
    occurrence,
    timer,
    transition,
    worker,
)

TRIES: Final = 8

Progress = Callable[[str, int], None]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Rows of one table to remove: those whose ``age`` has passed and that fulfil ``row`` and ``others``.

    ``row`` is a condition on the row itself, checked again as it is removed; ``others`` is one on other
    tables.
    """

    name: str
    key: sa.Column[Any]
    age: sa.Column[Any]
    row: sa.ColumnElement[bool] = dataclasses.field(default_factory=sa.true)
    others: sa.ColumnElement[bool] = dataclasses.field(default_factory=sa.true)


def none(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the condition that no row of other tables fulfils *conditions*."""
    return ~sa.exists().where(*conditions)


_NO_ALARM: Final = none(alarm.c.alarm_id == occurrence.c.alarm_id)
_NO_TRANSITION: Final = none(transition.c.occurrence_id == occurrence.c.occurrence_id)
_NO_DELIVERY: Final = none(delivery.c.transition_id == transition.c.transition_id)
# By the existing index of transitions; another transaction may have stored the same message again.
_NOT_NAMED: Final = none(
    transition.c.message_id == event.c.message_id, transition.c.event_id == event.c.event_id
)
_NOT_RAISED_NOW: Final = none(
    occurrence.c.occurrence_id == transition.c.occurrence_id,
    occurrence.c.raised,
    occurrence.c.latest,
    sa.exists().where(alarm.c.alarm_id == occurrence.c.alarm_id),
)

# In this order: a transition stays while a delivery needs it, an event and an occurrence while they have
# transitions.
SWEEPS: Final = (
    Sweep("deliveries", delivery.c.seq, delivery.c.finished_at, delivery.c.state.in_(FINISHED)),
    Sweep(
        "attempts of removed deliveries",
        delivery_attempt.c.attempt_id,
        delivery_attempt.c.ended_at,
        others=none(delivery.c.delivery_id == delivery_attempt.c.delivery_id),
    ),
    Sweep(
        "transitions",
        transition.c.transition_id,
        transition.c.recorded_at,
        others=sa.and_(_NO_DELIVERY, _NOT_RAISED_NOW),
    ),
    Sweep("events", event.c.event_id, event.c.recorded_at, others=_NOT_NAMED),
    Sweep(
        "occurrences",
        occurrence.c.occurrence_id,
        occurrence.c.cleared_at,
        sa.not_(occurrence.c.raised),
        _NO_TRANSITION,
    ),
    Sweep(
        "occurrences of deleted alarms",
        occurrence.c.occurrence_id,
        occurrence.c.raised_at,
        occurrence.c.raised,
        sa.and_(_NO_ALARM, _NO_TRANSITION),
    ),
    Sweep(
        "acknowledgements of deleted alarms",
        acknowledgement.c.object_id,
        acknowledgement.c.acknowledged_at,
        others=none(alarm.c.alarm_id == acknowledgement.c.alarm_id),
    ),
    Sweep("suspected messages", suspect.c.message_id, suspect.c.tried_at),
    # Of all projects with the destination: its closed rows that are old enough.
    Sweep(
        "closed circuits",
        destination.c.destination,
        destination.c.changed_at,
        destination.c.state == CircuitState.CLOSED.value,
    ),
    Sweep(
        "published operational events",
        operational_event.c.seq,
        operational_event.c.at,
        operational_event.c.state == PUBLISHED,
    ),
    Sweep("changes of health checks", pulse_change.c.seq, pulse_change.c.at),
    Sweep(
        "counts of deleted alarms",
        alarm_count.c.alarm_id,
        alarm_count.c.changed_at,
        others=none(alarm.c.alarm_id == alarm_count.c.alarm_id),
    ),
    Sweep(
        "timers of deleted alarms",
        timer.c.timer_id,
        timer.c.armed_at,
        timer.c.due_at.is_(None),
        none(alarm.c.alarm_id == timer.c.alarm_id),
    ),
)
# Listeners remove each other's rows when a lease is not renewed; these rows are of the last listeners, which
# no other one watched. After a step of the clock the row of a running listener may look expired.
WORKERS: Final = Sweep("workers", worker.c.worker_id, worker.c.expires_at)
WORKERS_KEPT: Final = datetime.timedelta(days=1)


def expire(
    database: Database,
    keep: datetime.timedelta,
    *,
    batch_size: int,
    progress: Progress = lambda _name, _removed: None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Remove records that ended longer than *keep* ago, by the database's clock; return the rows by kind.

    Every batch of *batch_size* rows is a separate transaction, retried if the database failed or a listener
    held a lock; after each, *progress* is called with the kind and its rows so far.

    :raises Retryable: if the database failed repeatedly; what was removed stays removed.
    """
    now = database.now()
    removed = {}
    for sweep in (*SWEEPS, WORKERS):
        before = now - (max(keep, WORKERS_KEPT) if sweep is WORKERS else keep)
        removed[sweep.name] = 0
        for count in batches(database, sweep, before, batch_size, sleep):
            removed[sweep.name] += count
            progress(sweep.name, removed[sweep.name])
    return removed


def retrying(sleep: Callable[[float], None]) -> tenacity.Retrying:
    """Return what repeats a batch that failed because of the database or a lock."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Retryable),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=5.0),
        stop=tenacity.stop_after_attempt(TRIES),
        sleep=sleep,
        reraise=True,
    )


def batches(
    database: Database,
    sweep: Sweep,
    before: datetime.datetime,
    size: int,
    sleep: Callable[[float], None],
) -> Iterator[int]:
    """Remove batch after batch, the oldest first, and yield the size of each."""
    retry = retrying(sleep)
    reached = None
    while True:
        found, count, reached = retry(_remove_batch, database, sweep, before, reached, size)
        if count:
            yield count
        if found < size:
            return


def _remove_batch(
    database: Database,
    sweep: Sweep,
    before: datetime.datetime,
    reached: datetime.datetime | None,
    size: int,
) -> tuple[int, int, datetime.datetime | None]:
    """Return how many rows were found and removed, and the age of the youngest, where the next look begins.

    The look begins there so that rows that must stay are passed once, not once for each batch. The keys are
    read first: MariaDB has no LIMIT inside an IN.
    """
    table = sweep.key.table
    query = sa.select(sweep.key, sweep.age).where(sweep.age < before, sweep.row, sweep.others)
    if reached is not None:
        query = query.where(sweep.age >= reached)
    with database.begin() as connection:
        rows = connection.execute(query.order_by(sweep.age).limit(size)).all()
        if not rows:
            return 0, 0, reached
        keys = [row[0] for row in rows]
        # A row may have changed since it was read: an operator may have retried a failed delivery.
        statement = sa.delete(table).where(sweep.key.in_(keys), sweep.age < before, sweep.row)
        return len(rows), connection.execute(statement).rowcount, rows[-1][1]
