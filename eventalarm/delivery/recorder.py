"""Writing to the outbox what came of attempts: in batches, until the database took it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import cachetools
from oslo_log import log

from eventalarm.delivery.lease import Lease
from eventalarm.delivery.scheduler import Call
from eventalarm.delivery.senders.base import Run
from eventalarm.exceptions import Retryable
from eventalarm.model import Delivery, DeliveryResult, DeliveryState
from eventalarm.storage.outbox import Outbox

LOG = log.getLogger(__name__)

BATCH: Final = 500
# Seconds for which results are gathered, unless a delivery waits behind one of them.
GATHER: Final = 0.05
# How many order keys are remembered because something waits there; what is forgotten waits GATHER longer.
AWAITED: Final = 10000

Recorded = Callable[[Iterable[Call]], None]
Claimed = Callable[[str, Sequence[Delivery]], int]


class Recorder:
    """Keeps results, unsent deliveries and order keys to look after, until they are written.

    Its memory is bounded by what the scheduler hold. ``recorded`` is told which calls are out of our hands,
    ``claimed`` gets the successors of what was finished. Lives in the event loop; *run* takes the calls to
    the outbox elsewhere.
    """

    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        run: Run,
        *,
        recorded: Recorded,
        claimed: Claimed,
        overflow_delay: float,
        free_bytes: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._lease = lease
        self._run = run
        self._recorded = recorded
        self._claimed = claimed
        self._overflow_delay = overflow_delay
        self._free_bytes = free_bytes
        self._monotonic = monotonic
        self._results: list[tuple[Call, DeliveryResult]] = []
        self._returns: dict[tuple[str, bool], set[str]] = defaultdict(set)
        self._keys: set[str] = set()
        self._awaited: cachetools.LRUCache[str, None] = cachetools.LRUCache(AWAITED)
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()

    def add(self, call: Call, result: DeliveryResult) -> None:
        """Keep the result of an attempt."""
        self._results.append((call, result))
        self._work.set()
        # What was suspected of ending processes must be cleared before another one is tried.
        if call.delivery.losses or len(self._results) >= BATCH or call.delivery.order_key in self._awaited:
            self._urgent.set()

    def give_back(self, owner: str, delivery_ids: Iterable[str], *, later: bool = False) -> None:
        """Return unsent deliveries of *owner*; *later* when there is no room for them for a while."""
        ids = set(delivery_ids)
        if ids:
            self._returns[owner, later] |= ids
            self._work.set()

    def look_after(self, order_keys: Iterable[str]) -> None:
        """Claim what waits behind *order_keys* with the next batch: its turn may have come unseen."""
        for key in order_keys:
            self._keys.add(key)
            self._awaited[key] = None
        if self._keys:
            self._work.set()
            self._urgent.set()

    @property
    def empty(self) -> bool:
        """Whether everything is written."""
        return not (self._results or self._returns or self._keys)

    async def step(self) -> float:
        """Wait for work, gather more for a moment, write one batch; return the pause until the next.

        :raises eventalarm.exceptions.Retryable: when the database failed; nothing is forgotten then.
        """
        await self._work.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                await self._urgent.wait()
        self._urgent.clear()
        await self.write()
        return 0.0

    async def write(self) -> None:
        """Write one batch of everything; raises as :meth:`step`."""
        await self._write_results()
        await self._write_returns()
        await self._claim_successors()
        if self.empty:
            self._work.clear()
        elif self._keys or len(self._results) >= BATCH:
            self._urgent.set()

    async def _write_results(self) -> None:
        batch = self._results[:BATCH]
        by_owner: dict[str, list[tuple[Call, DeliveryResult]]] = defaultdict(list)
        for item in batch:
            by_owner[item[0].owner].append(item)
        for owner, items in by_owner.items():
            await self._write_owned(owner, items)
        # What came in meanwhile is behind the batch.
        del self._results[: len(batch)]
        self._recorded(call for call, _ in batch)
        self._keys.update(p.delivery.order_key for p, r in batch if r.state != DeliveryState.PENDING)

    async def _write_owned(self, owner: str, items: Sequence[tuple[Call, DeliveryResult]]) -> None:
        try:
            results = [result for _, result in items]
            known_as = self._lease.owner
            await self._run(self._outbox.record, owner, results, known_as)
            if self._lease.owner != known_as:
                # The lease ended while that was written: we may have taken them back just before.
                await self._run(self._outbox.record, owner, results, self._lease.owner)
        except Retryable:
            raise
        except Exception:
            if len(items) == 1:
                # Another process sends it again once we are gone: better than to stop all the others.
                LOG.exception("The result of delivery %s cannot be recorded", items[0][1].delivery_id)
                return
            for item in items:
                await self._write_owned(owner, [item])

    async def _write_returns(self) -> None:
        for owner, later in list(self._returns):
            ids = self._returns[owner, later]
            some = set(sorted(ids)[:BATCH])
            await self._run(self._outbox.hand_back, owner, some, self._overflow_delay if later else 0.0)
            ids -= some
            if not ids:
                del self._returns[owner, later]

    async def _claim_successors(self) -> None:
        owner = self._lease.current(self._monotonic())
        if owner is None:
            # Whoever polls finds them.
            self._keys.clear()
            return
        keys = set(sorted(self._keys)[:BATCH])
        if keys:
            claimed = await self._run(self._outbox.claim_next, owner, keys, self._free_bytes())
            self._keys -= keys
            for item in claimed:
                self._awaited.pop(item.order_key, None)
            self._claimed(owner, claimed)
