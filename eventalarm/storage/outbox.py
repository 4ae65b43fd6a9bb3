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
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState, JSONDict
from eventalarm.storage import attempts
from eventalarm.storage.attempts import held_by
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_rows import UNFINISHED, read, to_row
from eventalarm.storage.tables import delivery, worker
from eventalarm.storage.text import clean

# When an attempt is due that depends on no clock: now, or when the predecessor is finished.
AT_ONCE: Final = datetime.datetime(1970, 1, 1, tzinfo=UTC)
IN_TURN: Final = datetime.datetime(9999, 1, 1, tzinfo=UTC)
NOTHING_ASKED: Final[Mapping[str, Any]] = MappingProxyType({})
# One statement names this many rows at most: psycopg 3 takes 65,535 values, SQLite 32,766.
CHUNK: Final = 5000

# Built once, for they are sent with every batch.
ADD: Final = sa.insert(delivery)
UNFINISHED_KEYS: Final = (
    sa.select(delivery.c.order_key)
    .where(delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)), delivery.c.state.in_(UNFINISHED))
    .distinct()
)


def order_key(alarm_id: str, action: str) -> str:
    """Return what the deliveries of one alarm to one action share: 64 hexadecimal characters."""
    return hashlib.sha256(f"{alarm_id}\n{action}".encode("utf-8", "surrogatepass")).hexdigest()


class Outbox:
    """The deliveries and the processes that hold them, in one database.

    Every method is one transaction (``enqueue`` takes part in its caller's) of a constant number of
    statements, and raises :class:`eventalarm.exceptions.Retryable` when the database failed. Safe to share
    between threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker_id: str, host: str, lease: float) -> None:
        """Make *worker_id* known, alive for *lease* seconds from now; an id is never used twice."""
        row = {"worker_id": worker_id, "host": clean(host)[:255], "renewals": 0, **self._signs_of_life(lease)}
        with self._database.begin() as connection:
            connection.execute(sa.insert(worker), row)

    def renew(self, worker_id: str, lease: float, last_event_at: datetime.datetime | None = None) -> bool:
        """Keep *worker_id* alive for *lease* seconds from now; False when others took over.

        After False its deliveries may be in other hands: send no more of them, register under a new id.
        *last_event_at* is when the process last took an event, for people who ask.
        """
        values: JSONDict = {"renewals": worker.c.renewals + 1, **self._signs_of_life(lease)}
        if last_event_at is not None:
            values["last_event_at"] = last_event_at
        renewal = sa.update(worker).where(worker.c.worker_id == worker_id).values(values)
        with self._database.begin() as connection:
            return connection.execute(renewal).rowcount == 1

    def _signs_of_life(self, lease: float) -> JSONDict:
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
            connection.execute(_put_back(worker_id, AT_ONCE))
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
        return _unfinished_keys(connection, keys)

    def claim(
        self,
        worker_id: str,
        limit: int,
        *,
        orphans: bool = True,
        ended: Mapping[str, int] = NOTHING_ASKED,
        overlooked: bool = False,
        avoid: Collection[str] = (),
    ) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* heads that are due, oldest first.

        With *orphans* also those that dead processes held; *ended* are the workers that died meanwhile, with
        the number of renewals at which they stood still. With *overlooked* also those whose predecessor
        ended without anybody asking for its successors, which costs a look at everything that waits.
        Actions that begin with a text of *avoid* are left alone. A worker without a row gets nothing.
        """
        now = self._database.now()
        due = sa.or_(_due(now), sa.and_(_waiting(), ~_overtaken())) if overlooked else _due(now)
        for start in avoid:
            due = sa.and_(due, ~delivery.c.action.startswith(start, autoescape=True))
        if orphans:
            self._end(ended)
            due = sa.or_(due, _orphaned())
        return self._lease(worker_id, _heads(due), limit)

    def claim_next(self, worker_id: str, order_keys: Collection[str]) -> list[Delivery]:
        """Lease to *worker_id* the due heads of *order_keys*: the successors of what was just finished."""
        if not order_keys:
            return []
        asked = {"now": self._database.about_now(), "keys": sorted(order_keys)}
        return self._lease(worker_id, _next_heads(), len(order_keys), asked)

    def claim_behind(self, worker_id: str, order_keys: Collection[str], limit: int) -> list[Delivery]:
        """Lease to *worker_id* up to *limit* of what waits behind what it holds of *order_keys*.

        In order, each key without a gap, also what dead processes held. For those who send them with those
        that they hold, in one: nobody else can take what is not the head of its key.
        """
        if not order_keys or limit < 1:
            return []
        held = delivery.alias("held")
        holds = _with_same_key(
            held,
            held.c.owner == worker_id,
            held.c.state == DeliveryState.LEASED.value,
            held.c.seq < delivery.c.seq,
        )
        wanted = sa.and_(
            delivery.c.order_key.in_(sorted(order_keys)),
            sa.or_(delivery.c.state == DeliveryState.PENDING.value, _orphaned()),
        )
        behind = sa.select(delivery.c.seq).where(wanted, holds).order_by(delivery.c.seq).limit(limit)
        return self._sign(worker_id, behind)

    def hand_back(self, worker_id: str, delivery_ids: Collection[str], delay: float = 0.0) -> None:
        """Return unsent deliveries of *worker_id*; anybody may take them after *delay* seconds."""
        due = self._database.now() + datetime.timedelta(seconds=delay) if delay else AT_ONCE
        with self._database.begin() as connection:
            statement = _put_back(worker_id, due).where(delivery.c.delivery_id.in_(sorted(delivery_ids)))
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
            attempts.write(connection, ids, results, now)

    def _lease(
        self, worker_id: str, heads: sa.Select[Any], limit: int, asked: Mapping[str, Any] = NOTHING_ASKED
    ) -> list[Delivery]:
        """Lease up to *limit* of *heads*, whose parameters are *asked*."""
        # Mostly there are none, and then nothing is locked: a look over a long backlog disturbs nobody.
        seen = heads.order_by(delivery.c.next_attempt_at, delivery.c.seq).limit(max(0, limit))
        with self._database.read() as connection:
            found = list(connection.execute(seen, asked).scalars())
        if not found:
            return []
        still = heads.where(delivery.c.seq.in_(found))
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
            ours = delivery.c.seq.in_(list(connection.execute(wanted, asked).scalars()))
            leased = {"state": DeliveryState.LEASED.value, "owner": worker_id}
            connection.execute(sa.update(delivery).where(ours).values(leased))
            return read(connection, ours)

    def _end(self, workers: Mapping[str, int]) -> None:
        """Remove workers unless they have renewed since."""
        if workers:
            same = (
                sa.and_(worker.c.worker_id == name, worker.c.renewals == number)
                for name, number in sorted(workers.items())
            )
            with self._database.begin() as connection:
                connection.execute(sa.delete(worker).where(sa.or_(*same)))


def _heads(due: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(delivery.c.seq).where(due, _is_head())


@functools.cache
def _next_heads() -> sa.Select[Any]:
    """Return what finds the heads of the order keys *keys* that wait, or are due at *now*.

    Built once, for it is sent with every batch of results.
    """
    due = sa.or_(_due(sa.bindparam("now", type_=delivery.c.next_attempt_at.type)), _waiting())
    return _heads(sa.and_(due, delivery.c.order_key.in_(sa.bindparam("keys", expanding=True))))


def _unfinished_keys(connection: sa.Connection, keys: Iterable[str]) -> set[str]:
    wanted = sorted(keys)
    found: set[str] = set()
    for start in range(0, len(wanted), CHUNK):
        some = {"keys": wanted[start : start + CHUNK]}
        found.update(connection.execute(UNFINISHED_KEYS, some).scalars())
    return found


def _due(now: datetime.datetime | sa.BindParameter[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(delivery.c.state == DeliveryState.PENDING.value, delivery.c.next_attempt_at <= now)


def _waiting() -> sa.ColumnElement[bool]:
    return sa.and_(delivery.c.state == DeliveryState.PENDING.value, delivery.c.next_attempt_at == IN_TURN)


def _overtaken() -> sa.ColumnElement[bool]:
    """A later one of the same order key is in living hands: this one was failed, and retried meanwhile."""
    later = delivery.alias("later")
    return _with_same_key(
        later,
        later.c.state == DeliveryState.LEASED.value,
        later.c.seq > delivery.c.seq,
        sa.exists().where(worker.c.worker_id == later.c.owner),
    )


def _orphaned() -> sa.ColumnElement[bool]:
    alive = sa.exists().where(worker.c.worker_id == delivery.c.owner)
    return sa.and_(delivery.c.state == DeliveryState.LEASED.value, ~alive)


def _is_head() -> sa.ColumnElement[bool]:
    before = delivery.alias("before")
    return ~_with_same_key(before, before.c.state.in_(UNFINISHED), before.c.seq < delivery.c.seq)


def _with_same_key(other: sa.FromClause, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Tell whether there is an *other* delivery of the same order key that fulfils *which*.

    MariaDB must be told how to look: by its statistics the index of the due ones can seem better, and is then
    read from end to end for each of thousands that wait, which takes minutes and keeps the lease waiting too.
    """
    query = sa.select(other.c.seq).where(other.c.order_key == delivery.c.order_key, *which)
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(other, "FORCE INDEX (ix_eventalarm_delivery_order)", dialect)
    return query.correlate(delivery).exists()


def _put_back(worker_id: str, due: datetime.datetime) -> sa.Update:
    pending = {"state": DeliveryState.PENDING.value, "owner": None, "next_attempt_at": due}
    return sa.update(delivery).where(held_by([worker_id])).values(pending)
