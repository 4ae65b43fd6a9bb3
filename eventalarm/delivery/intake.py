"""Where leased deliveries come in: queued, held for a batch, or returned to the outbox for lack of room."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from eventalarm.delivery import action
from eventalarm.delivery.batching import Batching
from eventalarm.delivery.calls import Calls
from eventalarm.delivery.queues import Call
from eventalarm.delivery.scheduler import Scheduler
from eventalarm.delivery.senders.base import Destination, Sender
from eventalarm.delivery.worker_state import WorkerState
from eventalarm.model import Delivery
from eventalarm.storage.claims import Place

# How many destinations one claim names at most.
MOST_AVOIDED: Final = 50


class Overflow:
    """Remembers projects, and destinations of a project, that have their share of memory.

    No more of theirs is claimed until there is room again. Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # Destinations of a project, with how their actions begin.
        self._destinations: dict[tuple[str, Destination], str] = {}
        self._projects: set[str] = set()

    def note(self, call: Call) -> None:
        """Remember for whom *call* found no room."""
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
    """Takes what is leased to this process. Not thread-safe: it belongs to the event loop."""

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
        self.overflow = Overflow(state.scheduler)

    def submitted(self, owner: str, deliveries: Sequence[Delivery], waiting: Collection[str]) -> None:
        """Take what a transaction enqueued, and look after the order keys in *waiting*."""
        self.accept(owner, deliveries)
        self._writes.look_after(waiting)

    def accept(self, owner: str, deliveries: Sequence[Delivery]) -> int:
        """Take what is leased to *owner* as far as there is room; return how many deliveries that were."""
        taken = 0
        for item in deliveries:
            call = Call(owner, item, self._sender.destination(item))
            if not self._lease.accepts(owner):
                self._writes.give_back(owner, [item.delivery_id])
            elif self._takes(call):
                taken += 1
            else:
                self._writes.give_back(owner, [item.delivery_id], later=True)
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
