"""The outbox: deliveries committed with their transition, leased to one process at a time, in order.

A delivery is *unfinished* while it is pending or leased. The *head* of an order key is its oldest
unfinished delivery, and only a head is ever leased: so the deliveries of one alarm to one action are sent in
the order of their commits, whichever process sends them. A lease belongs to a worker row, in which it is
renewed by incrementing a number. A process that sees no increment for the length of a lease
(:class:`RenewalWatch`) removes the row and takes over the deliveries; so a worker that finds its row when it
renews knows that its deliveries were not taken. No step of a clock ends or prolongs a lease: the times in
the row are for health checks only.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryResult, DeliveryState, JSONDict
from eventalarm.storage import claims
from eventalarm.storage import deliveries as deliveries_module
from eventalarm.storage.attempts import KEPT
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import held_by, put_back, read, to_row, unfinished_keys
from eventalarm.storage.leases import WorkerLease, remove_workers
from eventalarm.storage.tables import delivery, worker
from eventalarm.storage.turns import Candidate, pick

NO_BOUND: Final = sys.maxsize
A_YEAR: Final = datetime.timedelta(days=365)
NO_PARAMETERS: Final[Mapping[str, Any]] = MappingProxyType({})
# Built once: it is sent with every batch.
ADD: Final = sa.insert(delivery).inline()


class Outbox:
    """The deliveries and the processes that hold them, in one database.

    Every method is one transaction (``enqueue`` takes part in its caller's) of a constant number of
    statements, and raises :class:`eventalarm.exceptions.Retryable` when the database failed. Safe to share
    between threads.
    """

    def __init__(self, database: Database, attempts_kept: int = KEPT) -> None:
        self._database = database
        self._attempts_kept = attempts_kept
        # The project after which the next look begins.
        self._after: str | None = None

    def register(self, worker_id: str, host: str, lease: float) -> None:
        """Register *worker_id* with a lease of *lease* seconds; an id is never used twice."""
        row = {
            "worker_id": worker_id,
            "host": clean(host)[:255],
            "renewals": 0,
            **self._for_others(lease),
        }
        with self._database.begin() as connection:
            connection.execute(sa.insert(worker), row)

    def renew(self, worker_id: str, lease: float, last_event_at: datetime.datetime | None = None) -> bool:
        """Renew the lease of *worker_id* for *lease* seconds; return False if another process took over.

        After False other processes may hold its deliveries: send none of them, register under a new id.
        *last_event_at* is when the process last consumed an event, for health checks.
        """
        values = {"renewals": worker.c.renewals + 1, **self._for_others(lease)}
        if last_event_at is not None:
            values["last_event_at"] = last_event_at
        renewal = sa.update(worker).where(worker.c.worker_id == worker_id).values(values)
        with self._database.begin() as connection:
            return connection.execute(renewal).rowcount == 1

    def _for_others(self, lease: float) -> JSONDict:
        """Return the columns that others read: the lease, and by the database's clock its end."""
        expires_at = self._database.now() + datetime.timedelta(seconds=lease)
        return {"lease": lease, "expires_at": expires_at, "clock_offset": self._database.clock.host_offset()}

    def leases(self) -> dict[str, WorkerLease]:
        """Return the lease of each worker, for a :class:`RenewalWatch`, in the database's order of names."""
        query = sa.select(worker.c.worker_id, worker.c.renewals, worker.c.lease)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(worker.c.worker_id))
            return {row.worker_id: WorkerLease(row.renewals, row.lease) for row in found}

    def release(self, worker_id: str) -> None:
        """Unregister *worker_id*: the deliveries that it still holds are due at once, for any process."""
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

        Heads are leased to *owner* and returned, in order: they may be sent once the transaction is
        committed. The others wait for their turn; without an owner all deliveries do. The caller holds the
        row locks of the alarms, so that no other process adds to the same order keys meanwhile.
        *unfinished* are the order keys that have unfinished deliveries, read under those locks; None: they
        are read here.
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
        ended: Mapping[str, int] = NO_PARAMETERS,
        registered: Sequence[str] = (),
        overlooked: bool = False,
        longest_wait: datetime.timedelta = A_YEAR,
        avoid: Collection[claims.Place] = (),
        avoid_projects: Collection[str] = (),
        max_bytes: int = NO_BOUND,
    ) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* heads that are due, of each project in turn, its oldest first.

        Together they take about *max_bytes* at most, but one is leased in any case. With *orphans* also
        those that processes held which have ended; *ended* are the workers whose lease has ended, with their
        last number of renewals, and *registered* those that have not, as :meth:`leases` has ordered them.
        Those of workers that are neither are always found. With *overlooked* also those whose predecessor
        finished without a claim of its successors, and those due later than *longest_wait* from now, by a
        clock that was set back since; this reads every delivery that waits. Nothing that *avoid* and
        *avoid_projects* name is leased. A worker without a row gets nothing.
        """
        if limit < 1:
            return []
        now = self._database.now()
        latest = now + longest_wait if overlooked else None
        if orphans:
            self._end(ended)
        how: JSONDict = {"orphans": orphans, "registered": registered, "latest": latest}
        how |= {"avoid": avoid, "avoid_projects": avoid_projects}
        # Usually there are none, and then nothing is locked: reading a long backlog blocks no process.
        with self._database.read() as connection:
            found, self._after = claims.read(connection, now, limit, after=self._after, **how)
        picked = pick(found, limit, max_bytes)
        still = claims.still_claimable(orphans=orphans, overlooked=overlooked)
        asked = {"now": now} if latest is None else {"now": now, "latest": latest}
        return self._lease(worker_id, still, picked, asked)

    def claim_next(
        self, worker_id: str, order_keys: Collection[str], max_bytes: int = NO_BOUND
    ) -> list[Delivery]:
        """Lease to *worker_id* the due heads of *order_keys*: the successors of what was just finished.

        Beyond *max_bytes* they are only made due, for a process that has room.
        """
        if not order_keys:
            return []
        asked = {"now": self._database.about_now(), "keys": sorted(order_keys)}
        with self._database.read() as connection:
            rows = connection.execute(claims.next_heads(), asked)
            found = [Candidate(*row) for row in rows]
        picked = pick(found, len(order_keys), max_bytes)
        claimed = self._lease(worker_id, claims.still_next(), picked, asked)
        left = {one.seq for one in found}.difference(picked)
        if left:
            with self._database.begin() as connection:
                due = sa.update(delivery).where(delivery.c.seq.in_(sorted(left)), claims.is_waiting())
                connection.execute(due.values(next_attempt_at=AT_ONCE))
        return claimed

    def claim_behind(self, worker_id: str, order_keys: Collection[str], limit: int) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* deliveries behind those that it holds of *order_keys*.

        In order, each key without a gap, also those that ended processes held. For senders that send them
        in one batch with those that they hold: no other process can take what is not the head of its key.
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
        """Mark suspect deliveries of *worker_id* before they are sent; return False if it lost one of them.

        If the process ends while they are marked, that counts as an attempt.
        """
        ours = sa.and_(held_by([worker_id]), delivery.c.delivery_id.in_(sorted(delivery_ids)))
        with self._database.begin() as connection:
            marked = connection.execute(sa.update(delivery).where(ours).values(started=sa.true()))
            return marked.rowcount == len(delivery_ids)

    def hand_back(self, worker_id: str, delivery_ids: Collection[str], delay: float = 0.0) -> None:
        """Release unsent deliveries of *worker_id*; they are due for any process in *delay* seconds."""
        due = self._database.now() + datetime.timedelta(seconds=delay) if delay else AT_ONCE
        with self._database.pipeline() as connection:
            connection.execute(
                put_back(worker_id, due).where(delivery.c.delivery_id.in_(sorted(delivery_ids)))
            )

    def leased_to(self, worker_id: str) -> set[str]:
        """Return the ids of the unfinished deliveries that *worker_id* holds."""
        query = sa.select(delivery.c.delivery_id).where(held_by([worker_id]))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def record(
        self, worker_id: str, results: Sequence[DeliveryResult], now_known_as: str | None = None
    ) -> None:
        """Record the results of delivery attempts; rows that *worker_id* lost meanwhile are not changed.

        Except those that it leased again: *now_known_as* is the id of the same process since its lease
        ended. A retry goes back to the outbox: any process may make it when it is due.
        """
        ids = [worker_id] if now_known_as in {None, worker_id} else [worker_id, now_known_as]
        now = self._database.about_now()
        with self._database.pipeline() as connection:
            deliveries_module.write(connection, ids, results, now, self._attempts_kept)

    def _lease(
        self, worker_id: str, heads: sa.Select[Any], picked: Sequence[int], asked: Mapping[str, Any]
    ) -> list[Delivery]:
        """Lease those of *picked* that are still among *heads*, a query with the parameters *asked*."""
        if not picked:
            return []
        still = heads.where(delivery.c.seq.in_(picked))
        if self._database.dialect != "sqlite":
            still = still.with_for_update(skip_locked=True)
        return self._sign(worker_id, still, asked)

    def _sign(
        self, worker_id: str, wanted: sa.Select[Any], asked: Mapping[str, Any] = NO_PARAMETERS
    ) -> list[Delivery]:
        """Lease the deliveries with the numbers that *wanted* selects; a worker without a row gets none."""
        known = sa.select(worker.c.worker_id).where(worker.c.worker_id == worker_id)
        with self._database.pipeline() as connection:
            # Both are asked in one trip: the lease of this process is known to be valid, except in a race.
            registered, found = connection.execute(known), connection.execute(wanted, asked)
            seqs = list(found.scalars())
            if registered.first() is None or not seqs:
                return []
            connection.execute(claims.leasing(), {"seqs": seqs, "new_owner": worker_id})
            return read(connection, delivery.c.seq.in_(seqs))

    def _end(self, workers: Mapping[str, int]) -> None:
        """Remove workers unless they have renewed their lease since."""
        if workers:
            with self._database.begin() as connection:
                remove_workers(connection, workers)
