"""The outbox: deliveries committed with their transition, leased to one process at a time, in order.

A delivery is *unfinished* while it is pending or leased. The *head* of an order key is its oldest
unfinished delivery, and only a head is ever leased: so the deliveries of one alarm to one action leave in
the order of their commits, whichever process sends them. A lease belongs to a worker row, in which it is
renewed by counting. A process that saw a row stand still for a lease (:class:`RenewalWatch`) removes it and
takes over; so a worker whose row is still there when it renews knows that nobody took anything from it. What
the row says of the database's clock is for people only: no step of a clock ends or prolongs a lease.
"""

from __future__ import annotations

import datetime
import functools
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryResult, DeliveryState, JSONDict
from eventalarm.storage import claims
from eventalarm.storage import deliveries as deliveries_module
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import held_by, put_back, read, to_row, unfinished_keys
from eventalarm.storage.tables import delivery, worker

NO_BOUND: Final = sys.maxsize
A_YEAR: Final = datetime.timedelta(days=365)
NOTHING_ASKED: Final[Mapping[str, Any]] = MappingProxyType({})
# Built once: it is sent with every batch.
ADD: Final = sa.insert(delivery)


class Outbox:
    """The deliveries and the processes that hold them, in one database.

    Every method is one transaction (``enqueue`` takes part in its caller's) of a constant number of
    statements, and raises :class:`eventalarm.exceptions.Retryable` when the database failed. Safe to share
    between threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # The project behind which the next look begins.
        self._after: str | None = None

    def register(self, worker_id: str, host: str, lease: float) -> None:
        """Make *worker_id* known, alive for *lease* seconds from now; an id is never used twice."""
        row = {"worker_id": worker_id, "host": clean(host)[:255], "renewals": 0, **self._reported(lease)}
        with self._database.begin() as connection:
            connection.execute(sa.insert(worker), row)

    def renew(self, worker_id: str, lease: float, last_event_at: datetime.datetime | None = None) -> bool:
        """Keep *worker_id* alive for *lease* seconds from now; False when others took over.

        After False its deliveries may be in other hands: send no more of them, register under a new id.
        *last_event_at* is when the process last took an event, for people who ask.
        """
        values: JSONDict = {"renewals": worker.c.renewals + 1, **self._reported(lease)}
        if last_event_at is not None:
            values["last_event_at"] = last_event_at
        renewal = sa.update(worker).where(worker.c.worker_id == worker_id).values(values)
        with self._database.begin() as connection:
            return connection.execute(renewal).rowcount == 1

    def _reported(self, lease: float) -> JSONDict:
        """Return what a worker's row says to people, by the database's clock."""
        expires_at = self._database.now() + datetime.timedelta(seconds=lease)
        return {"expires_at": expires_at, "clock_offset": self._database.clock.host_offset()}

    def renewals(self) -> dict[str, int]:
        """Return how often each worker has renewed its lease, for a :class:`RenewalWatch`."""
        with self._database.read() as connection:
            found = connection.execute(sa.select(worker.c.worker_id, worker.c.renewals))
            return {row.worker_id: row.renewals for row in found}

    def release(self, worker_id: str) -> None:
        """End *worker_id* cleanly: what it still holds is due at once, for anybody."""
        with self._database.begin() as connection:
            connection.execute(put_back(worker_id, AT_ONCE))
            connection.execute(sa.delete(worker).where(worker.c.worker_id == worker_id))

    def enqueue(
        self,
        connection: sa.Connection,
        deliveries: Sequence[Delivery],
        transition_ids: Sequence[str],
        owner: str | None,
        unfinished: Collection[str] | None = None,
    ) -> list[Delivery]:
        """Insert *deliveries*, each for the transition at the same place, in the caller's transaction.

        Heads are leased to *owner* and returned, in order: once the transaction is committed they may be
        sent. The others wait their turn; without an owner all do. The caller holds the row locks of the
        alarms concerned, so that nobody else adds to the same order keys meanwhile. *unfinished* are the
        order keys that have unfinished deliveries, read under those locks; without it we look.
        """
        if unfinished is None:
            unfinished = self.unfinished(connection, {item.order_key for item in deliveries})
        taken = set(unfinished)
        rows: list[JSONDict] = []
        leased: list[Delivery] = []
        for item, transition_id in zip(deliveries, transition_ids, strict=True):
            head = item.order_key not in taken
            taken.add(item.order_key)
            rows.append(to_row(item, transition_id, owner if head else None, AT_ONCE if head else IN_TURN))
            if head and owner is not None:
                leased.append(item)
        if rows:
            connection.execute(ADD, rows)
        return leased

    def unfinished(self, connection: sa.Connection, keys: Iterable[str]) -> set[str]:
        """Return which of the order keys *keys* have unfinished deliveries, in the caller's transaction."""
        return unfinished_keys(connection, keys)

    def claim(
        self,
        worker_id: str,
        limit: int,
        *,
        orphans: bool = True,
        ended: Mapping[str, int] = NOTHING_ASKED,
        overlooked: bool = False,
        longest_wait: datetime.timedelta = A_YEAR,
        avoid: Collection[claims.Place] = (),
        avoid_projects: Collection[str] = (),
        max_bytes: int = NO_BOUND,
    ) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* heads that are due, of each project in turn, its oldest first.

        They are about *max_bytes* together at most, but one in any case. With *orphans* also those that dead
        processes held; *ended* are the workers that died meanwhile, with the number of renewals at which they
        stood still. With *overlooked* also those whose predecessor ended without anybody asking for its
        successors, and those due later than *longest_wait* from now, by a clock that was set back since; this
        costs a look at everything that waits. What *avoid* and *avoid_projects* name is left alone. A worker
        without a row gets nothing.
        """
        if limit < 1:
            return []
        now = self._database.now()
        latest = now + longest_wait if overlooked else None
        if orphans:
            self._end(ended)
        which: JSONDict = {"orphans": orphans, "latest": latest}
        which |= {"avoid": avoid, "avoid_projects": avoid_projects}
        # Mostly there are none, and then nothing is locked: a look over a long backlog disturbs nobody.
        with self._database.read() as connection:
            found, self._after = claims.read(connection, now, limit, after=self._after, **which)
        allowed = [claims.is_due()]
        allowed += [claims.is_orphaned()] if orphans else []
        allowed += [claims.is_overlooked()] if overlooked else []
        picked = claims.pick(found, limit, max_bytes)
        still = sa.select(delivery.c.seq).where(sa.or_(*allowed), claims.is_head())
        asked = {"now": now} if latest is None else {"now": now, "latest": latest}
        return self._lease(worker_id, still, picked, asked)

    def claim_next(
        self, worker_id: str, order_keys: Collection[str], max_bytes: int = NO_BOUND
    ) -> list[Delivery]:
        """Lease to *worker_id* the due heads of *order_keys*: the successors of what was just finished.

        Beyond *max_bytes* they are only made due, for whoever has room.
        """
        if not order_keys:
            return []
        asked = {"now": self._database.about_now(), "keys": sorted(order_keys)}
        with self._database.read() as connection:
            rows = connection.execute(_next_heads(), asked)
            found = [claims.Candidate(*row) for row in rows]
        picked = claims.pick(found, len(order_keys), max_bytes)
        claimed = self._lease(worker_id, _still_next(), picked, asked)
        left = {one.seq for one in found}.difference(picked)
        if left:
            with self._database.begin() as connection:
                due = sa.update(delivery).where(delivery.c.seq.in_(sorted(left)), claims.is_waiting())
                connection.execute(due.values(next_attempt_at=AT_ONCE))
        return claimed

    def claim_behind(self, worker_id: str, order_keys: Collection[str], limit: int) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* of what waits behind what it holds of *order_keys*.

        In order, each key without a gap, also what dead processes held. For those who send them with those
        that they hold, in one: nobody else can take what is not the head of its key.
        """
        if not order_keys or limit < 1:
            return []
        held = delivery.alias("held")
        holds = claims.with_same_key(
            held,
            held.c.owner == worker_id,
            held.c.state == DeliveryState.LEASED.value,
            held.c.seq < delivery.c.seq,
        )
        wanted = sa.and_(
            delivery.c.order_key.in_(sorted(order_keys)),
            sa.or_(delivery.c.state == DeliveryState.PENDING.value, claims.is_orphaned()),
        )
        behind = sa.select(delivery.c.seq).where(wanted, holds).order_by(delivery.c.seq).limit(limit)
        return self._sign(worker_id, behind)

    def begin(self, worker_id: str, delivery_ids: Collection[str]) -> bool:
        """Mark suspect deliveries of *worker_id* before they are sent; False when it lost one of them.

        A process that ends while they are marked costs them an attempt.
        """
        ours = sa.and_(held_by([worker_id]), delivery.c.delivery_id.in_(sorted(delivery_ids)))
        with self._database.begin() as connection:
            marked = connection.execute(sa.update(delivery).where(ours).values(started=sa.true()))
            return marked.rowcount == len(delivery_ids)

    def hand_back(self, worker_id: str, delivery_ids: Collection[str], delay: float = 0.0) -> None:
        """Return unsent deliveries of *worker_id*; anybody may take them after *delay* seconds."""
        due = self._database.now() + datetime.timedelta(seconds=delay) if delay else AT_ONCE
        with self._database.begin() as connection:
            statement = put_back(worker_id, due).where(delivery.c.delivery_id.in_(sorted(delivery_ids)))
            connection.execute(statement)

    def leased_to(self, worker_id: str) -> set[str]:
        """Return the ids of the unfinished deliveries that *worker_id* holds."""
        query = sa.select(delivery.c.delivery_id).where(held_by([worker_id]))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def record(
        self, worker_id: str, results: Sequence[DeliveryResult], now_known_as: str | None = None
    ) -> None:
        """Write down what came of attempts; rows that *worker_id* lost meanwhile stay as they are.

        Not those that it took back: *now_known_as* is what the same process is called since its lease ended.
        A retry goes back to the outbox: any process may make it when it is due.
        """
        ids = [worker_id] if now_known_as in {None, worker_id} else [worker_id, now_known_as]
        now = self._database.about_now()
        with self._database.begin() as connection:
            deliveries_module.write(connection, ids, results, now)

    def _lease(
        self, worker_id: str, heads: sa.Select[Any], picked: Sequence[int], asked: Mapping[str, Any]
    ) -> list[Delivery]:
        """Lease what is *picked*, as far as it is still among *heads*, whose parameters are *asked*."""
        if not picked:
            return []
        still = heads.where(delivery.c.seq.in_(picked))
        if self._database.dialect != "sqlite":
            still = still.with_for_update(skip_locked=True)
        return self._sign(worker_id, still, asked)

    def _sign(
        self, worker_id: str, wanted: sa.Select[Any], asked: Mapping[str, Any] = NOTHING_ASKED
    ) -> list[Delivery]:
        """Lease the deliveries with the numbers that *wanted* selects; a worker without a row gets none."""
        known = sa.select(worker.c.worker_id).where(worker.c.worker_id == worker_id)
        with self._database.begin() as connection:
            if connection.execute(known).first() is None:
                return []
            seqs = list(connection.execute(wanted, asked).scalars())
            if not seqs:
                return []
            connection.execute(claims.leasing(), {"seqs": seqs, "new_owner": worker_id})
            return read(connection, delivery.c.seq.in_(seqs))

    def _end(self, workers: Mapping[str, int]) -> None:
        """Remove workers unless they have renewed since."""
        if workers:
            same = (
                sa.and_(worker.c.worker_id == name, worker.c.renewals == number)
                for name, number in sorted(workers.items())
            )
            with self._database.begin() as connection:
                connection.execute(sa.delete(worker).where(sa.or_(*same)))


def _is_next() -> sa.ColumnElement[bool]:
    due = sa.or_(claims.is_due(), claims.is_waiting())
    return sa.and_(due, delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)))


@functools.cache
def _next_heads() -> sa.Select[Any]:
    """Return what finds the heads of the order keys *keys* that wait, or are due at *now*.

    Built once, for it is sent with every batch of results.
    """
    return (
        sa.select(*claims.COLUMNS)
        .where(_is_next(), claims.is_head())
        .order_by(delivery.c.next_attempt_at, delivery.c.seq)
    )


@functools.cache
def _still_next() -> sa.Select[Any]:
    return sa.select(delivery.c.seq).where(_is_next(), claims.is_head())
