"""What has been read of the window in which definitions changed lately, so that it need not be read again."""

from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from eventalarm.model import DefinitionChange


class Mark(NamedTuple):
    """That an alarm changed within a span of time; ``mark`` is a number made of its id and the moment."""

    alarm_id: str
    span: int
    mark: int


class ChangeWindow:
    """Each alarm that changed lately, in the span of its newest change. Not to be shared between threads."""

    def __init__(self) -> None:
        self._spans: defaultdict[int, dict[str, Mark]] = defaultdict(dict)
        self._span_of: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many alarms changed."""
        return len(self._span_of)

    def leave(self, first: int) -> None:
        """Forget what changed before span *first*."""
        for span in [span for span in self._spans if span < first]:
            self._drop(span)

    def replace(self, boundary: int, marks: Iterable[Mark]) -> set[str]:
        """Take in everything that changed in span *boundary* and later, which is *marks* and nothing else.

        Return the ids of those that were not known as they are now.
        """
        known: dict[str, Mark] = {}
        for span in [span for span in self._spans if span >= boundary]:
            known |= self._drop(span)
        news: set[str] = set()
        for mark in marks:
            before = self._span_of.get(mark.alarm_id)
            if before is not None:
                del self._spans[before][mark.alarm_id]
            self._spans[mark.span][mark.alarm_id] = mark
            self._span_of[mark.alarm_id] = mark.span
            if known.get(mark.alarm_id) != mark:
                news.add(mark.alarm_id)
        return news

    def total(self, boundary: int) -> int:
        """Return the sum of the marks before span *boundary*."""
        earlier = [marks for span, marks in self._spans.items() if span < boundary]
        return sum(one.mark for marks in earlier for one in marks.values())

    def _drop(self, span: int) -> dict[str, Mark]:
        dropped = self._spans.pop(span)
        for alarm_id in dropped:
            del self._span_of[alarm_id]
        return dropped


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What a look for changes found, and the window that the next look is to be given.

    ``now`` is the database's clock when it looked.
    """

    changes: Sequence[DefinitionChange]
    window: ChangeWindow
    now: datetime.datetime | None = None
