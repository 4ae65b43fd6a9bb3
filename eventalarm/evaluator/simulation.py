"""What an alarm would have done with past events: the evaluator's own decisions, on rows in memory.

Nothing is read or written. The alarm begins in its present form, raised on no object. Planned maintenance is
not simulated, nor are edits of the alarm.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Final

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.decide import Reason, clears
from eventalarm.evaluator.evaluation import Evaluation, EvaluationContext
from eventalarm.evaluator.event_rule import Watch
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.evaluator.matcher import subject_of, to_matches
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.options import MOST_OBJECTS, MOST_TRACKED
from eventalarm.evaluator.timer_decisions import TimerDecisions, compiled_rule
from eventalarm.evaluator.timer_rules import required_timers
from eventalarm.evaluator.timers import TimerState, is_timed
from eventalarm.model import EVENT_ALARM_TYPES, UNKNOWN, Alarm, AlarmDefinition, Event, Transition

# The most timers that fire. Outside of time constraints a timer fires again every minute.
MOST_TIMERS: Final = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class PastEvent:
    """An event, and when it was evaluated (aware UTC)."""

    event: Event
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SimulationOptions:
    """The options of the listeners that decisions depend on; ``max_clock_skew`` is in seconds."""

    resource_traits: tuple[str, ...]
    clear_mode: str
    max_occurrences: int = MOST_OBJECTS
    max_objects: int = MOST_TRACKED
    max_clock_skew: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """The transitions that would have been made, in order, and the number of decisions by reason.

    ``matched`` is the number of events that concerned the alarm. ``ended_at`` is None unless so many timers
    fired that the simulation ended there.
    """

    transitions: list[Transition]
    reasons: Counter[str]
    matched: int
    ended_at: datetime.datetime | None = None


class _OneRule:
    """The one rule of a simulation, compiled once."""

    def __init__(self, definition: AlarmDefinition, resource_traits: tuple[str, ...]) -> None:
        self._rule = compile_definition(definition, resource_traits)

    def rule(self, definition: AlarmDefinition) -> Watch:
        """Return the rule."""
        return self._rule

    def forget(self, project_id: str, alarm_id: str) -> None:
        """Do nothing: the alarm of a simulation neither ends nor moves."""


class Simulation:
    """One alarm with a rule, to which events happen in the order of their times.

    :param alarm: evaluated as if it were enabled.
    :param begin: when the alarm begins to exist, aware UTC, not later than the first event.
    :raises InvalidRule: when the rule cannot be evaluated.
    """

    def __init__(self, alarm: Alarm, options: SimulationOptions, begin: datetime.datetime) -> None:
        self._alarm = dataclasses.replace(alarm, enabled=True, state=UNKNOWN)
        self._options = options
        definition = alarm.definition
        definitions = _OneRule(definition, options.resource_traits)
        self._index = ProjectIndex()
        rule = definitions.rule(definition)
        self._index.add(alarm.alarm_id, rule, clears(options.clear_mode, definition))
        self._evaluation = Evaluation(
            definitions,
            types=EVENT_ALARM_TYPES,
            clear_mode=options.clear_mode,
            max_tracked=options.max_objects,
        )
        self._timer_decisions = TimerDecisions(definitions)
        self._state = BatchState(
            {alarm.alarm_id: self._alarm}, {}, {}, set(), now=begin, limit=options.max_occurrences
        )
        self._timers = TimerState((), begin)
        self._timers.bound({}, (), options.max_occurrences)
        puts, _ = required_timers(self._alarm, compiled_rule(definitions, self._alarm), (), (), begin)
        for timer in puts:
            self._timers.put(timer)
        self._reasons: Counter[str] = Counter()
        self._matched = self._fired = 0

    def run(self, events: Iterable[PastEvent], until: datetime.datetime) -> Simulated:
        """Evaluate *events* and all timers that are due before *until*, and return the results."""
        ended_at = None
        for past in events:
            if not self._fire_timers(past.at):
                ended_at = past.at
                break
            self._evaluate(past)
        else:
            ended_at = None if self._fire_timers(until) else until
        return Simulated(self._state.outcome().transitions, self._reasons, self._matched, ended_at)

    def _evaluate(self, past: PastEvent) -> None:
        now, event = past.at, past.event
        candidates = self._index.candidates(event, now)
        if not candidates:
            return
        self._matched += 1
        self._advance(now)
        event_time = event.time(now, datetime.timedelta(seconds=self._options.max_clock_skew))
        about = subject_of(event, event_time, self._options.resource_traits)
        timers = self._timers if is_timed(self._alarm.definition) else None
        context = EvaluationContext(self._state, timers, now, self._reasons)
        for match in to_matches(candidates, self._alarm.definition.project_id, about):
            self._reasons[self._evaluation(context, match)] += 1

    def _fire_timers(self, moment: datetime.datetime) -> bool:
        """Fire the timers that are due until *moment*, in order; return False if they are too many."""
        while due := self._timers.due(moment):
            if self._fired >= MOST_TIMERS:
                return False
            self._fired += 1
            timer = due[0]
            now = timer.due_at or moment
            self._advance(now)
            reason = self._timer_decisions.fire(self._state, self._timers, timer, now)
            if reason is not Reason.NO_LONGER_MATCHES:
                self._reasons[reason] += 1
        return True

    def _advance(self, now: datetime.datetime) -> None:
        self._state.now = self._timers.now = now
