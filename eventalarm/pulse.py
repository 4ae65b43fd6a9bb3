"""The sign that events arrive: when the last one was taken from the bus, our own test events left out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Final

from eventalarm.model import UTC, Event

# The event type of ``eventalarm-status check --canary``.
CANARY: Final = "eventalarm.canary"


class Pulse:
    """Remembers when the last event came. One thread beats, any thread may look.

    :param clock: returns the present as an aware UTC datetime.
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC)) -> None:
        self._clock = clock
        self.last: datetime.datetime | None = None

    def beat(self, events: Iterable[Event]) -> None:
        """Take note that *events* have come; canaries do not count."""
        if any(event.event_type != CANARY for event in events):
            self.last = self._clock()
