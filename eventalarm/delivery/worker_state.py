"""The state that the parts of a delivery worker share, with the results that are not yet in the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import cachetools

from eventalarm.delivery.batches import BatchWindows
from eventalarm.delivery.circuit_board import CircuitBoard
from eventalarm.delivery.lease import Lease
from eventalarm.delivery.queues import Call
from eventalarm.delivery.scheduler import Scheduler
from eventalarm.delivery.threads import Threads
from eventalarm.model import DeliveryResult
from eventalarm.storage.outbox import Outbox

BATCH: Final = 500
# Seconds for which results are gathered, unless a delivery waits behind one of them.
GATHER: Final = 0.05
# Maximum number of order keys remembered because a delivery waits there; one of a forgotten key waits up to
# GATHER seconds longer.
AWAITED: Final = 10000


class Due(enum.Enum):
    """When a returned delivery is due: now, after a while for lack of room, or when its circuit closes."""

    NOW = "now"
    LATER = "later"
    DEFERRED = "deferred"


class PendingWrites:
    """Results of attempts, deliveries to return and order keys to look after, until the recorder writes them.

    Their memory is bounded by what the scheduler holds.
    Not thread-safe: it belongs to the event loop.
    """

    def __init__(self) -> None:
        self.results: list[tuple[Call, DeliveryResult]] = []
        # The ids of unsent deliveries, by their owner and when they are due.
        self.returns: dict[tuple[str, Due], set[str]] = defaultdict(set)
        # Order keys whose next delivery may be due.
        self.order_keys: set[str] = set()
        self._awaited: cachetools.LRUCache[str, None] = cachetools.LRUCache(AWAITED)
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()

    def add(self, call: Call, result: DeliveryResult) -> None:
        """Keep the result of an attempt."""
        self.results.append((call, result))
        self._work.set()
        # A delivery suspected of ending processes must be cleared before the next one is tried.
        if call.delivery.losses or len(self.results) >= BATCH or call.delivery.order_key in self._awaited:
            self._urgent.set()

    def give_back(self, owner: str, delivery_ids: Iterable[str], due: Due = Due.NOW) -> None:
        """Return unsent deliveries of *owner*."""
        ids = set(delivery_ids)
        if ids:
            self.returns[owner, due] |= ids
            self._work.set()

    def look_after(self, order_keys: Iterable[str]) -> None:
        """Claim the next deliveries of *order_keys* with the next write: they may have become due."""
        for key in order_keys:
            self.order_keys.add(key)
            self._awaited[key] = None
        if self.order_keys:
            self._work.set()
            self._urgent.set()

    def claimed(self, order_key: str) -> None:
        """Record that the delivery that waited behind *order_key* is leased to this process."""
        self._awaited.pop(order_key, None)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.results or self.returns or self.order_keys)

    async def gathered(self) -> None:
        """Wait until there is something to write, and for more of it for a moment."""
        await self._work.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                await self._urgent.wait()
        self._urgent.clear()

    def written(self) -> None:
        """Decide how soon :meth:`gathered` returns again, now that a batch is written."""
        if self.empty:
            self._work.clear()
        elif self.order_keys or len(self.results) >= BATCH:
            self._urgent.set()


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerState:
    """What the parts of one worker have in common; *threads* run the calls to the *outbox*."""

    outbox: Outbox
    threads: Threads
    lease: Lease
    scheduler: Scheduler
    windows: BatchWindows
    writes: PendingWrites
    circuits: CircuitBoard
