"""Who is next: deliveries in memory, fair between projects first, then between their destinations. Pure.

Two rules keep one project, or one slow destination, from taking what the others need. Each bound (deliveries
and bytes in memory, calls and bytes under way) is shared by leaving room: a project may hold at most as much
as is still free, so that N greedy ones together leave 1/(N+1) of it; and so may a destination of what its
project has left. And a quarter of the calls is kept for destinations whose last call for the same project was
prompt, so that even hundreds of slow ones leave the known good ones alone.

Deliveries that were under way when two processes ended, one after the other, leave one at a time, so that one
that ends processes takes no others with it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import cachetools

from eventalarm.delivery.holdings import Holdings
from eventalarm.delivery.senders.base import Destination
from eventalarm.model import Delivery

T = TypeVar("T")

# How many projects, and destinations of each, are remembered as prompt or slow.
PROJECTS: Final = 2000
DESTINATIONS: Final = 256
RESERVED_SHARE: Final = 4
# How many candidates are looked at before it is concluded that nothing may start now.
CANDIDATES: Final = 16
# Losses (see Delivery.losses) from which on a delivery leaves alone.
SUSPECT: Final = 2
ALONE: Final = Destination("", "one at a time", 0, 1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A delivery in our hands: leased to *owner*, going to *destination*; *more* travel in the same batch."""

    owner: str
    delivery: Delivery
    destination: Destination
    more: tuple[Delivery, ...] = ()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Everything that travels together, in order."""
        return (self.delivery, *self.more)

    @property
    def queue(self) -> Destination:
        """Where it waits: with those of its destination, or with those that leave one at a time."""
        if not self.more:
            return self.destination if self.delivery.losses < SUSPECT else ALONE
        return ALONE if any(one.losses >= SUSPECT for one in self.deliveries) else self.destination

    @property
    def size(self) -> int:
        """Bytes of all that it sends."""
        return self.delivery.size if not self.more else sum(one.size for one in self.deliveries)


class _ByLoad(Generic[T]):
    """Candidates by how many calls each has under way: the fewest first, and among equals in turn."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[dict[T, None]] = []

    def level(self, load: int) -> dict[T, None]:
        """Return those with *load* calls under way."""
        while len(self._levels) <= load:
            self._levels.append({})
        return self._levels[load]

    def __iter__(self) -> Iterator[T]:
        return itertools.chain.from_iterable(self._levels)

    def first(self) -> T | None:
        """Return the first one."""
        for level in self._levels:
            if level:
                return next(iter(level))
        return None


class _Place:
    """All calls to one destination, and those of its queues that wait because it takes no more at once."""

    __slots__ = ("in_flight", "queues", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.queues = 0
        self.waiting: dict[_Queue, None] = {}


class _Queue:
    """What one project sends to one destination."""

    __slots__ = ("calls", "destination", "in_flight", "place", "project", "ready_at")

    def __init__(self, project: _Project, destination: Destination, place: _Place) -> None:
        self.project = project
        self.destination = destination
        self.place = place
        self.calls: deque[Call] = deque()
        self.in_flight = 0
        self.ready_at: dict[_Queue, None] | None = None


class _Project:
    """The queues of one project; ``ready`` are those that could start a call, by promptness."""

    __slots__ = ("bytes_in_flight", "in_flight", "name", "queues", "ready", "ready_at")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: dict[Destination, _Queue] = {}
        self.in_flight = 0
        self.bytes_in_flight = 0
        self.ready: dict[bool, _ByLoad[_Queue]] = {True: _ByLoad(), False: _ByLoad()}
        self.ready_at: dict[bool, dict[_Project, None] | None] = {True: None, False: None}


class Scheduler:
    """Holds calls, from ``put`` to ``forget``, and lets *concurrency* of them run.

    *capacity* and *max_bytes* bound what is held, *max_bytes* also what is being sent; a project may always
    send one. Not safe to share between threads: it lives in the event loop.
    """

    def __init__(self, capacity: int, concurrency: int, max_bytes: int) -> None:
        self.held = Holdings(capacity, max_bytes)
        self._free = concurrency
        self._free_bytes = max_bytes
        self._reserve = concurrency // RESERVED_SHARE
        self._projects: dict[str, _Project] = {}
        self._places: dict[Destination, _Place] = {}
        self._prompt: cachetools.LRUCache[str, cachetools.LRUCache[Destination, bool]]
        self._prompt = cachetools.LRUCache(PROJECTS)
        # What left alone and ended, by the deliveries whose results are not safe yet.
        self._alone: dict[str, Call] = {}
        self._ready: dict[bool, _ByLoad[_Project]] = {True: _ByLoad(), False: _ByLoad()}

    def room(self) -> int:
        """Return how many more calls can be held."""
        return self.held.room()

    def holds(self, delivery_id: str) -> bool:
        """Return True when the delivery is in our hands."""
        return delivery_id in self.held

    def full(self, project: str, destination: Destination | None = None) -> bool:
        """Return True when the project, or its destination, has its share of memory."""
        if self.held.full(project):
            return True
        known = self._projects.get(project)
        queue = known.queues.get(destination) if known is not None and destination is not None else None
        held = len(queue.calls) + queue.in_flight if queue is not None else 0
        return held > 0 and held >= self.room() - self.held.items(project)

    def put(self, call: Call) -> bool:
        """Queue a call; False when its project or destination has its share of memory already."""
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
        """Hold a call that is queued elsewhere."""
        for delivery in call.deliveries:
            self.held.add(delivery)

    def take(self) -> Call | None:
        """Return the next call to send, None when nothing may start now."""
        queue, other = self._next(prompt=True), self._next(prompt=False)
        if queue is None or (other is not None and _load(other) < _load(queue)):
            queue = other
        if queue is None:
            return None
        call = queue.calls.popleft()
        self._count(queue, 1, call.size)
        self._file(queue)
        return call

    def finished(self, call: Call, *, prompt: bool) -> None:
        """The call of a taken call ended, *prompt* or not; it is still held until ``forget``.

        One that left alone keeps its place until then: its result must be safe before the next one leaves.
        """
        if call.queue == ALONE:
            self._alone = {delivery.delivery_id: call for delivery in call.deliveries}
        else:
            self._finish(call, prompt)

    def _finish(self, call: Call, prompt: bool) -> None:
        project, destination = call.delivery.project_id, call.queue
        known = self._prompt.get(project)
        if known is None:
            known = self._prompt[project] = cachetools.LRUCache(DESTINATIONS)
        known[destination] = prompt
        queue = self._projects[project].queues[destination]
        self._count(queue, -1, -call.size)
        self._file(queue)
        place = queue.place
        if not place.waiting:
            return
        for waiting in list(itertools.islice(place.waiting, max(0, destination.total - place.in_flight))):
            self._file(waiting)

    def forget(self, call: Call) -> None:
        """The call is out of our hands."""
        for delivery in call.deliveries:
            self.held.discard(delivery.delivery_id)
            taken = self._alone.pop(delivery.delivery_id, None) if self._alone else None
            if taken is not None and not self._alone:
                self._finish(taken, prompt=False)

    def clear(self) -> list[Call]:
        """Take out and forget everything that was not taken yet."""
        calls: list[Call] = []
        for project in list(self._projects.values()):
            for queue in list(project.queues.values()):
                calls.extend(queue.calls)
                queue.calls.clear()
                self._file(queue)
        for call in calls:
            self.forget(call)
        return calls

    def _queue(self, name: str, destination: Destination) -> _Queue:
        project = self._projects.get(name)
        if project is None:
            project = self._projects[name] = _Project(name)
        queue = project.queues.get(destination)
        if queue is None:
            place = self._places.get(destination)
            if place is None:
                place = self._places[destination] = _Place()
            place.queues += 1
            queue = project.queues[destination] = _Queue(project, destination, place)
        return queue

    def _count(self, queue: _Queue, calls: int, size: int) -> None:
        queue.in_flight += calls
        queue.place.in_flight += calls
        queue.project.in_flight += calls
        queue.project.bytes_in_flight += size
        self._free -= calls
        self._free_bytes -= size

    def _next(self, *, prompt: bool) -> _Queue | None:
        """Return the queue of the project with the fewest calls under way that may start one."""
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

    def _startable(self, project: _Project, prompt: bool, available: int) -> _Queue | None:
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

    def _may_send(self, project: _Project, call: Call) -> bool:
        return not project.in_flight or project.bytes_in_flight + call.size <= self._free_bytes

    def _file(self, queue: _Queue) -> None:
        """Put a queue where ``take`` looks for it, behind those that wait already."""
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

    def _file_project(self, project: _Project) -> None:
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


def _load(queue: _Queue) -> tuple[int, int]:
    return queue.project.in_flight, queue.in_flight
