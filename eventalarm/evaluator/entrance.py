"""Where the messages of partitions arrive: markers are noted, and messages that must wait are held back."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from eventalarm.bus import PRIORITY, marker_of
from eventalarm.evaluator.consumer_control import routing_key
from eventalarm.evaluator.partition_plan import Gate

# Takes messages to evaluate, in their order.
Accept = Callable[[Sequence[Any]], None]


class Entrance:
    """Passes messages on to *accept*; thread-safe.

    :param gated: the topics whose messages wait for :meth:`advance`.
    :param is_idle: returns True if every message that was passed on is evaluated.
    """

    def __init__(self, gated: Collection[str], accept: Accept, is_idle: Callable[[], bool]) -> None:
        self._gated = frozenset(gated)
        self._accept = accept
        self._is_idle = is_idle
        self._lock = threading.RLock()
        self._gate = Gate()
        self._markers: set[str] = set()
        # When a message last arrived on each topic (monotonic seconds).
        self.arrivals: dict[str, float] = {}

    def enter(self, incoming: Sequence[Any]) -> None:
        """Take the messages that arrived together."""
        with self._lock:
            now = time.monotonic()
            gated: list[Any] = []
            others: list[Any] = []
            for message in incoming:
                if (marker := marker_of(message.message)) is not None:
                    self._markers.add(marker)
                    message.acknowledge()
                    continue
                topic = routing_key(message).removesuffix(f".{PRIORITY}")
                self.arrivals[topic] = now
                (gated if topic in self._gated else others).append(message)
            self._accept([*others, *self._gate.admit(gated)])

    def mark(self) -> None:
        """Note which gated messages have arrived; called before the database's clock is read."""
        with self._lock:
            self._gate.mark()

    def advance(self, now: datetime.datetime, settled: datetime.datetime | None, *, idle: bool) -> None:
        """Pass on gated messages up to *settled*, as :meth:`Gate.advance` says."""
        with self._lock:
            self._accept(self._gate.advance(now, settled, idle=idle))

    def take_evaluated_markers(self) -> set[str]:
        """Remove and return the markers that arrived, if every message before them is evaluated."""
        with self._lock:
            if not self._is_idle():
                return set()
            found, self._markers = self._markers, set()
            return found

    def clear(self) -> list[Any]:
        """Remove and return the messages that are held, and forget the markers: all go back to the broker."""
        with self._lock:
            # What arrived before the markers comes again.
            self._markers.clear()
            return self._gate.clear()
