"""What has been read of the window in which definitions changed lately, so that it need not be read again."""

from __future__ import annotations

import dataclasses
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
        self._spans: defaultdict[int, dict[str, int]] = defaultdict(dict)
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
        known = {
            alarm_id: (span, mark)
            for span, marks_of_span in self._spans.items()
            if span >= boundary
            for alarm_id, mark in marks_of_span.items()
        }
        for span in [span for span in self._spans if span >= boundary]:
            self._drop(span)
        news: set[str] = set()
        for alarm_id, span, mark in marks:
            before = self._span_of.get(alarm_id)
            if before is not None:
                del self._spans[before][alarm_id]
            self._spans[span][alarm_id] = mark
            self._span_of[alarm_id] = span
            if known.get(alarm_id) != (span, mark):
                news.add(alarm_id)
        return news

    def total(self, boundary: int) -> int:
        """Return the sum of the marks before span *boundary*."""
        return sum(sum(marks.values()) for span, marks in self._spans.items() if span < boundary)

    def _drop(self, span: int) -> None:
        for alarm_id in self._spans.pop(span):
            del self._span_of[alarm_id]


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What a look for changes found, and the window that the next look is to be given."""

    changes: Sequence[DefinitionChange]
    window: ChangeWindow
