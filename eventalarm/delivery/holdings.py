"""The deliveries that a process holds in memory, and their bytes, by project. Pure.

An event is counted once, however many deliveries contain it: they share its text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from eventalarm.model import Delivery

# Bytes that a delivery takes besides its texts.
OVERHEAD: Final = 2048
# How many times the size of its JSON an event takes: the JSON itself, and the objects parsed from it.
READ: Final = 5


class _Text:
    """A text that several deliveries share; referenced here so that its id is not reused."""

    __slots__ = ("project", "text", "uses")

    def __init__(self, text: str, project: str) -> None:
        self.text = text
        self.project = project
        self.uses = 0


class Holdings:
    """Up to *capacity* deliveries of about *max_bytes*; no project holds more than it leaves free.

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
        """Return True if *project* has its share of deliveries or of bytes."""
        return self._items[project] >= self.room() or self._bytes[project] >= max(1, self.free_bytes())

    def fits(self, deliveries: Iterable[Delivery]) -> bool:
        """Return True if *deliveries*, of one project, may be held too; always if nothing is held."""
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
        """Hold a delivery no longer; does nothing if it is not held."""
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
