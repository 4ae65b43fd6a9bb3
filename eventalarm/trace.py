"""Hooks that follow single events through the stages; they cost nothing while nobody watches."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from eventalarm.model import UTC, Event


class Stage(enum.StrEnum):
    """What has just happened to an event, in the order in which it happens."""

    GENERATED = "generated"
    PUBLISHED = "published"
    RECEIVED = "received"
    MATCHED = "matched"
    COMMITTED = "committed"
    SENT = "sent"
    ANSWERED = "answered"


class Trace(Protocol):
    """Someone who watches; called from many threads, must be quick and never raise."""

    def mark(self, stage: Stage, message_id: str) -> None:
        """Take note that *stage* is over, now, for the event *message_id*."""


def mark_all(trace: Trace | None, stage: Stage, events: Iterable[Event]) -> None:
    """Mark *stage* for each of *events*, if anybody watches."""
    if trace is not None:
        for event in events:
            trace.mark(stage, event.message_id)


# The event type of ``eventalarm-status check --canary``.
CANARY: Final = "eventalarm.canary"


class LastEvent:
    """Remembers when the last event came. One thread beats, any thread may look.

    :param clock: returns the present as an aware UTC datetime.
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC)) -> None:
        self._clock = clock
        self.last: datetime.datetime | None = None

    def note(self, events: Iterable[Event]) -> None:
        """Take note that *events* have come; canaries do not count."""
        if any(event.event_type != CANARY for event in events):
            self.last = self._clock()
