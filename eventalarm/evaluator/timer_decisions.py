"""What a due timer does to its alarm: decided on the rows that a transaction has locked."""

from __future__ import annotations

import datetime
from typing import Final

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.compiled_rule import CompiledRule, Definitions
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason, Situation, decide
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.objects_in_fault import AtLeast
from eventalarm.evaluator.outcome import Subject
from eventalarm.evaluator.time_constraints import within_time_constraints
from eventalarm.evaluator.timer_rules import recomputed, timer_event, timer_reason
from eventalarm.evaluator.timers import TimerState
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Alarm, Timer, TimerKind
from eventalarm.storage.column_types import to_key

# Seconds until a timer is retried that a time constraint or the database prevented from firing.
POSTPONED: Final = 60.0


def compiled_rule(definitions: Definitions, alarm: Alarm) -> CompiledRule | None:
    """Return the compiled rule of a ``notification`` alarm, or None if it has none that can be evaluated."""
    if alarm.definition.type != NOTIFICATION_TYPE:
        return None
    try:
        rule = definitions.rule(alarm.definition)
    except InvalidRule:
        return None
    return rule if isinstance(rule, CompiledRule) else None


class TimerDecisions:
    """Decides on due timers; *definitions* compiles the rules of their alarms."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def fire(
        self, state: BatchState, timer_state: TimerState, timer: Timer, now: datetime.datetime
    ) -> Reason:
        """Decide on a due timer at the time *now* (aware UTC), and apply the decision to the state."""
        alarm = state.alarms.get(timer.alarm_id)
        rule = compiled_rule(self._definitions, alarm) if alarm is not None and alarm.enabled else None
        if alarm is None or rule is None:
            timer_state.forget(timer)
            return Reason.DISABLED if alarm is not None else Reason.DELETED
        current = recomputed(timer, alarm.definition, rule)
        if current is None or current.kind is TimerKind.COUNT:
            timer_state.forget(timer)
            return Reason.NO_LONGER_MATCHES
        if current.due_at is None or current.due_at > timer_state.now:
            timer_state.put(current)
            return Reason.NO_LONGER_MATCHES
        if not within_time_constraints(alarm.time_constraints, now):
            timer_state.postpone(timer, POSTPONED)
            return Reason.OUTSIDE_TIME_CONSTRAINTS
        if rule.at_least is not None and timer.kind is TimerKind.OBJECTS:
            return self._evaluate_objects(state, timer_state, alarm, rule.at_least, current)
        decision = self._decide(state, timer_state, alarm, rule, timer)
        timer_state.fired(alarm.definition, rule, timer, decision, timer_event(timer, alarm.definition))
        return decision.reason

    def _evaluate_objects(
        self, state: BatchState, timer_state: TimerState, alarm: Alarm, at_least: AtLeast, timer: Timer
    ) -> Reason:
        """Decide on the objects of a group again, since the rule requires another number; or forget them."""
        group, rule = timer.managed_object, compiled_rule(self._definitions, alarm)
        objects = timer_state.objects(alarm.alarm_id, group, at_least)
        if rule is None or not objects.number:
            timer_state.forget(timer)
            return Reason.NO_LONGER_MATCHES
        verdict = objects.verdict(at_least)
        situation = self._situation(state, timer_state, alarm, rule, timer, verdict=verdict)
        decision = decide(situation)
        if decision.reason is Reason.REPEATED:
            # The alarm is raised already, and no event has matched.
            decision = Decision(Reason.ALREADY_RAISED)
        subject = _subject(timer, alarm, situation.event_time)
        reason = timer_reason(subject.event, alarm.definition)
        state.apply(alarm, subject, decision, verdict, reason=reason, objects=objects.names)
        timer_state.keep_objects(alarm.definition, group, objects, at_least)
        occurrence = state.occurrence(alarm.alarm_id, group)
        raised = occurrence is not None and occurrence.raised
        timer_state.follow(alarm.definition, rule, subject, verdict=verdict, decision=decision, raised=raised)
        return decision.reason

    def _decide(
        self, state: BatchState, timer_state: TimerState, alarm: Alarm, rule: CompiledRule, timer: Timer
    ) -> Decision:
        verdict = Verdict.MATCH if timer.kind is TimerKind.ABSENCE else Verdict.RECOVERED
        situation = self._situation(state, timer_state, alarm, rule, timer, verdict=verdict)
        decision = decide(situation)
        subject = _subject(timer, alarm, situation.event_time)
        reason = timer_reason(subject.event, alarm.definition)
        state.apply(alarm, subject, decision, verdict, reason=reason)
        return decision

    def _situation(
        self,
        state: BatchState,
        timer_state: TimerState,
        alarm: Alarm,
        rule: CompiledRule,
        timer: Timer,
        *,
        verdict: Verdict,
    ) -> Situation:
        place = timer.managed_object
        occurrence = state.occurrence(alarm.alarm_id, place)
        # Not newer than the latest event of the object, so that any later event of it is newer (G9).
        event_time = occurrence.event_time if occurrence is not None else timer.armed_at
        held = timer.kind in (TimerKind.CLEAR_AFTER, TimerKind.OBJECTS)
        subject = _subject(timer, alarm, event_time)
        return Situation(
            alarm=alarm,
            rule=rule,
            verdict=verdict,
            event_time=event_time,
            occurrence=occurrence,
            others_raised=state.others_raised(alarm.alarm_id, place),
            seen=state.seen(alarm.alarm_id, subject),
            in_time=True,
            clears=True,
            full=state.full(alarm.alarm_id),
            inhibited_by=state.inhibited_by(alarm, subject),
            others_silent=state.others_silent(alarm.alarm_id, place),
            holds=held and rule.timers.hold_down is not None,
            held=timer_state.held(alarm.alarm_id, place),
        )


def _subject(timer: Timer, alarm: Alarm, event_time: datetime.datetime) -> Subject:
    event = timer_event(timer, alarm.definition)
    return Subject(event, timer.managed_object, to_key(event.message_id), event_time)
