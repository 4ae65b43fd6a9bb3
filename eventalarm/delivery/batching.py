"""Batching of notifications: holds what follows a delivery within a window, then sends it in one POST."""

from __future__ import annotations

import asyncio
import contextlib

from eventalarm.delivery.calls import Calls
from eventalarm.delivery.queues import Call
from eventalarm.delivery.worker_state import WorkerState


class Batching:
    """Holds calls in windows and sends a batch at the end of each.

    What waits in the outbox behind a held delivery of the same alarm joins its batch: else a storm of one
    alarm would be sent delivery by delivery, one in each window.

    Not thread-safe: it belongs to the event loop.
    """

    def __init__(
        self,
        state: WorkerState,
        calls: Calls,
    ) -> None:
        self._windows = state.windows
        self._scheduler = state.scheduler
        self._lease = state.lease
        self._outbox = state.outbox
        self._threads = state.threads
        self._writes = state.writes
        self._calls = calls
        self._news = asyncio.Event()
        self._awaited: float | None = None

    def hold(self, call: Call) -> bool:
        """Hold a call; return False if it must be sent by itself, or there is no room for it."""
        if not self._windows.enabled or call.delivery.losses:
            return False
        if self._scheduler.full(call.delivery.project_id) or not self._scheduler.held.fits(call.deliveries):
            return False
        held = self._windows.hold(call, self._lease.now())
        if held:
            self._scheduler.reserve(call)
        end = self._windows.next_end()
        if end is not None and (self._awaited is None or end < self._awaited):
            self._news.set()
        return held

    async def step(self) -> float:
        """Wait until batches are due and send them; return 0.0, the pause until the next step.

        :raises eventalarm.exceptions.Retryable: when the database failed; what was held is sent nevertheless.
        """
        self._news.clear()
        self._awaited = end = self._windows.next_end()
        delay = None if end is None else max(0.0, end - self._lease.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news.wait()
        for calls in self._windows.ripe(self._lease.now()):
            await self._send(calls)
        return 0.0

    async def _send(self, calls: list[Call]) -> None:
        owner = calls[0].owner
        deliveries = [call.delivery for call in calls if call.owner == owner]
        stale = [call for call in calls if call.owner != owner]
        room = min(self._windows.limit - len(deliveries), self._scheduler.room())
        try:
            if room > 0 and self._lease.holds(owner):
                keys = {delivery.order_key for delivery in deliveries}
                deliveries += await self._threads.run(self._outbox.claim_behind, owner, keys, room)
        finally:
            # Also when the database failed: these are leased to this process and need it only when recorded.
            for call in calls:
                self._scheduler.forget(call)
            for call in stale:
                self._writes.give_back(call.owner, call.ids)
            self._calls.send(Call(owner, deliveries[0], calls[0].destination, tuple(deliveries[1:])))

    def clear(self) -> list[Call]:
        """Remove and return everything that is held."""
        held = self._windows.clear()
        for call in held:
            self._scheduler.forget(call)
        return held
