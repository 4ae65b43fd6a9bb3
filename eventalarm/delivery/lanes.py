"""Who is next: deliveries in memory, one lane for each destination, fair between them. Pure.

Two rules keep a slow destination from taking what the others need. Each bound, of memory and of calls under
way, is shared by leaving room: a destination may hold at most as much as is still free, so that N slow ones
together leave 1/(N+1) of it. And a quarter of the calls is kept for destinations whose last call was
prompt, so that even hundreds of slow ones leave the known good ones alone.
"""

from __future__ import annotations

import dataclasses
from collections import deque

import cachetools

from eventalarm.delivery.ports import Destination
from eventalarm.model import Delivery

REMEMBERED = 4096
RESERVED_SHARE = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery in our hands: leased to *owner*, going to *destination*; *more* travel in the same pack."""

    owner: str
    delivery: Delivery
    destination: Destination
    more: tuple[Delivery, ...] = ()

    @property
    def letters(self) -> tuple[Delivery, ...]:
        """Everything that travels together, in order."""
        return (self.delivery, *self.more)


class _Lane:
    __slots__ = ("in_flight", "queue", "ready_at")

    def __init__(self) -> None:
        self.queue: deque[Parcel] = deque()
        self.in_flight = 0
        self.ready_at: dict[Destination, _Lane] | None = None


class Lanes:
    """Holds up to *capacity* parcels, from ``put`` to ``forget``, and lets *concurrency* of them run.

    Not safe to share between threads: it lives in the event loop.
    """

    def __init__(self, capacity: int, concurrency: int) -> None:
        self._capacity = capacity
        self._free = concurrency
        self._reserve = concurrency // RESERVED_SHARE
        self._lanes: dict[Destination, _Lane] = {}
        self._held: set[str] = set()
        self._prompt: cachetools.LRUCache[Destination, bool] = cachetools.LRUCache(REMEMBERED)
        # Lanes that could start a call, by promptness and by calls under way; fewest first, then in turn.
        self._ready: dict[bool, list[dict[Destination, _Lane]]] = {True: [], False: []}

    def room(self) -> int:
        """Return how many more parcels can be held."""
        return self._capacity - len(self._held)

    def holds(self, delivery_id: str) -> bool:
        """Tell whether the delivery is in our hands."""
        return delivery_id in self._held

    def full(self, destination: Destination) -> bool:
        """Tell whether the destination has its share of memory."""
        lane = self._lanes.get(destination)
        return (len(lane.queue) if lane else 0) >= self.room()

    def put(self, parcel: Parcel) -> bool:
        """Queue a parcel; False when its destination has its share of memory already."""
        if parcel.delivery.delivery_id in self._held:
            return True
        if self.full(parcel.destination):
            return False
        self.reserve(parcel)
        lane = self._lanes.setdefault(parcel.destination, _Lane())
        lane.queue.append(parcel)
        self._file(parcel.destination, lane)
        return True

    def reserve(self, parcel: Parcel) -> None:
        """Hold a parcel that is queued elsewhere."""
        self._held.add(parcel.delivery.delivery_id)
        if parcel.more:
            self._held.update(letter.delivery_id for letter in parcel.more)

    def take(self) -> Parcel | None:
        """Return the next parcel to send, None when nothing may start now."""
        choices = [
            choice
            for prompt in (True, False)
            if (choice := self._fewest(prompt)) and choice[1].in_flight < self._available(prompt)
        ]
        if not choices:
            return None
        destination, lane = min(choices, key=lambda choice: choice[1].in_flight)
        parcel = lane.queue.popleft()
        lane.in_flight += 1
        self._free -= 1
        self._file(destination, lane)
        return parcel

    def finished(self, parcel: Parcel, *, prompt: bool) -> None:
        """The call of a taken parcel ended, *prompt* or not; it is still held until ``forget``."""
        lane = self._lanes[parcel.destination]
        lane.in_flight -= 1
        self._free += 1
        self._prompt[parcel.destination] = prompt
        self._file(parcel.destination, lane)

    def forget(self, parcel: Parcel) -> None:
        """The parcel is out of our hands."""
        self._held.discard(parcel.delivery.delivery_id)
        if parcel.more:
            self._held.difference_update(letter.delivery_id for letter in parcel.more)

    def clear(self) -> list[Parcel]:
        """Take out and forget everything that was not taken yet."""
        parcels: list[Parcel] = []
        for destination, lane in list(self._lanes.items()):
            parcels.extend(lane.queue)
            lane.queue.clear()
            self._file(destination, lane)
        for parcel in parcels:
            self.forget(parcel)
        return parcels

    def _available(self, prompt: bool) -> int:
        return self._free if prompt else self._free - self._reserve

    def _fewest(self, prompt: bool) -> tuple[Destination, _Lane] | None:
        for lanes in self._ready[prompt]:
            if lanes:
                return next(iter(lanes.items()))
        return None

    def _file(self, destination: Destination, lane: _Lane) -> None:
        """Put the lane where ``take`` looks for it, behind those that wait already."""
        ready = bool(lane.queue) and lane.in_flight < destination.limit
        place = None
        if ready:
            places = self._ready[self._prompt.get(destination, False)]
            while len(places) <= lane.in_flight:
                places.append({})
            place = places[lane.in_flight]
        if lane.ready_at is not None and lane.ready_at is not place:
            del lane.ready_at[destination]
        lane.ready_at = place
        if place is not None:
            place.setdefault(destination, lane)
        elif not lane.queue and not lane.in_flight:
            del self._lanes[destination]
