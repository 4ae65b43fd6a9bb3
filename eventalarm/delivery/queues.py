"""Calls in memory: queued by project and destination, and counted by project. Pure."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from eventalarm.delivery.senders.base import Destination
from eventalarm.model import Delivery

T = TypeVar("T")

# A delivery with this many losses (see Delivery.losses) or more is sent alone.
SUSPECT: Final = 2
ALONE: Final = Destination("", "one at a time", 0, 1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call to *destination* with a delivery leased to *owner*; *more* are sent in the same batch."""

    owner: str
    delivery: Delivery
    destination: Destination
    more: tuple[Delivery, ...] = ()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All deliveries of the call, in order."""
        return (self.delivery, *self.more)

    @property
    def ids(self) -> list[str]:
        """The ids of these deliveries, in order."""
        return [delivery.delivery_id for delivery in self.deliveries]

    @property
    def queue(self) -> Destination:
        """The queue of the call: that of its destination, or that of calls which are sent one at a time."""
        if not self.more:
            return self.destination if self.delivery.losses < SUSPECT else ALONE
        return ALONE if any(one.losses >= SUSPECT for one in self.deliveries) else self.destination

    @property
    def size(self) -> int:
        """Size of all bodies of the call, as :attr:`Delivery.size` counts it."""
        return self.delivery.size if not self.more else sum(one.size for one in self.deliveries)


class ByLoad(Generic[T]):
    """Candidates ordered by their number of calls in flight, the fewest first; equal ones take turns."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[dict[T, None]] = []

    def level(self, load: int) -> dict[T, None]:
        """Return the candidates with *load* calls in flight."""
        while len(self._levels) <= load:
            self._levels.append({})
        return self._levels[load]

    def __iter__(self) -> Iterator[T]:
        return itertools.chain.from_iterable(self._levels)

    def first(self) -> T | None:
        """Return the candidate with the fewest calls in flight; among equals, the one that waited longest."""
        for level in self._levels:
            if level:
                return next(iter(level))
        return None


class Place:
    """The calls of all projects to one destination, and the queues that wait because it is at its limit."""

    __slots__ = ("in_flight", "queues", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.queues = 0
        self.waiting: dict[Queue, None] = {}


class Queue:
    """The calls of one project to one destination, in order."""

    __slots__ = ("calls", "destination", "in_flight", "place", "project", "ready_at")

    def __init__(self, project: Project, destination: Destination, place: Place) -> None:
        self.project = project
        self.destination = destination
        self.place = place
        self.calls: deque[Call] = deque()
        self.in_flight = 0
        self.ready_at: dict[Queue, None] | None = None


class Project:
    """The queues of one project; ``ready``: those that could start a call, by promptness (see Scheduler).

    ``in_flight`` does not include the ``overdue`` ones.
    """

    __slots__ = ("bytes_in_flight", "in_flight", "name", "overdue", "queues", "ready", "ready_at")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: dict[Destination, Queue] = {}
        self.in_flight = 0
        self.overdue = 0
        self.bytes_in_flight = 0
        self.ready: dict[bool, ByLoad[Queue]] = {True: ByLoad(), False: ByLoad()}
        self.ready_at: dict[bool, dict[Project, None] | None] = {True: None, False: None}


# Bytes that a delivery occupies in addition to its texts.
OVERHEAD: Final = 2048
# Memory of an event as a multiple of the size of its JSON: the JSON and the objects parsed from it.
READ: Final = 5


class _Text:
    """A text that several deliveries share; referenced here so that its id is not reused."""

    __slots__ = ("project", "text", "uses")

    def __init__(self, text: str, project: str) -> None:
        self.text = text
        self.project = project
        self.uses = 0


class Holdings:
    """The deliveries held in memory, and their bytes, by project.

    At most *capacity* deliveries of about *max_bytes* in total are held, and for no project more than is
    still free. An event is counted once, however many deliveries contain it, because they share its text.

    Not thread-safe.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._held: dict[str, Delivery] = {}
        self._texts: dict[int, _Text] = {}
        self._items: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._total = 0

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._held

    def room(self) -> int:
        """Return how many more deliveries can be held."""
        return self._capacity - len(self._held)

    def free_bytes(self) -> int:
        """Return how many more bytes can be held."""
        return self._max_bytes - self._total

    def items(self, project: str) -> int:
        """Return how many deliveries of *project* are held."""
        return self._items[project]

    def full(self, project: str) -> bool:
        """Return True if *project* has used up its share of deliveries or of bytes."""
        return self._items[project] >= self.room() or self._bytes[project] >= max(1, self.free_bytes())

    def fits(self, deliveries: Iterable[Delivery]) -> bool:
        """Return True if there is room for *deliveries* of one project; if none are held, for any size."""
        added = 0
        project = ""
        for one in deliveries:
            project = one.project_id
            added += OVERHEAD + len(one.body)
            if one.notification.event_json and id(one.notification.event_json) not in self._texts:
                added += READ * len(one.notification.event_json)
        if self._items[project] >= self.room():
            return False
        return not self._held or self._bytes[project] + added <= self.free_bytes()

    def add(self, one: Delivery) -> None:
        """Hold a delivery; does nothing if it is held already."""
        if one.delivery_id in self._held:
            return
        self._held[one.delivery_id] = one
        self._items[one.project_id] += 1
        self._charge(one.project_id, OVERHEAD + len(one.body))
        text = one.notification.event_json
        if text:
            shared = self._texts.get(id(text))
            if shared is None:
                shared = self._texts[id(text)] = _Text(text, one.project_id)
                self._charge(one.project_id, READ * len(text))
            shared.uses += 1

    def discard(self, delivery_id: str) -> None:
        """Stop holding a delivery; does nothing if it is not held."""
        one = self._held.pop(delivery_id, None)
        if one is None:
            return
        self._items[one.project_id] -= 1
        text = one.notification.event_json
        if text:
            shared = self._texts[id(text)]
            shared.uses -= 1
            if not shared.uses:
                del self._texts[id(text)]
                self._charge(shared.project, -READ * len(text))
        self._charge(one.project_id, -OVERHEAD - len(one.body))
        for project in {one.project_id, shared.project if text else one.project_id}:
            if not self._items[project] and not self._bytes[project]:
                del self._items[project], self._bytes[project]

    def _charge(self, project: str, size: int) -> None:
        self._bytes[project] += size
        self._total += size
