"""Finds the alarms that the events of a batch may change, from the cached definitions."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Final

from eventalarm.evaluator.batch import BatchReport, Unfinished
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Match, on_object
from eventalarm.evaluator.index import Candidate
from eventalarm.evaluator.options import EngineOptions
from eventalarm.evaluator.outcome import Subject
from eventalarm.exceptions import Retryable
from eventalarm.log_fields import fields
from eventalarm.model import Event
from eventalarm.owner import Owners
from eventalarm.storage.clock import SET_BACK_WITHIN
from eventalarm.storage.column_types import KEY_LENGTH, to_key
from eventalarm.storage.database import Database

LOG = logging.getLogger(__name__)

# The number of matches of one project beyond which its remaining events wait for the next batch. It bounds
# memory.
ENOUGH: Final = 20_000


@dataclasses.dataclass(slots=True)
class _Draft:
    """The matches found so far.

    ``bounded``: whether the number of matches of a project is limited. ``new`` counts the matches that are
    not from an earlier batch. ``left`` are the events for the next batch, and ``crowds`` the projects that
    have reached the limit.
    """

    bounded: bool
    matches: list[Match] = dataclasses.field(default_factory=list)
    new: int = 0
    left: list[Event] = dataclasses.field(default_factory=list)
    failures: list[tuple[Event, Exception]] = dataclasses.field(default_factory=list)
    crowds: set[str] = dataclasses.field(default_factory=set)
    _sizes: Counter[str] = dataclasses.field(default_factory=Counter)

    def take(self, found: list[Match]) -> None:
        """Add the matches of one event, and note the projects that reach the limit."""
        self.matches.extend(found)
        if self.bounded:
            for match in found:
                self._sizes[match.project_id] += 1
                if self._sizes[match.project_id] >= ENOUGH:
                    self.crowds.add(match.project_id)

    def leave(self, event: Event, projects: tuple[str, ...]) -> None:
        """Leave an event, and all later events of its projects, for the next batch."""
        self.crowds.update(projects)
        self.left.append(event)


class EventMatcher:
    """Matches events with the cached definitions. Not thread-safe.

    ``clock_jumps`` is the number of jumps of the database's clock that were known at the latest match; if it
    has changed since, the event times of the matches must be computed again.

    :param unfinished: events that were matched in an earlier batch and have matches left to settle.
    :param clock: returns the current time as an aware UTC datetime.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        options: EngineOptions,
        unfinished: Unfinished,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._database = database
        self._cache = cache
        self._options = options
        self._unfinished = unfinished
        self._owners = Owners(options.owner_traits)
        self._clock = clock
        self.clock_jumps = 0

    def match(self, events: Iterable[Event], report: BatchReport) -> list[Match]:
        """Return the matches of *events* in the order of their times, and add the counts to *report*.

        An event that cannot be matched is logged, counted and skipped. Events of a project with too many
        matches are added to ``report.left``.

        :raises Retryable: when the definitions cannot be loaded; calling again is safe.
        """
        now = self._clock()
        self.clock_jumps = self._database.clock.jumps
        arrived = list(events)
        draft = self._draft(arrived, now)
        if draft.crowds:
            # Oldest first: the alarms of a project must be evaluated in the order of its events.
            draft = self._draft(sorted(arrived, key=lambda event: self.time_of(event, now)), now, leave=True)
        for event, exc in draft.failures:
            report.reasons["unmatchable"] += 1
            name = event.message_id[:255]
            LOG.error(
                "Event %s cannot be matched and is skipped", name, exc_info=exc, extra=fields(event_id=name)
            )
        left = set(map(id, draft.left))
        for event in arrived:
            if event.bad_traits and id(event) not in left:
                report.bad_traits += len(event.bad_traits)
                bad = ", ".join(event.bad_traits[:5])[:300]
                name = event.message_id[:255]
                LOG.warning("Event %s: ignored unreadable traits: %s", name, bad, extra=fields(event_id=name))
        report.matches += draft.new
        report.left.extend(draft.left)
        if len(draft.matches) > 1:
            draft.matches.sort(key=lambda m: m.subject.event_time)
        return draft.matches

    def time_of(self, event: Event, now: datetime.datetime) -> datetime.datetime:
        """Return the time of an event that is received *now*.

        It may be in the future by as much as nodes of the database differ, and as the database's clock was
        set back: else the next event about an object would be older than the last one, and ignored as late.
        """
        ahead = self._options.max_clock_skew + self._database.clock.set_back(SET_BACK_WITHIN)
        return event.time(now, datetime.timedelta(seconds=ahead))

    def _draft(self, events: Iterable[Event], now: datetime.datetime, *, leave: bool = False) -> _Draft:
        """Match *events* in the given order.

        Stop at the first project that reaches the limit; or, with *leave*, leave the further events of such
        projects for the next batch and continue.
        """
        draft = _Draft(math.isfinite(self._options.max_batch_time))
        for event in events:
            try:
                projects = self.projects(event)
                if draft.crowds and not draft.crowds.isdisjoint(projects):
                    draft.leave(event, projects)
                    continue
                found = self._matches_left(event, now)
                if found is None:
                    found = self._matches_of(event, projects, now)
                    draft.new += len(found)
            except Retryable:
                raise
            except Exception as exc:  # noqa: BLE001 - logged and counted by match
                draft.failures.append((event, exc))
                continue
            if found:
                draft.take(found)
                if draft.crowds and not leave:
                    break
        return draft

    def _matches_left(self, event: Event, now: datetime.datetime) -> list[Match] | None:
        left = self._unfinished.of(event)
        if left is None or self._database.clock.jumps == self._unfinished.clock_jumps:
            return left
        return [at_time(match, self.time_of(event, now)) for match in left]

    def _matches_of(self, event: Event, projects: tuple[str, ...], now: datetime.datetime) -> list[Match]:
        matches: list[Match] = []
        for project_id in projects:
            candidates = self._cache.project(project_id).candidates(event, now)
            if candidates:
                event_time = self.time_of(event, now)
                about = subject_of(event, event_time, self._options.resource_traits)
                matches += to_matches(candidates, project_id, about)
        return matches

    def projects(self, event: Event) -> tuple[str, ...]:
        """Return the projects whose alarms an event may concern.

        An event without an owner concerns the infrastructure projects.
        """
        owner = self._owners.of(event)
        if len(owner) > KEY_LENGTH:
            # No project has such a long id, and an event that names an owner is not an infrastructure event.
            return ()
        return (owner,) if owner else ("", *self._options.infrastructure_projects)


def subject_of(event: Event, event_time: datetime.datetime, resource_traits: Collection[str]) -> Subject:
    """Return what a rule evaluates that does not determine the managed object itself."""
    managed_object = to_key(event.first_trait(resource_traits))
    return Subject(event, managed_object, to_key(event.message_id), event_time)


def to_matches(candidates: Iterable[Candidate], project_id: str, about: Subject) -> list[Match]:
    """Return the matches of an event from the alarms that the index of a project has found."""
    found = []
    for c in candidates:
        subject = about if c.managed_object is None else on_object(about, c.managed_object)
        found.append(Match(c.alarm_id, project_id, c.verdict, subject, c.timed))
    return found


def at_time(match: Match, event_time: datetime.datetime) -> Match:
    """Return *match* with another event time (aware UTC)."""
    return dataclasses.replace(match, subject=dataclasses.replace(match.subject, event_time=event_time))
