"""Starts calls when the scheduler allows, makes them, and passes their results to the recorder."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from typing import Final

from eventalarm.delivery.attempt import Attempt
from eventalarm.delivery.batches import first_of_each
from eventalarm.delivery.names import PROJECT
from eventalarm.delivery.queues import Call
from eventalarm.delivery.worker_state import Due, WorkerState
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import DeliveryResult

# Seconds within which a call counts as prompt, see Scheduler.
PROMPT: Final = 1.0


class Calls:
    """Makes the calls of this process. Its length is the number of calls in flight.

    Not thread-safe: it belongs to the event loop.
    """

    def __init__(
        self,
        state: WorkerState,
        attempt: Attempt,
        metrics: Metrics,
    ) -> None:
        self._scheduler = state.scheduler
        self._windows = state.windows
        self._lease = state.lease
        self._attempt = attempt
        self._writes = state.writes
        self._outbox = state.outbox
        self._threads = state.threads
        self._circuits = state.circuits
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def send(self, call: Call) -> None:
        """Queue a call; without a valid lease or room in memory it is returned to the outbox."""
        if not self._lease.accepts(call.owner):
            self._writes.give_back(call.owner, call.ids)
        elif self._circuits.defers(call.deliveries):
            self._writes.give_back(call.owner, call.ids, Due.DEFERRED)
        elif not self._scheduler.put(call):
            self._writes.give_back(call.owner, call.ids, Due.LATER)
        self.start_ready()

    def skip(self, call: Call) -> None:
        """Finish a superseded delivery without a call, unless it is held here already."""
        if not self._scheduler.holds(call.delivery.delivery_id):
            self._scheduler.reserve(call)
            self._writes.add(call, self._attempt.skip(call.delivery))

    def start_ready(self) -> None:
        """Start every call that may start now."""
        while self._lease.usable() is not None:
            call = self._scheduler.take()
            if call is None:
                return
            task = asyncio.create_task(self._make(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def forget(self, calls: Iterable[Call]) -> None:
        """Stop holding *calls*, whose results are recorded, and start others."""
        for call in calls:
            self._scheduler.forget(call)
        self.start_ready()

    async def finish(self, grace: float) -> None:
        """Wait up to *grace* seconds for the calls in flight, then cancel the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await cancel(self._tasks)

    async def _make(self, call: Call) -> None:
        PROJECT.set(call.delivery.project_id)
        if self._circuits.defers(call.deliveries):
            self._defer(call)
            return
        started = self._lease.now()
        overdue = asyncio.get_running_loop().call_later(PROMPT, self._overdue, call)
        results: list[DeliveryResult] | None = []
        try:
            if await self._may_begin(call):
                results = await self._attempt.send(call.deliveries)
        finally:
            overdue.cancel()
            took = self._lease.now() - started
            self._scheduler.finished(call, prompt=took < PROMPT)
        if results is None:
            self._send_one_by_one(call)
        elif not results:
            self._scheduler.forget(call)
            self._writes.give_back(call.owner, call.ids)
        else:
            self._metrics.observe("delivery_seconds", took)
            for delivery, result in zip(call.deliveries, results, strict=True):
                made = result.attempts > delivery.attempts
                timed = dataclasses.replace(result, latency=took) if made else result
                self._writes.add(Call(call.owner, delivery, call.destination), timed)
        self.start_ready()

    def _defer(self, call: Call) -> None:
        """Return the deliveries of a call whose circuit opened while it was queued."""
        self._scheduler.finished(call, prompt=False)
        self._scheduler.forget(call)
        self._writes.give_back(call.owner, call.ids, Due.DEFERRED)
        self.start_ready()

    def _overdue(self, call: Call) -> None:
        """Begin others in place of a call that lasts too long to count as prompt."""
        self._scheduler.overdue(call)
        self.start_ready()

    async def _may_begin(self, call: Call) -> bool:
        """Return True if the lease is valid; first mark deliveries during which a process ended before."""
        if not self._lease.holds(call.owner):
            return False
        if not any(delivery.losses for delivery in call.deliveries):
            return True
        try:
            marked = await self._threads.run(self._outbox.begin, call.owner, call.ids)
        except Retryable:
            return False
        return marked and self._lease.holds(call.owner)

    def _send_one_by_one(self, call: Call) -> None:
        """Send the deliveries of a batch that its consumer refuses, each by itself."""
        self._windows.refused(call.deliveries, self._lease.now())
        self._scheduler.forget(call)
        alone, waiting = first_of_each(call.deliveries)
        self._writes.give_back(call.owner, [delivery.delivery_id for delivery in waiting])
        for delivery in alone:
            self.send(Call(call.owner, delivery, call.destination))


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel *tasks* and wait until each has ended."""
    ended = list(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
