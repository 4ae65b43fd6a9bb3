"""One event and one locked alarm: the rule as it stands now is asked, the decision applied to the books."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection

from eventalarm.evaluator.batch_state import BatchState, Subject
from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.decide import Reason, Situation, clears, decide
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.event_rule import Verdict, Watch
from eventalarm.evaluator.time_constraint import within_time_constraints
from eventalarm.evaluator.timers import Timekeeper
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Alarm
from eventalarm.storage import text


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """That an event concerns an alarm."""

    alarm_id: str
    project_id: str
    verdict: Verdict
    subject: Subject


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What the matches of one transaction are settled with; ``reasons`` counts what else is worth it."""

    ledger: BatchState
    keeper: Timekeeper | None
    now: datetime.datetime
    reasons: Counter[str]


class Evaluation:
    """Settles matches by the rows that their transaction holds.

    :param types: the types of alarms that are ours.
    :param clear_mode: which ``event`` alarms clear, see :func:`eventalarm.evaluator.decide.clears`.
    """

    def __init__(self, cache: AlarmCache, *, types: Collection[str], clear_mode: str) -> None:
        self._cache = cache
        self._types = types
        self._clear_mode = clear_mode

    def __call__(self, case: EvaluationContext, match: Match) -> Reason:
        """Decide on a match, apply it to the working copy, and return what was done or why not."""
        alarm = case.ledger.alarms.get(match.alarm_id)
        gone = None
        if alarm is None:
            gone = Reason.DELETED
        elif not alarm.enabled or alarm.definition.type not in self._types:
            gone = Reason.DISABLED
        elif alarm.definition.project_id != match.project_id:
            gone = Reason.MOVED
        if alarm is None or gone is not None:
            self._cache.forget(match.project_id, match.alarm_id)
            return gone or Reason.DELETED
        try:
            rule = self._cache.rule(alarm.definition)
        except InvalidRule:
            return Reason.BAD_RULE
        event = match.subject.event
        verdict = rule.verdict(event, case.now) if rule.watches(event.event_type) else Verdict.NOTHING
        if not isinstance(rule, CompiledRule):
            return self._decide(case, alarm, rule, match.subject, verdict)
        return self._live(case, alarm, rule, match.subject, verdict)

    def _decide(
        self, case: EvaluationContext, alarm: Alarm, rule: Watch, subject: Subject, verdict: Verdict
    ) -> Reason:
        decision = decide(self._situation(case, alarm, rule, subject, verdict))
        case.ledger.apply(alarm, subject, decision, verdict)
        return decision.reason

    def _situation(
        self, case: EvaluationContext, alarm: Alarm, rule: Watch, subject: Subject, verdict: Verdict
    ) -> Situation:
        ledger, place = case.ledger, subject.managed_object
        return Situation(
            alarm=alarm,
            rule=rule,
            verdict=verdict,
            event_time=subject.event_time,
            occurrence=ledger.occurrence(alarm.alarm_id, place),
            others_raised=ledger.others_raised(alarm.alarm_id, place),
            seen=ledger.seen(alarm.alarm_id, subject),
            in_time=within_time_constraints(alarm.time_constraints, case.now),
            clears=clears(self._clear_mode, alarm.definition),
            full=ledger.full(alarm.alarm_id),
        )

    def _live(
        self,
        case: EvaluationContext,
        alarm: Alarm,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
        *,
        own: bool = True,
    ) -> Reason:
        """Settle a match of a ``notification`` alarm, which may have timers and a severity of its own.

        :param own: see :meth:`Timekeeper.follow`.
        """
        ledger, keeper, place = case.ledger, case.keeper, subject.managed_object
        # What a clearing event says of severity is that of nothing.
        severity, unknown = rule.severity(subject.event) if verdict is Verdict.MATCH else (None, False)
        if unknown:
            case.reasons["unknown_severity"] += 1
        decision = decide(self._rich_situation(case, alarm, rule, subject, verdict, severity=severity))
        ledger.apply(alarm, subject, decision, verdict, severity=severity)
        if keeper is not None:
            awaited = keeper.follow(
                alarm.definition,
                rule,
                subject,
                verdict=verdict,
                decision=decision,
                raised=_is_raised(ledger, alarm.alarm_id, place),
                own=own,
            )
            if not awaited:
                case.reasons["not_awaited"] += 1
            expected = rule.timers.absence_after is not None and verdict is Verdict.RECOVERED
            if own and place and expected:
                self._turned_up(case, alarm.alarm_id, rule, subject, verdict)
        return decision.reason

    def _rich_situation(
        self,
        case: EvaluationContext,
        alarm: Alarm,
        rule: CompiledRule,
        subject: Subject,
        verdict: Verdict,
        *,
        severity: str | None,
    ) -> Situation:
        situation = self._situation(case, alarm, rule, subject, verdict)
        keeper, before = case.keeper, situation.occurrence
        return dataclasses.replace(
            situation,
            holds=rule.timers.hold_down is not None,
            held=keeper is not None and keeper.held(alarm.alarm_id, subject.managed_object),
            severity_changed=severity is not None and before is not None and before.severity != severity,
        )

    def _turned_up(
        self, case: EvaluationContext, alarm_id: str, rule: CompiledRule, subject: Subject, verdict: Verdict
    ) -> None:
        """Await the alarm itself no more, unless events without an object are what it is about, too."""
        alarm, whole = case.ledger.alarms[alarm_id], case.ledger.occurrence(alarm_id, "")
        if whole is None and case.keeper is not None:
            case.keeper.turned_up(alarm.definition)
        elif whole is not None and whole.raised:
            self._live(case, alarm, rule, on_object(subject, ""), verdict, own=False)


def on_object(about: Subject, managed_object: str) -> Subject:
    """Return the subject with another managed object."""
    return dataclasses.replace(about, managed_object=text.key(managed_object))


def _is_raised(ledger: BatchState, alarm_id: str, managed_object: str) -> bool:
    life = ledger.occurrence(alarm_id, managed_object)
    return life is not None and life.raised
