"""Evaluation of a match under the lock of its alarm: the current rule decides, and the state changes."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.compiled_rule import CompiledRule, Definitions
from eventalarm.evaluator.decide import Decision, Reason, Situation, clears, decide
from eventalarm.evaluator.event_rule import Verdict, Watch
from eventalarm.evaluator.match_count import Counting, count_match
from eventalarm.evaluator.objects_in_fault import AtLeast, decide_for_group
from eventalarm.evaluator.options import MOST_TRACKED
from eventalarm.evaluator.outcome import Subject
from eventalarm.evaluator.time_constraints import within_time_constraints
from eventalarm.evaluator.timers import PAST, TimerState
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Alarm
from eventalarm.storage.column_types import to_key


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """An alarm that an event may change, according to the cached definitions; ``timed``: it has timers."""

    alarm_id: str
    project_id: str
    verdict: Verdict
    subject: Subject
    timed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluationContext:
    """The state that the matches of one transaction share; ``reasons`` counts further observations."""

    state: BatchState
    timer_state: TimerState | None
    now: datetime.datetime
    reasons: Counter[str]


class Evaluation:
    """Settles matches with the rows that their transaction has locked.

    :param types: the alarm types that eventalarm evaluates.
    :param clear_mode: which ``event`` alarms clear, see :func:`eventalarm.evaluator.decide.clears`.
    :param max_tracked: the maximum number of objects of one group that are tracked for ``at_least``.
    """

    def __init__(
        self,
        definitions: Definitions,
        *,
        types: Collection[str],
        clear_mode: str,
        max_tracked: int = MOST_TRACKED,
    ) -> None:
        self._definitions = definitions
        self._types = types
        self._clear_mode = clear_mode
        self._max_tracked = max_tracked

    def __call__(self, context: EvaluationContext, match: Match) -> Reason:
        """Decide on a match, apply the decision to the batch state, and return its reason."""
        alarm = context.state.alarms.get(match.alarm_id)
        gone = None
        if alarm is None:
            gone = Reason.DELETED
        elif not alarm.enabled or alarm.definition.type not in self._types:
            gone = Reason.DISABLED
        elif alarm.definition.project_id != match.project_id:
            gone = Reason.MOVED
        if alarm is None or gone is not None:
            self._definitions.forget(match.project_id, match.alarm_id)
            return gone or Reason.DELETED
        try:
            rule = self._definitions.rule(alarm.definition)
        except InvalidRule:
            return Reason.BAD_RULE
        event = match.subject.event
        verdict = rule.verdict(event, context.now) if rule.watches(event.event_type) else Verdict.NOTHING
        if not isinstance(rule, CompiledRule):
            return self._decide(context, alarm, rule, match.subject, verdict)
        if rule.at_least is not None and context.timer_state is not None:
            return self._settle_object(
                context,
                alarm,
                rule,
                match.subject,
                verdict,
                at_least=rule.at_least,
                timer_state=context.timer_state,
            )
        return self._settle_notification(context, alarm, rule, match.subject, verdict)

    def _decide(
        self, context: EvaluationContext, alarm: Alarm, rule: Watch, subject: Subject, verdict: Verdict
    ) -> Reason:
        decision = decide(self._situation(context, alarm, rule, subject, verdict))
        context.state.apply(alarm, subject, decision, verdict)
        return decision.reason

    def _situation(
        self, context: EvaluationContext, alarm: Alarm, rule: Watch, subject: Subject, verdict: Verdict
    ) -> Situation:
        state, place = context.state, subject.managed_object
        return Situation(
            alarm=alarm,
            rule=rule,
            verdict=verdict,
            event_time=subject.event_time,
            occurrence=state.occurrence(alarm.alarm_id, place),
            others_raised=state.others_raised(alarm.alarm_id, place),
            seen=state.seen(alarm.alarm_id, subject),
            in_time=within_time_constraints(alarm.time_constraints, context.now),
            clears=clears(self._clear_mode, alarm.definition),
            full=state.full(alarm.alarm_id),
            inhibited_by=state.inhibited_by(alarm, subject),
            others_silent=state.others_silent(alarm.alarm_id, place),
        )

    def _settle_notification(
        self,
        context: EvaluationContext,
        alarm: Alarm,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
        *,
        whole_alarm: bool = False,
    ) -> Reason:
        """Settle a match of a ``notification`` alarm; for *whole_alarm* see :meth:`TimerState.follow`."""
        state, timer_state = context.state, context.timer_state
        severity = _severity(context, rule, subject, verdict)
        counting = _count(context, alarm, rule, subject, verdict)
        if counting is not None:
            subject = dataclasses.replace(subject, event_time=counting.event_time)
        situation = self._notification_situation(
            context, alarm, rule, subject, verdict, severity=severity, counting=counting
        )
        decision = decide(situation)
        state.apply(alarm, subject, decision, verdict, severity=severity)
        if timer_state is None:
            return decision.reason
        awaited = timer_state.follow(
            alarm.definition,
            rule,
            subject,
            verdict=verdict,
            decision=decision,
            raised=_is_raised(state, alarm.alarm_id, subject.managed_object),
            whole_alarm=whole_alarm,
        )
        if not awaited:
            context.reasons["not_awaited"] += 1
        _keep_count(timer_state, alarm, rule, subject, decision=decision, counting=counting)
        expected = rule.timers.absence_after is not None and verdict is Verdict.RECOVERED
        if not whole_alarm and subject.managed_object and expected:
            self._stop_awaiting_alarm(context, alarm.alarm_id, rule, subject, verdict)
        return decision.reason

    def _settle_object(
        self,
        context: EvaluationContext,
        alarm: Alarm,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
        *,
        at_least: AtLeast,
        timer_state: TimerState,
    ) -> Reason:
        """Settle an event about one object of a group, of an alarm with ``at_least``."""
        state, group = context.state, subject.managed_object
        objects = timer_state.objects(alarm.alarm_id, group, at_least)
        name = to_key(rule.object_in_group(subject.event))
        late = objects.is_late(name, subject.event_time)
        if verdict is not Verdict.NOTHING and not late:
            in_fault = verdict is Verdict.MATCH
            objects = objects.after(name, subject.event_time, in_fault=in_fault, most=self._max_tracked)
            if not timer_state.keep_objects(alarm.definition, group, objects, at_least):
                context.reasons["not_awaited"] += 1
        occurrence = state.occurrence(alarm.alarm_id, group)
        if occurrence is not None:
            # The group changes with the newest event of any of its objects.
            subject = dataclasses.replace(subject, event_time=max(subject.event_time, occurrence.event_time))
        severity = _severity(context, rule, subject, verdict)
        situation = self._notification_situation(
            context, alarm, rule, subject, verdict, severity=severity, counting=None
        )
        decision, verdict = decide_for_group(situation, objects, at_least, late=late)
        state.apply(alarm, subject, decision, verdict, severity=severity, objects=objects.names)
        if decision.reason not in (*PAST, Reason.COUNTED, Reason.OUTSIDE_TIME_CONSTRAINTS):
            raised = _is_raised(state, alarm.alarm_id, group)
            timer_state.follow(
                alarm.definition, rule, subject, verdict=verdict, decision=decision, raised=raised
            )
        return decision.reason

    def _notification_situation(
        self,
        context: EvaluationContext,
        alarm: Alarm,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
        *,
        severity: str | None,
        counting: Counting | None,
    ) -> Situation:
        situation = self._situation(context, alarm, rule, subject, verdict)
        timer_state, before = context.timer_state, situation.occurrence
        return dataclasses.replace(
            situation,
            holds=rule.timers.hold_down is not None,
            held=timer_state is not None and timer_state.held(alarm.alarm_id, subject.managed_object),
            severity_changed=severity is not None and before is not None and before.severity != severity,
            seen=situation.seen or (counting is not None and counting.repeated),
            short=counting is not None and not counting.enough,
        )

    def _stop_awaiting_alarm(
        self,
        context: EvaluationContext,
        alarm_id: str,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
    ) -> None:
        """Stop waiting for the alarm as a whole; clear its occurrence without an object if that is raised."""
        alarm, whole = context.state.alarms[alarm_id], context.state.occurrence(alarm_id, "")
        if whole is None and context.timer_state is not None:
            context.timer_state.object_appeared(alarm.definition)
        elif whole is not None and whole.raised:
            self._settle_notification(context, alarm, rule, on_object(subject, ""), verdict, whole_alarm=True)


def on_object(about: Subject, managed_object: str) -> Subject:
    """Return *about* with another managed object."""
    return dataclasses.replace(about, managed_object=to_key(managed_object))


def _count(
    context: EvaluationContext, alarm: Alarm, rule: CompiledRule, subject: Subject, verdict: Verdict
) -> Counting | None:
    """Return the effect of a match on the count of its managed object; None if the rule does not count."""
    if rule.count is None or context.timer_state is None or verdict is not Verdict.MATCH:
        return None
    return count_match(
        context.timer_state.matches(alarm.definition, subject.managed_object),
        rule.count,
        subject.event_time,
        subject.message_key,
        context.state.occurrence(alarm.alarm_id, subject.managed_object),
    )


def _keep_count(
    timer_state: TimerState,
    alarm: Alarm,
    rule: CompiledRule,
    subject: Subject,
    *,
    decision: Decision,
    counting: Counting | None,
) -> None:
    """Keep the count after a match, or start it again after a clear, unless the event has no effect."""
    if rule.count is None or decision.reason in PAST or decision.reason is Reason.OUTSIDE_TIME_CONSTRAINTS:
        return
    place = (alarm.definition, subject.managed_object)
    if counting is not None:
        timer_state.keep_matches(*place, counting.matches, rule.count)
    elif not decision.hold:
        kept = timer_state.matches(*place).after(subject.event_time)
        timer_state.keep_matches(*place, kept, rule.count)


def _severity(
    context: EvaluationContext, rule: CompiledRule, subject: Subject, verdict: Verdict
) -> str | None:
    """Return the severity by the rule and the event; that of a clearing event does not apply."""
    if verdict is not Verdict.MATCH:
        return None
    severity, unknown = rule.severity(subject.event)
    if unknown:
        context.reasons["unknown_severity"] += 1
    return severity


def _is_raised(state: BatchState, alarm_id: str, managed_object: str) -> bool:
    occurrence = state.occurrence(alarm_id, managed_object)
    return occurrence is not None and occurrence.raised
