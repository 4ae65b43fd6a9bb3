"""Batching of notifications: those that follow one within a window travel together in one POST."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import cachetools

from eventalarm.delivery import action
from eventalarm.delivery.lease import Lease
from eventalarm.delivery.scheduler import Call, Scheduler
from eventalarm.delivery.senders.base import Run
from eventalarm.model import OBJECT_NAMESPACE, Delivery, JSONDict, Notification
from eventalarm.storage.outbox import Outbox

SCHEMES: Final = frozenset({"http", "https"})
# For how long, and for how many actions, it is remembered that batches are refused there.
REFUSED_FOR: Final = 600.0
REMEMBERED: Final = 10_000

Key = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class BatchedNotification(Notification):
    """Several notifications in one body; its own fields are those of the first."""

    deliveries: tuple[Delivery, ...] = ()

    def body(self) -> JSONDict:
        """Return each delivery's body with its delivery id, in order."""
        return {
            "packed": [{"delivery_id": one.delivery_id, **one.notification.body()} for one in self.deliveries]
        }

    def encoded(self) -> bytes:
        """Return the body as JSON."""
        each = (
            b'{"delivery_id": "%s", %s' % (one.delivery_id.encode(), one.notification.encoded()[1:])
            for one in self.deliveries
        )
        return b'{"packed": [%s]}' % b", ".join(each)


def make_batch(deliveries: Sequence[Delivery]) -> Delivery:
    """Return the one delivery that carries *deliveries*; the same ones always have the same batch id."""
    first = deliveries[0]
    told = {field.name: getattr(first.notification, field.name) for field in dataclasses.fields(Notification)}
    names = "\n".join(one.delivery_id for one in deliveries)
    return dataclasses.replace(
        first,
        delivery_id=str(uuid.uuid5(OBJECT_NAMESPACE, names)),
        notification=BatchedNotification(**told, deliveries=tuple(deliveries)),
    )


def key_of(delivery: Delivery) -> Key:
    """Return what deliveries have in common that may share a batch."""
    return delivery.project_id, delivery.action


class _Window:
    __slots__ = ("ends_at", "held")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.held: list[Call] = []


class BatchWindows:
    """The open windows of one process and what is held in them. Not safe to share between threads.

    :param window: seconds.
    :param limit: the most deliveries of a batch.
    """

    def __init__(self, window: float, limit: int) -> None:
        self._window = window
        self.limit = limit
        # In the order of their ends, since all are of the same length.
        self._open: dict[Key, _Window] = {}
        self._full: dict[Key, None] = {}
        self._refused: cachetools.LRUCache[Key, float] = cachetools.LRUCache(REMEMBERED)

    def hold(self, call: Call, now: float) -> bool:
        """Hold a call for the next batch; False when it has to leave at once."""
        delivery = call.delivery
        if delivery.subscription_id or action.scheme(delivery.action) not in SCHEMES:
            return False
        key = key_of(delivery)
        if self._refused.get(key, now) > now:
            return False
        window = self._open.get(key)
        if window is None or (window.ends_at <= now and not window.held):
            self._begin(key, now)
            return False
        window.held.append(call)
        if len(window.held) >= self.limit:
            self._full[key] = None
        return True

    def _begin(self, key: Key, now: float) -> None:
        self._open.pop(key, None)
        self._open[key] = _Window(now + self._window)

    def ripe(self, now: float) -> Iterator[list[Call]]:
        """Yield what has to leave now, batch by batch; each opens the next window."""
        while self._full:
            key = next(iter(self._full))
            del self._full[key]
            yield from self._leave(key, now)
        for key in list(itertools.takewhile(lambda k: self._open[k].ends_at <= now, self._open)):
            yield from self._leave(key, now)

    def _leave(self, key: Key, now: float) -> Iterator[list[Call]]:
        window = self._open.pop(key)
        if window.held:
            self._begin(key, now)
        for start in range(0, len(window.held), self.limit):
            yield window.held[start : start + self.limit]

    def next_end(self) -> float | None:
        """Return when there is something to do next, None while no window is open."""
        if self._full:
            return 0.0
        return next((window.ends_at for window in self._open.values()), None)

    def refused(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Send alone to these actions for a while: the consumer knows no batches."""
        for delivery in deliveries:
            self._refused[key_of(delivery)] = now + REFUSED_FOR

    def clear(self) -> list[Call]:
        """Take out everything that is held."""
        held = [call for window in self._open.values() for call in window.held]
        self._open.clear()
        self._full.clear()
        return held


def first_of_each(deliveries: Iterable[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Part deliveries into the first of each order key and the others, which have to wait for it."""
    first: dict[Any, Delivery] = {}
    others: list[Delivery] = []
    for delivery in deliveries:
        if delivery.order_key in first:
            others.append(delivery)
        else:
            first[delivery.order_key] = delivery
    return list(first.values()), others


# Puts a call on its way, or back into the outbox when there is no room.
Dispatch = Callable[[Call], None]
# Returns unsent deliveries of an owner to the outbox.
GiveBack = Callable[[str, Sequence[str]], None]


class Batching:
    """Holds deliveries in windows and lets batches leave at their end.

    What waits in the outbox behind a held delivery of the same alarm joins its batch: else a storm of one
    alarm would leave delivery by delivery, one in each window.
    """

    def __init__(
        self,
        windows: BatchWindows,
        scheduler: Scheduler,
        lease: Lease,
        outbox: Outbox,
        run: Run,
        *,
        dispatch: Dispatch,
        give_back: GiveBack,
        monotonic: Callable[[], float],
    ) -> None:
        self._windows = windows
        self._scheduler = scheduler
        self._lease = lease
        self._outbox = outbox
        self._run = run
        self._dispatch = dispatch
        self._give_back = give_back
        self._monotonic = monotonic
        self._news = asyncio.Event()
        self._awaited: float | None = None

    def hold(self, call: Call) -> bool:
        """Hold a call that just came in; False when it has to leave by itself, or there is no room."""
        project = call.delivery.project_id
        if (
            call.delivery.losses
            or self._scheduler.full(project)
            or not self._scheduler.held.fits(call.deliveries)
        ):
            return False
        held = self._windows.hold(call, self._monotonic())
        if held:
            self._scheduler.reserve(call)
        end = self._windows.next_end()
        if end is not None and (self._awaited is None or end < self._awaited):
            self._news.set()
        return held

    async def step(self) -> float:
        """Wait until something has to leave and let it; return the pause until the next step.

        :raises eventalarm.exceptions.Retryable: when the database failed; what was leaving goes back.
        """
        self._news.clear()
        self._awaited = end = self._windows.next_end()
        delay = None if end is None else max(0.0, end - self._monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news.wait()
        for calls in self._windows.ripe(self._monotonic()):
            await self._depart(calls)
        return 0.0

    async def _depart(self, calls: list[Call]) -> None:
        owner = calls[0].owner
        deliveries = [call.delivery for call in calls if call.owner == owner]
        stale = [call for call in calls if call.owner != owner]
        room = min(self._windows.limit - len(deliveries), self._scheduler.room())
        try:
            if room > 0 and self._lease.holds(owner, self._monotonic()):
                keys = {delivery.order_key for delivery in deliveries}
                deliveries += await self._run(self._outbox.claim_behind, owner, keys, room)
        finally:
            # Also when the database failed: these are leased to us, and need it no more until they are sent.
            for call in calls:
                self._scheduler.forget(call)
            for call in stale:
                self._give_back(call.owner, [call.delivery.delivery_id])
            self._dispatch(Call(owner, deliveries[0], calls[0].destination, tuple(deliveries[1:])))

    def refused(self, call: Call) -> None:
        """Send the deliveries of a batch one by one: as a batch they can never be accepted."""
        self._windows.refused(call.deliveries, self._monotonic())
        self._scheduler.forget(call)
        alone, waiting = first_of_each(call.deliveries)
        self._give_back(call.owner, [delivery.delivery_id for delivery in waiting])
        for delivery in alone:
            self._dispatch(Call(call.owner, delivery, call.destination))

    def clear(self) -> list[Delivery]:
        """Take out and forget everything that is held."""
        held = self._windows.clear()
        for call in held:
            self._scheduler.forget(call)
        return [call.delivery for call in held]
