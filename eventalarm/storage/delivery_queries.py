"""Deliveries for operators: searched with filters, failed ones retried, finished ones removed.

Safe while listeners run. Work on many deliveries is done in transactions of bounded size, each of which is
retried if the database failed or a listener held a lock.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
import tenacity

from eventalarm.exceptions import Retryable
from eventalarm.model import FINISHED, DeliveryState
from eventalarm.storage import attempts
from eventalarm.storage.claims import AT_ONCE, IN_TURN, is_unfinished
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_selection import SHOWN, Selection, StoredDelivery, conditions, to_stored
from eventalarm.storage.tables import alarm, delivery, transition, worker

CHUNK: Final = 500
TRIES: Final = 8

Progress = Callable[[int], None]


class DeliveryQueries:
    """Queries and changes of the deliveries of one database.

    Every method raises :class:`eventalarm.exceptions.Retryable` if the database failed repeatedly.

    :param sleep: waits the given number of seconds before a transaction is retried.
    :param attempts_kept: the most attempts of a delivery that are kept when it is retried.
    """

    def __init__(
        self,
        database: Database,
        sleep: Callable[[float], None] = time.sleep,
        attempts_kept: int = attempts.KEPT,
    ) -> None:
        self._database = database
        self._attempts_kept = attempts_kept
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Retryable),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5.0),
            stop=tenacity.stop_after_attempt(TRIES),
            sleep=sleep,
            reraise=True,
        )

    def now(self) -> datetime.datetime:
        """Return the database's clock."""
        return self._database.now()

    def find(self, selection: Selection, limit: int) -> list[StoredDelivery]:
        """Return up to *limit* deliveries, the newest first."""
        found: list[StoredDelivery] = []
        for page in self._pages(selection, newest_first=True):
            found.extend(to_stored(row) for row in page)
            if len(found) >= limit:
                break
        return found[:limit]

    def count(self, selection: Selection) -> int:
        """Return how many deliveries match."""
        if selection.goes_to is not None:
            return sum(len(page) for page in self._pages(selection))
        query = sa.select(sa.func.count()).select_from(delivery).where(*conditions(selection))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def living_workers(self) -> int:
        """Return how many listener processes have a valid lease, by the database's clock."""
        live = worker.c.expires_at > self._database.now()
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(live)).scalar_one())

    def retry(self, selection: Selection, progress: Progress = lambda _done: None) -> int:
        """Make the failed deliveries that match due again; return how many.

        They keep their id and their place in the order: each is sent before later deliveries of the same
        alarm and action that are not being sent yet. *progress* is called with the number done after each
        transaction.
        """
        return self._each_chunk(selection, (DeliveryState.FAILED.value,), self._retry_chunk, progress)

    def purge(self, selection: Selection, progress: Progress = lambda _done: None) -> int:
        """Delete the finished deliveries that match; return how many."""
        return self._each_chunk(selection, FINISHED, self._purge_chunk, progress)

    def _each_chunk(
        self,
        selection: Selection,
        states: tuple[str, ...],
        work: Callable[[Sequence[sa.Row[Any]]], int],
        progress: Progress,
    ) -> int:
        wanted = tuple(state for state in selection.states or states if state in states)
        if not wanted:
            return 0
        done = 0
        for page in self._pages(dataclasses.replace(selection, states=wanted)):
            if page:
                done += self._retrying(work, page)
                progress(done)
        return done

    def _pages(self, selection: Selection, newest_first: bool = False) -> Iterator[list[sa.Row[Any]]]:
        reached: int | None = None
        while True:
            page = self._retrying(self._page, selection, reached, newest_first)
            if not page:
                return
            goes_to = selection.goes_to
            yield [row for row in page if goes_to is None or goes_to(row.action)]
            reached = page[-1].seq
            if len(page) < CHUNK:
                return

    def _page(self, selection: Selection, reached: int | None, newest_first: bool) -> list[sa.Row[Any]]:
        seq = delivery.c.seq
        query = (
            sa.select(*SHOWN)
            .select_from(delivery)
            .outerjoin(transition, transition.c.transition_id == delivery.c.transition_id)
            .where(*conditions(selection))
            .order_by(seq.desc() if newest_first else seq)
            .limit(CHUNK)
        )
        if reached is not None:
            query = query.where(seq < reached if newest_first else seq > reached)
        with self._database.read() as connection:
            return list(connection.execute(query))

    def _retry_chunk(self, chosen: Sequence[sa.Row[Any]]) -> int:
        now = self._database.now()
        keys = sa.select(delivery.c.order_key).where(delivery.c.seq.in_([row.seq for row in chosen]))
        columns = sa.select(delivery.c.seq, delivery.c.order_key, delivery.c.state, delivery.c.delivery_id)
        with self._database.begin() as connection:
            order_keys = set(connection.execute(keys).scalars())
            lock_alarms(connection, {row.alarm_id for row in chosen})
            others = columns.where(delivery.c.order_key.in_(order_keys), is_unfinished())
            unfinished = connection.execute(others.order_by(delivery.c.seq).with_for_update()).all()
            still = columns.where(
                delivery.c.seq.in_([row.seq for row in chosen]),
                delivery.c.state == DeliveryState.FAILED.value,
            )
            failed = connection.execute(still.order_by(delivery.c.seq).with_for_update()).all()
            attempts.copy_last(connection, [row.delivery_id for row in failed], self._attempts_kept)
            heads = heads_of(failed, unfinished)
            for due, some in ((AT_ONCE, heads), (IN_TURN, {row.seq for row in failed} - heads)):
                if some:
                    connection.execute(_to_pending(some, due, now))
        return len(failed)

    def _purge_chunk(self, chosen: Sequence[sa.Row[Any]]) -> int:
        statement = sa.delete(delivery).where(
            delivery.c.seq.in_([row.seq for row in chosen]), delivery.c.state.in_(FINISHED)
        )
        with self._database.begin() as connection:
            removed = connection.execute(statement).rowcount
            attempts.remove(connection, [row.delivery_id for row in chosen])
            return removed


def lock_alarms(connection: sa.Connection, alarm_ids: Collection[str]) -> None:
    """Lock alarms as the evaluator does before it adds to their order keys: none is added meanwhile."""
    lock = sa.select(alarm.c.alarm_id).where(alarm.c.alarm_id.in_(alarm_ids)).order_by(alarm.c.alarm_id)
    connection.execute(lock.with_for_update(key_share=True)).all()


def heads_of(retried: Iterable[Any], unfinished: Iterable[Any]) -> set[int]:
    """Return the ``seq`` of those *retried* that are due at once; the others wait for their turn.

    That is the oldest of each order key, unless one of the same key is being sent: it would be overtaken.
    """
    oldest: dict[str, int] = {}
    blocked: set[str] = set()
    for row in unfinished:
        oldest[row.order_key] = min(oldest.get(row.order_key, row.seq), row.seq)
        if row.state == DeliveryState.LEASED.value:
            blocked.add(row.order_key)
    candidates = list(retried)
    for row in candidates:
        oldest[row.order_key] = min(oldest.get(row.order_key, row.seq), row.seq)
    return {
        row.seq for row in candidates if row.order_key not in blocked and oldest[row.order_key] == row.seq
    }


def _to_pending(seqs: Iterable[int], due: datetime.datetime, now: datetime.datetime) -> sa.Update:
    # In this order: MySQL evaluates assignments from left to right.
    return (
        sa.update(delivery)
        .where(delivery.c.seq.in_(sorted(seqs)))
        .ordered_values(
            (delivery.c.earlier_attempts, delivery.c.earlier_attempts + delivery.c.attempts),
            (delivery.c.attempts, 0),
            (delivery.c.latency, None),
            (delivery.c.losses, 0),
            (delivery.c.started, None),
            (delivery.c.state, DeliveryState.PENDING.value),
            (delivery.c.owner, None),
            (delivery.c.next_attempt_at, due),
            (delivery.c.finished_at, None),
            (delivery.c.retried_at, now),
        )
    )
