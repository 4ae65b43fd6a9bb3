"""Queues leased deliveries, holds them for a batch, or returns them to the outbox for lack of room."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from typing import Final

from eventalarm.delivery import action
from eventalarm.delivery.calls import Calls
from eventalarm.delivery.queues import Call
from eventalarm.delivery.scheduler import Scheduler
from eventalarm.delivery.senders.base import Destination, Sender
from eventalarm.delivery.worker_state import Due, WorkerState
from eventalarm.model import Delivery
from eventalarm.storage.claims import Place


class Batching:
    """Holds calls in windows and sends a batch at the end of each.

    Deliveries that wait in the outbox behind a held one of the same alarm join its batch. Else a storm of
    one alarm would be sent at one delivery per window.

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

    async def run_once(self) -> float:
        """Wait until batches are due and send them; return 0.0, the pause before the next call.

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
                behind = await self._threads.run(self._outbox.claim_behind, owner, keys, room)
                for one in (one for one in behind if one.superseded_by):
                    self._calls.skip(Call(owner, one, calls[0].destination))
                deliveries += [one for one in behind if not one.superseded_by]
        finally:
            # Even if the database failed: these are leased already, and it is needed only to record results.
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


# Maximum number of destinations that one claim excludes.
MOST_AVOIDED: Final = 50


class Overflow:
    """Remembers the projects, and their destinations, that have used up their share of memory.

    No delivery of theirs is claimed until there is room again. Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # By project and destination: how its actions begin.
        self._destinations: dict[tuple[str, Destination], str] = {}
        self._projects: set[str] = set()

    def note(self, call: Call) -> None:
        """Remember the project or the destination of *call*, for which there was no room."""
        project = call.delivery.project_id
        if self._scheduler.full(project):
            self._projects.add(project)
        elif self._scheduler.full(project, call.queue):
            start = action.start(call.delivery.action)
            self._destinations.setdefault((project, call.queue), start)

    def places(self) -> list[Place]:
        """Return the destinations to avoid in a claim; those that have room again are forgotten."""
        for place in [place for place in self._destinations if not self._scheduler.full(*place)]:
            del self._destinations[place]
        return [(project, start) for (project, _), start in self._destinations.items()][:MOST_AVOIDED]

    def projects(self) -> set[str]:
        """Return the projects to avoid in a claim; those that have room again are forgotten."""
        self._projects = {project for project in self._projects if self._scheduler.full(project)}
        return self._projects


class Intake:
    """Accepts deliveries that are leased to this process. Not thread-safe: it belongs to the event loop."""

    def __init__(
        self,
        state: WorkerState,
        sender: Sender,
        batching: Batching,
        calls: Calls,
    ) -> None:
        self._sender = sender
        self._lease = state.lease
        self._scheduler = state.scheduler
        self._batching = batching
        self._calls = calls
        self._writes = state.writes
        self._circuits = state.circuits
        self.overflow = Overflow(state.scheduler)

    def submitted(self, owner: str, deliveries: Sequence[Delivery], waiting: Collection[str]) -> None:
        """Accept what a transaction enqueued, and claim what is due under the order keys in *waiting*."""
        self.accept(owner, deliveries)
        self._writes.look_after(waiting)

    def accept(self, owner: str, deliveries: Sequence[Delivery]) -> int:
        """Accept deliveries leased to *owner* as far as there is room; return how many were accepted.

        Those of an open circuit count as accepted: they are deferred. So do those that need not be sent.
        """
        taken = 0
        for item in deliveries:
            call = Call(owner, item, self._sender.destination(item))
            if not self._lease.accepts(owner):
                self._writes.give_back(owner, [item.delivery_id])
            elif item.superseded_by:
                self._calls.skip(call)
                taken += 1
            elif self._circuits.defers((item,)) and not self._circuits.takes_probe(item):
                self._writes.give_back(owner, [item.delivery_id], Due.DEFERRED)
                taken += 1
            elif self._takes(call):
                taken += 1
            else:
                self._writes.give_back(owner, [item.delivery_id], Due.LATER)
                self.overflow.note(call)
        self._calls.start_ready()
        return taken

    def _takes(self, call: Call) -> bool:
        known = self._scheduler.holds(call.delivery.delivery_id)
        return known or self._batching.hold(call) or self._scheduler.put(call)

    def clear(self) -> list[str]:
        """Remove everything that is not being sent; return the ids of these deliveries."""
        removed = [*self._scheduler.clear(), *self._batching.clear()]
        return [delivery_id for call in removed for delivery_id in call.ids]
