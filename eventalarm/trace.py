"""The hook for watching single events pass through the stages; it costs nothing while nobody watches."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

from eventalarm.model import Event


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
