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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryResult, DeliveryState, JSONDict, OperationalType
from eventalarm.storage import claims, successors
from eventalarm.storage import deliveries as deliveries_module
from eventalarm.storage.attempts import KEPT
from eventalarm.storage.candidates import Looks, Wanted
from eventalarm.storage.circuits import CircuitStore
from eventalarm.storage.claimed_deliveries import AskedDeliveries
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import held_by, put_back, to_row, unfinished_keys
from eventalarm.storage.leases import SeenLeases
from eventalarm.storage.one_trip import read_in_one_trip, write_in_one_trip
from eventalarm.storage.tables import delivery, worker
from eventalarm.storage.turns import pick

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

    :param attempts_kept: the most attempts before its last one that are kept of a delivery.
    :param reported: the subjects of operational events, such as ``delivery``, that are written with changes.
    :param find_superseded: whether a claim notes which deliveries need not be sent.
    """

    def __init__(
        self,
        database: Database,
        attempts_kept: int = KEPT,
        reported: Collection[str] = (),
        *,
        find_superseded: bool = False,
    ) -> None:
        self._database = database
        self._attempts_kept = attempts_kept
        self._reports_dead = OperationalType.DELIVERY_DEAD.subject in reported
        self._find_superseded = find_superseded
        self._looks = Looks(database, reports_lost=OperationalType.LISTENER_LOST.subject in reported)
        self.circuits = CircuitStore(database, reported)

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
        if any(item.profile is not None for item in deliveries):
            # All rows of a statement have the same columns; usually none is profiled.
            for item, row in zip(deliveries, rows, strict=True):
                row["profile"] = None if item.profile is None else item.profile.text()
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
        overlooked: bool = False,
        longest_wait: datetime.timedelta = A_YEAR,
        avoid: Collection[claims.Place] = (),
        avoid_projects: Collection[str] = (),
        max_bytes: int = NO_BOUND,
        seen: Callable[[SeenLeases], None] | None = None,
    ) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* heads that are due, of each project in turn, its oldest first.

        Together they take about *max_bytes* at most, but one is leased in any case. With *orphans* also
        those that processes held which have ended; *ended* are the workers whose lease has ended, with their
        last number of renewals. With *overlooked* also those whose predecessor finished without a claim of
        its successors, and those due later than *longest_wait* from now, by a clock that was set back since;
        this reads every delivery that waits. Nothing that *avoid* and *avoid_projects* name is leased. A
        worker without a row gets nothing. *seen* is called with the leases of all workers.

        Two trips to the database: to look, and to lease; one if there is nothing.
        """
        if limit < 1:
            return []
        latest = self._database.about_now() + longest_wait if overlooked else None
        # Usually there are none, and then nothing is locked: reading a long backlog blocks no process.
        wanted = Wanted(limit, orphans, latest, avoid, avoid_projects)
        found, leases = self._looks.look(wanted, ended if orphans else {})
        if seen is not None:
            seen(leases)
        picked = pick(found, limit, max_bytes)
        still = claims.still_claimable(orphans=orphans, overlooked=overlooked)
        asked = {"latest": latest} if overlooked else {}
        return self._lease(worker_id, claims.leasing(still), picked, asked)

    def claim_next(
        self, worker_id: str, order_keys: Collection[str], max_bytes: int = NO_BOUND
    ) -> list[Delivery]:
        """Lease to *worker_id* the due heads of *order_keys*: the successors of what was just finished.

        Beyond *max_bytes* they are only made due, for a process that has room.
        """
        if not order_keys:
            return []
        asked = {"keys": sorted(order_keys)}
        found = claims.candidates(self._find(successors.next_heads(self._database.dialect), asked))
        picked = pick(found, len(order_keys), max_bytes)
        left = {one.seq for one in found}.difference(picked)
        return self._lease(worker_id, claims.leasing(successors.still_next()), picked, {}, left)

    def claim_behind(self, worker_id: str, order_keys: Collection[str], limit: int) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* deliveries behind those that it holds of *order_keys*.

        In order, each key without a gap, also those that ended processes held. For senders that send them
        in one batch with those that they hold: no other process can take what is not the head of its key.
        """
        if not order_keys or limit < 1:
            return []
        asked: JSONDict = {"keys": sorted(order_keys), "holder": worker_id}
        found = self._find(claims.behind().order_by(delivery.c.seq).limit(limit), asked)
        # What is locked is waited for: nothing behind it may be sent before it.
        statements = claims.leasing(claims.behind(), waits=True)
        return self._lease(worker_id, statements, [seq for (seq,) in found], asked)

    def claim_deferred(self, worker_id: str, seq: int) -> list[Delivery]:
        """Lease to *worker_id* the deferred delivery with the number *seq*, if it still waits."""
        return self._lease(worker_id, claims.leasing(claims.still_deferred()), [seq], {})

    def begin(self, worker_id: str, delivery_ids: Collection[str]) -> bool:
        """Mark suspect deliveries of *worker_id* before they are sent; return False if it lost one of them.

        If the process ends while they are marked, that counts as an attempt.
        """
        ours = sa.and_(held_by([worker_id]), delivery.c.delivery_id.in_(sorted(delivery_ids)))
        with self._database.begin() as connection:
            marked = connection.execute(sa.update(delivery).where(ours).values(started=sa.true()))
            return marked.rowcount == len(delivery_ids)

    def hand_back(
        self, worker_id: str, delivery_ids: Collection[str], delay: float = 0.0, *, deferred: bool = False
    ) -> None:
        """Release unsent deliveries of *worker_id*; they are due for any process in *delay* seconds.

        Or *deferred* until the circuit of their destination closes.
        """
        due = self._database.now() + datetime.timedelta(seconds=delay) if delay else AT_ONCE
        state = DeliveryState.DEFERRED if deferred else DeliveryState.PENDING
        with self._database.pipeline() as connection:
            returned = put_back(worker_id, due, state)
            connection.execute(returned.where(delivery.c.delivery_id.in_(sorted(delivery_ids))))

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
            deliveries_module.write(
                connection, ids, results, now, self._attempts_kept, reports_dead=self._reports_dead
            )

    def _find(self, query: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        def ask(connection: sa.Connection) -> Callable[[], Sequence[sa.Row[Any]]]:
            return connection.execute(query, values).all

        return read_in_one_trip(self._database, ask)

    def _lease(
        self,
        worker_id: str,
        statements: claims.LeaseStatements,
        picked: Sequence[int],
        asked: Mapping[str, Any],
        left: Collection[int] = (),
    ) -> list[Delivery]:
        """Lease those of *picked* that *statements* still find with the parameters *asked*.

        Make those of *left* due that wait. A worker without a row gets nothing.
        """
        if not picked and not left:
            return []
        values = {**asked, "seqs": sorted(picked), "number": len(picked), "new_owner": worker_id}

        def ask(connection: sa.Connection) -> Callable[[], list[Delivery]]:
            if left:
                connection.execute(claims.make_due(), {"left": sorted(left)})
            locked: sa.Result[Any] = connection.execute(statements.lock, values)
            if not self._database.has_pipelines:
                # SQLite would read on while the update changes what is read.
                locked = locked.freeze()()
            connection.execute(statements.update, values)
            rows = AskedDeliveries(connection, values["seqs"], superseded=self._find_superseded)
            return lambda: rows.read(worker_id, claims.not_held(locked, worker_id))

        return write_in_one_trip(self._database, ask)
