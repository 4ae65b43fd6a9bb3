"""One batch of events: its division into transactions, its unfinished events, and its results."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.evaluator.evaluation import Match
from eventalarm.model import Event, Transition


@dataclasses.dataclass(slots=True)
class BatchReport:
    """The results of a batch: transitions, and counts by reason for metrics. Times are in seconds.

    ``deferred``: events to pass again later, since another session keeps one of their alarms locked.
    ``left``: events to pass again with the next batch, since their project had too many matches.
    """

    events: int = 0
    matches: int = 0
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    bad_traits: int = 0
    transitions: list[Transition] = dataclasses.field(default_factory=list)
    deferred: list[Event] = dataclasses.field(default_factory=list)
    left: list[Event] = dataclasses.field(default_factory=list)
    match_seconds: float = 0.0
    commit_seconds: float = 0.0

    def add(self, other: BatchReport) -> None:
        """Add the results of another part of the batch."""
        self.events += other.events
        self.matches += other.matches
        self.reasons.update(other.reasons)
        self.bad_traits += other.bad_traits
        self.transitions += other.transitions
        self.deferred += other.deferred
        self.left += other.left
        self.match_seconds += other.match_seconds
        self.commit_seconds += other.commit_seconds


# The reason why messages of unfinished events are deferred; they are resumed with the next batch.
LEFT: Final = "the rest of a batch"


class Unfinished:
    """Events whose matches did not fit into one batch: the remaining matches, by event object.

    Losing an entry is harmless: the event is matched again, and what it has already changed is a duplicate.
    """

    def __init__(self) -> None:
        # The matches refer to the event, so its id is not reused.
        self._left: dict[int, list[Match]] = {}
        self.clock_jumps = 0

    def of(self, event: Event) -> list[Match] | None:
        """Return the remaining matches of an event, or None if it must be matched."""
        left = self._left.get(id(event))
        return left if left and left[0].subject.event is event else None

    def keep(self, events: Iterable[Event], left: Iterable[Match], clock_jumps: int) -> None:
        """Replace the remaining matches of *events*; *clock_jumps* is the number by which they were dated."""
        self.clock_jumps = clock_jumps
        for event in events:
            self._left.pop(id(event), None)
        for match in left:
            self._left.setdefault(id(match.subject.event), []).append(match)

    def clear(self) -> None:
        """Forget all events, since their messages were returned to the broker; thread-safe."""
        self._left.clear()


# The number of matches that one transaction settles without a noticeable delay for others.
MODERATE: Final = 500


def divide(matches: Sequence[Match], size: int) -> tuple[list[list[Match]], list[list[Match]]]:
    """Divide *matches* into lists of up to *size*: those to settle at once, and those to settle in turns.

    The matches of a project stay in order. If there are more than MODERATE, the projects that have no more
    than their share of MODERATE are settled at once. The others take turns: in each turn, every project
    settles an equal part of MODERATE matches. So an event that concerns thousands of alarms of one project
    delays other projects by one turn at most.
    """
    if len(matches) <= MODERATE:
        return _chunks(matches, size), []
    counts = Counter(match.project_id for match in matches)
    share = max(1, MODERATE // len(counts))
    light = [match for match in matches if counts[match.project_id] <= share]
    heavy: dict[str, list[Match]] = {}
    for match in matches:
        if counts[match.project_id] > share:
            heavy.setdefault(match.project_id, []).append(match)
    return _chunks(light, size), list(_turns(list(heavy.values()), size))


def _turns(projects: Sequence[list[Match]], size: int) -> list[list[Match]]:
    part = max(1, MODERATE // max(1, len(projects)))
    most = max(map(len, projects), default=0)
    turns: list[list[Match]] = []
    for start in range(0, most, part):
        turn = [match for project in projects for match in project[start : start + part]]
        turns += _chunks(turn, size)
    return turns


def _chunks(matches: Sequence[Match], size: int) -> list[list[Match]]:
    return [list(matches[start : start + size]) for start in range(0, len(matches), size)]
