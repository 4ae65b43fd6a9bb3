"""The options of the evaluator, and the results of a batch."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

from eventalarm.evaluator.batch_state import MOST_OBJECTS
from eventalarm.model import Event, Transition
from eventalarm.storage.events import EVENT_LENGTH


@dataclasses.dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of the evaluator; see ``eventalarm.conf`` for each."""

    types: tuple[str, ...]
    owner_traits: tuple[str, ...]
    resource_traits: tuple[str, ...]
    infrastructure_projects: tuple[str, ...]
    clear_mode: str
    record_history: bool
    max_candidates: int
    beside_aodh_listener: bool = False
    max_occurrences: int = MOST_OBJECTS
    max_event_size: int = EVENT_LENGTH
    max_transaction_size: int = 16 * 1024 * 1024
    max_batch_time: float = math.inf


@dataclasses.dataclass(slots=True)
class BatchReport:
    """The results of a batch: transitions, and counts by reason for metrics. Times are in seconds.

    ``put_off``: events to evaluate again later, since another session keeps one of their alarms locked.
    ``left``: events to evaluate again with the next batch, since their project had too many matches.
    """

    events: int = 0
    matches: int = 0
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    bad_traits: int = 0
    transitions: list[Transition] = dataclasses.field(default_factory=list)
    put_off: list[Event] = dataclasses.field(default_factory=list)
    left: list[Event] = dataclasses.field(default_factory=list)
    match_seconds: float = 0.0
    commit_seconds: float = 0.0

    def add(self, other: BatchReport) -> None:
        """Add the results of another part of the same batch."""
        self.events += other.events
        self.matches += other.matches
        self.reasons.update(other.reasons)
        self.bad_traits += other.bad_traits
        self.transitions += other.transitions
        self.put_off += other.put_off
        self.left += other.left
        self.match_seconds += other.match_seconds
        self.commit_seconds += other.commit_seconds
