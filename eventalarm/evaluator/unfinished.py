"""Events whose matches did not fit into one batch, and their remaining matches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eventalarm.evaluator.evaluation import Match
from eventalarm.model import Event

# The reason for which messages of such events are put off; they are resumed with the next batch.
LEFT: Final = "the rest of a batch"


class Unfinished:
    """Remaining matches by event object.

    Losing an entry is harmless: the event is matched again, and its earlier transitions are duplicates.
    """

    def __init__(self) -> None:
        # The matches refer to the event, so its id is not reused.
        self._left: dict[int, list[Match]] = {}
        self.steps = 0

    def of(self, event: Event) -> list[Match] | None:
        """Return the remaining matches of an event, or None if it must be matched."""
        left = self._left.get(id(event))
        return left if left and left[0].subject.event is event else None

    def keep(self, events: Iterable[Event], left: Iterable[Match], steps: int) -> None:
        """Replace the remaining matches of *events*; *steps* is the state of the clock that dated them."""
        self.steps = steps
        for event in events:
            self._left.pop(id(event), None)
        for match in left:
            self._left.setdefault(id(match.subject.event), []).append(match)

    def clear(self) -> None:
        """Forget all events, since their messages went back to the broker; thread-safe."""
        self._left.clear()
