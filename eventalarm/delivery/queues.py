"""Queues of calls, one for each project and destination; the scheduler chooses among them. Pure."""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from eventalarm.delivery.senders.base import Destination
from eventalarm.model import Delivery

T = TypeVar("T")

# Losses (see Delivery.losses) from which on a delivery is sent alone.
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
        """Where it waits: with the others to its destination, or with those that are sent one at a time."""
        if not self.more:
            return self.destination if self.delivery.losses < SUSPECT else ALONE
        return ALONE if any(one.losses >= SUSPECT for one in self.deliveries) else self.destination

    @property
    def size(self) -> int:
        """Bytes of all that the call sends."""
        return self.delivery.size if not self.more else sum(one.size for one in self.deliveries)


class ByLoad(Generic[T]):
    """Candidates by how many calls each has under way: the fewest first, and among equals in turn."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[dict[T, None]] = []

    def level(self, load: int) -> dict[T, None]:
        """Return the candidates with *load* calls under way."""
        while len(self._levels) <= load:
            self._levels.append({})
        return self._levels[load]

    def __iter__(self) -> Iterator[T]:
        return itertools.chain.from_iterable(self._levels)

    def first(self) -> T | None:
        """Return the candidate with the fewest calls under way that has waited longest."""
        for level in self._levels:
            if level:
                return next(iter(level))
        return None


class Place:
    """All calls to one destination, with those of its queues that wait because its limit is reached."""

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
    """The queues of one project; ``ready``: those that could start a call, by promptness (see Scheduler)."""

    __slots__ = ("bytes_in_flight", "in_flight", "name", "queues", "ready", "ready_at")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: dict[Destination, Queue] = {}
        self.in_flight = 0
        self.bytes_in_flight = 0
        self.ready: dict[bool, ByLoad[Queue]] = {True: ByLoad(), False: ByLoad()}
        self.ready_at: dict[bool, dict[Project, None] | None] = {True: None, False: None}
