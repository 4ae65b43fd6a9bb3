"""Events of which a batch left matches to the next batches, since one project had too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eventalarm.evaluator.evaluation import Match
from eventalarm.model import Event

# What the messages of such events are put off for; it comes with the next batch.
LEFT: Final = "the rest of a batch"


class Unfinished:
    """Matches that are still to be settled, by event object.

    An entry is lost without harm: the event is then matched again, and what it did already is a duplicate.
    """

    def __init__(self) -> None:
        # The matches hold the event, so its id stays its own.
        self._left: dict[int, list[Match]] = {}

    def of(self, event: Event) -> list[Match] | None:
        """Return what is left of an event; None if nothing of it was settled yet."""
        left = self._left.get(id(event))
        return left if left and left[0].subject.event is event else None

    def keep(self, events: Iterable[Event], left: Iterable[Match]) -> None:
        """Replace what is left of the *events* of a batch by *left*."""
        for event in events:
            self._left.pop(id(event), None)
        for match in left:
            self._left.setdefault(id(match.subject.event), []).append(match)

    def clear(self) -> None:
        """Forget all events: their messages went back to the broker. From any thread."""
        self._left.clear()
