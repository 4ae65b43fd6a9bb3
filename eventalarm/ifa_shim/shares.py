"""Slots for slow work that tenants cause, shared between projects."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from eventalarm.exceptions import EventAlarmError

T = TypeVar("T")


class NoPlace(EventAlarmError):
    """Every slot that the project may use is taken."""


class Places:
    """*limit* slots; a project may hold as many as are still free. Safe between threads."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, project: str) -> Iterator[None]:
        """Hold a slot for *project*.

        :raises NoPlace: at once, when none is free for it.
        """
        with self._lock:
            if self._held[project] >= self._free:
                raise NoPlace("no slot is free")
            self._free -= 1
            self._held[project] += 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[project] -= 1
                if not self._held[project]:
                    del self._held[project]


def in_turn(items: Iterable[T], project: Callable[[T], str]) -> list[T]:
    """Return *items* round robin: each project's first item before any second one, otherwise in order."""
    turns: defaultdict[str, int] = defaultdict(int)
    placed: list[tuple[int, T]] = []
    for item in items:
        placed.append((turns[project(item)], item))
        turns[project(item)] += 1
    return [item for _, item in sorted(placed, key=lambda one: one[0])]
