"""Decides which call starts next: fairly between projects, then between the destinations of each. Pure.

Two rules prevent one project, or one slow destination, from starving the others. Each limit (deliveries and
bytes in memory, calls and bytes in flight) is shared by leaving room: a project may use at most as much as is
still free, so that N greedy projects together leave 1/(N+1) of it; the same holds for a destination within
the share of its project. A quarter of the calls is reserved for destinations whose last call for the same
project was prompt, so that even hundreds of slow ones do not delay the known good ones.

Many prompt destinations can become slow at the same moment, for example behind a failing proxy. Their
calls would hold the reserve too. A call that was expected to be prompt and lasts longer therefore becomes
overdue: it no longer counts towards these limits, but towards a second limit of the same size, which is
shared likewise.

Deliveries that were in flight when two processes ended, one after the other, are sent one at a time, so that
a delivery that crashes processes does not affect others.
"""

from __future__ import annotations

import itertools
from typing import Final

import cachetools

from eventalarm.delivery.queues import ALONE, ByLoad, Call, Holdings, Place, Project, Queue
from eventalarm.delivery.senders.base import Destination

# How many projects, and destinations of each, are remembered as prompt or slow.
PROJECTS: Final = 2000
DESTINATIONS: Final = 256
RESERVED_SHARE: Final = 4
# How many candidates are examined before it is concluded that none may start now.
CANDIDATES: Final = 16


class Scheduler:
    """Holds calls from ``put`` to ``forget``, and decides which of them may start.

    Not thread-safe: it belongs to the event loop.

    :param capacity: maximum number of deliveries held.
    :param concurrency: maximum number of calls in flight, and of overdue calls beside them.
    :param max_bytes: maximum size of what is held, and of what is in flight; a project may always send one
        call.
    """

    def __init__(self, capacity: int, concurrency: int, max_bytes: int) -> None:
        self.held = Holdings(capacity, max_bytes)
        self._free = concurrency
        self._free_overdue = concurrency
        self._free_bytes = max_bytes
        self._reserve = concurrency // RESERVED_SHARE
        self._projects: dict[str, Project] = {}
        self._places: dict[Destination, Place] = {}
        self._prompt: cachetools.LRUCache[str, cachetools.LRUCache[Destination, bool]]
        self._prompt = cachetools.LRUCache(PROJECTS)
        # The calls in flight that are expected to be prompt, and those of them that are overdue; by the ids
        # of their first deliveries.
        self._expected: set[str] = set()
        self._overdue: set[str] = set()
        # The finished call that was sent alone, by the ids of its deliveries without a recorded result.
        self._alone: dict[str, Call] = {}
        self._ready: dict[bool, ByLoad[Project]] = {True: ByLoad(), False: ByLoad()}

    def room(self) -> int:
        """Return how many more calls can be held."""
        return self.held.room()

    def holds(self, delivery_id: str) -> bool:
        """Return True if the delivery is held here."""
        return delivery_id in self.held

    def full(self, project: str, destination: Destination | None = None) -> bool:
        """Return True if the project, or its *destination* if given, has used up its share of memory."""
        if self.held.full(project):
            return True
        known = self._projects.get(project)
        queue = known.queues.get(destination) if known is not None and destination is not None else None
        held = len(queue.calls) + queue.in_flight if queue is not None else 0
        return held > 0 and held >= self.room() - self.held.items(project)

    def put(self, call: Call) -> bool:
        """Queue a call; return False if its project or destination has used up its share of memory."""
        project, destination = call.delivery.project_id, call.queue
        if self.holds(call.delivery.delivery_id):
            return True
        if self.full(project, destination) or not self.held.fits(call.deliveries):
            return False
        self.reserve(call)
        queue = self._queue(project, destination)
        queue.calls.append(call)
        self._file(queue)
        return True

    def reserve(self, call: Call) -> None:
        """Count a call that is queued elsewhere towards the limits of memory."""
        for delivery in call.deliveries:
            self.held.add(delivery)

    def take(self) -> Call | None:
        """Return the next call to make, or None when none may start now."""
        queue, other = self._next(prompt=True), self._next(prompt=False)
        expected = queue is not None
        if queue is None or (other is not None and _load(other) < _load(queue)):
            queue, expected = other, False
        if queue is None:
            return None
        call = queue.calls.popleft()
        if expected:
            self._expected.add(call.delivery.delivery_id)
        self._count(queue, 1, call.size)
        self._file(queue)
        return call

    def overdue(self, call: Call) -> None:
        """Record that a taken call lasts longer than prompt ones do; others may start in its place."""
        queue = self._projects[call.delivery.project_id].queues[call.queue]
        self._remember(call, prompt=False)
        first = call.delivery.delivery_id
        if first in self._expected and queue.project.overdue < self._free_overdue:
            self._overdue.add(first)
            self._count_overdue(queue, 1)
        self._file(queue)

    def finished(self, call: Call, *, prompt: bool) -> None:
        """Record that a taken call ended, *prompt* or not; it is still held until ``forget``.

        A call that was sent alone blocks the next one until then: its result must be recorded first.
        """
        if call.queue == ALONE:
            self._alone = {delivery.delivery_id: call for delivery in call.deliveries}
        else:
            self._finish(call, prompt)

    def _finish(self, call: Call, prompt: bool) -> None:
        destination, first = call.queue, call.delivery.delivery_id
        queue = self._projects[call.delivery.project_id].queues[destination]
        self._remember(call, prompt=prompt)
        self._expected.discard(first)
        if first in self._overdue:
            self._overdue.discard(first)
            self._count_overdue(queue, -1)
        self._count(queue, -1, -call.size)
        self._file(queue)
        place = queue.place
        if not place.waiting:
            return
        for waiting in list(itertools.islice(place.waiting, max(0, destination.total - place.in_flight))):
            self._file(waiting)

    def forget(self, call: Call) -> None:
        """Stop holding a call: its result is recorded, or it is not sent."""
        for delivery in call.deliveries:
            self.held.discard(delivery.delivery_id)
            taken = self._alone.pop(delivery.delivery_id, None) if self._alone else None
            if taken is not None and not self._alone:
                self._finish(taken, prompt=False)

    def clear(self) -> list[Call]:
        """Remove and return all calls that were not taken yet."""
        calls: list[Call] = []
        for project in list(self._projects.values()):
            for queue in list(project.queues.values()):
                calls.extend(queue.calls)
                queue.calls.clear()
                self._file(queue)
        for call in calls:
            self.forget(call)
        return calls

    def _remember(self, call: Call, *, prompt: bool) -> None:
        known = self._prompt.get(call.delivery.project_id)
        if known is None:
            known = self._prompt[call.delivery.project_id] = cachetools.LRUCache(DESTINATIONS)
        known[call.queue] = prompt

    def _queue(self, name: str, destination: Destination) -> Queue:
        project = self._projects.get(name)
        if project is None:
            project = self._projects[name] = Project(name)
        queue = project.queues.get(destination)
        if queue is None:
            place = self._places.get(destination)
            if place is None:
                place = self._places[destination] = Place()
            place.queues += 1
            queue = project.queues[destination] = Queue(project, destination, place)
        return queue

    def _count(self, queue: Queue, calls: int, size: int) -> None:
        queue.in_flight += calls
        queue.place.in_flight += calls
        queue.project.in_flight += calls
        queue.project.bytes_in_flight += size
        self._free -= calls
        self._free_bytes -= size

    def _count_overdue(self, queue: Queue, calls: int) -> None:
        queue.project.overdue += calls
        queue.project.in_flight -= calls
        self._free_overdue -= calls
        self._free += calls

    def _next(self, *, prompt: bool) -> Queue | None:
        """Return the next queue of the project with the fewest calls in flight that may start one."""
        if self._ready[prompt].first() is None:
            return None
        available = self._free if prompt else self._free - self._reserve
        for project in list(itertools.islice(self._ready[prompt], CANDIDATES)):
            if project.in_flight >= available:
                return None
            queue = self._startable(project, prompt, available)
            if queue is not None:
                return queue
        return None

    def _startable(self, project: Project, prompt: bool, available: int) -> Queue | None:
        ready = project.ready[prompt]
        while (first := ready.first()) is not None and first.place.in_flight >= first.destination.total:
            self._file(first)
        share = max(1, (available - project.in_flight) // 2)
        for queue in itertools.islice(ready, CANDIDATES):
            if queue.in_flight >= share:
                return None
            if queue.place.in_flight < queue.destination.total and self._may_send(project, queue.calls[0]):
                return queue
        return None

    def _may_send(self, project: Project, call: Call) -> bool:
        return not project.in_flight or project.bytes_in_flight + call.size <= self._free_bytes

    def _file(self, queue: Queue) -> None:
        """Move a queue to where ``take`` looks for it, behind those that already wait there."""
        project, destination, place = queue.project, queue.destination, queue.place
        target = None
        wants = bool(queue.calls) and queue.in_flight < destination.limit
        if wants and place.in_flight >= destination.total:
            place.waiting[queue] = None
        else:
            place.waiting.pop(queue, None)
            if wants:
                known = self._prompt.get(project.name)
                prompt = known is not None and known.get(destination, False)
                target = project.ready[prompt].level(queue.in_flight)
        if queue.ready_at is not None and queue.ready_at is not target:
            del queue.ready_at[queue]
        queue.ready_at = target
        if target is not None:
            target.setdefault(queue)
        elif not queue.calls and not queue.in_flight:
            del project.queues[destination]
            place.queues -= 1
            if not place.queues:
                del self._places[destination]
        self._file_project(project)

    def _file_project(self, project: Project) -> None:
        for prompt in (True, False):
            target = None
            before = project.ready_at[prompt]
            if project.ready[prompt].first() is not None:
                target = self._ready[prompt].level(project.in_flight)
            elif before is None:
                continue
            if before is not None and before is not target:
                del before[project]
            project.ready_at[prompt] = target
            if target is not None:
                target.setdefault(project)
        if not project.queues:
            self._projects.pop(project.name, None)


def _load(queue: Queue) -> tuple[int, int]:
    return queue.project.in_flight, queue.in_flight
