"""Fires due timers, each once, under the lock of its alarm."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason, Situation, decide
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.inhibitions import resources_of
from eventalarm.evaluator.objects_in_fault import AtLeast
from eventalarm.evaluator.options import (
    MOST_OBJECTS,
    NeverInhibited,
    ResourceOf,
    no_resource,
    none_of_them,
)
from eventalarm.evaluator.outage import LockedAlarms
from eventalarm.evaluator.outcome import Subject
from eventalarm.evaluator.time_constraints import within_time_constraints
from eventalarm.evaluator.timer_rules import recomputed, timer_event, timer_reason
from eventalarm.evaluator.timers import TimerState
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unit_of_work import UnitOfWork
from eventalarm.exceptions import InvalidRule, Locked, Retryable
from eventalarm.model import Alarm, Timer, TimerKind, Transition
from eventalarm.storage import timers
from eventalarm.storage.alarm_counts import CloseFirst, close_in_chunks
from eventalarm.storage.clock import ask
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction

LOG = logging.getLogger(__name__)

# Seconds until a timer is retried that a time constraint or the database prevented from firing.
POSTPONED: Final = 60.0

Report = Callable[[Sequence[Transition], Counter[str]], None]


def compiled_rule(cache: AlarmCache, alarm: Alarm) -> CompiledRule | None:
    """Return the compiled rule of a ``notification`` alarm, or None if it has none that can be evaluated."""
    if alarm.definition.type != NOTIFICATION_TYPE:
        return None
    try:
        rule = cache.rule(alarm.definition)
    except InvalidRule:
        return None
    return rule if isinstance(rule, CompiledRule) else None


class TimerFiring:
    """Fires due timers; belongs to the thread of the timers.

    :param enqueuer: may be shared with the engine, since it keeps no state between calls.
    :param report: called after each commit with the transitions and the number of decisions by reason.
    :param clock: returns the current time as an aware UTC datetime; by default the clock of the database.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        enqueuer: OutboxEnqueuer,
        locked: LockedAlarms,
        *,
        record_history: bool,
        max_occurrences: int = MOST_OBJECTS,
        report: Report = lambda transitions, reasons: None,
        clock: Callable[[], datetime.datetime] | None = None,
        resource_of: ResourceOf = no_resource,
        never_inhibited: NeverInhibited = none_of_them,
    ) -> None:
        self._database = database
        self._cache = cache
        self._enqueuer = enqueuer
        self._locked = locked
        self._report = report
        self._clock = clock or database.about_now
        self._unit_of_work = UnitOfWork(
            database,
            enqueuer,
            self._clock,
            record_history=record_history,
            max_occurrences=max_occurrences,
            resource_of=resource_of,
            never_inhibited=never_inhibited,
        )
        self._resource_of = resource_of

    def settle(self, due: Sequence[Timer]) -> int:
        """Fire the due timers whose alarms no other session keeps locked; return their number."""
        if self._locked:
            locked = self._locked.among({timer.alarm_id for timer in due})
            due = [timer for timer in due if timer.alarm_id not in locked]
        if not due:
            return 0
        try:
            self._close_and_fire(due)
        except Locked as exc:
            return self._settle_beside(due, exc)
        except Retryable:
            raise
        except Exception as exc:
            if len(due) > 1:
                half = len(due) // 2
                return self.settle(due[:half]) + self.settle(due[half:])
            LOG.exception(
                "Timer %s of alarm %s cannot fire and will be retried in a minute: %s",
                due[0].kind.value,
                due[0].alarm_id,
                type(exc).__name__,
            )
            self._postpone(due[0])
        return len(due)

    def _close_and_fire(self, due: Sequence[Timer]) -> None:
        while True:
            try:
                return self.fire(due)
            except CloseFirst as exc:
                close_in_chunks(self._database, exc.alarm_ids, self._clock())

    def _settle_beside(self, due: Sequence[Timer], error: Locked) -> int:
        half = self._locked.isolate({timer.alarm_id for timer in due}, error)
        rest = [timer for timer in due if timer.alarm_id not in half]
        return self.settle([timer for timer in due if timer.alarm_id in half]) + self.settle(rest)

    def _postpone(self, timer: Timer) -> None:
        with self._database.begin() as connection:
            Transaction(connection).lock([timer.alarm_id])
            timer_state = TimerState(timers.read(connection, [timer.timer_id]), ask(connection))
            current = timer_state.get(timer.alarm_id, timer.managed_object, timer.kind)
            if current == timer:
                timer_state.postpone(timer, POSTPONED)
                timers.put(connection, timer_state.changes()[0])

    def fire(self, due: Sequence[Timer]) -> None:
        """Lock the alarms, fire the timers that are still due, commit, and start the deliveries."""
        with self._database.begin() as connection:
            transaction = Transaction(connection)
            alarms = transaction.lock({timer.alarm_id for timer in due})
            wanted = {name for timer in due for name in timer_ids(timer.alarm_id, timer.managed_object)}
            timer_state = TimerState(timers.read(connection, wanted), ask(connection))
            ready = timer_state.still_due(due)
            if not ready:
                return
            events = [
                (timer.managed_object, timer_event(timer, alarms[timer.alarm_id].definition))
                for timer in ready
                if timer.alarm_id in alarms and timer.kind is not TimerKind.COUNT
            ]
            rows = self._unit_of_work.read(
                transaction,
                alarms,
                {timer.managed_object for timer in ready},
                {to_key(event.message_id) for _, event in events},
                timer_state,
                resources=resources_of(events, self._resource_of),
            )
            reasons = Counter(self._fire(rows.state, timer_state, timer, rows.now).value for timer in ready)
            enqueued, transitions = self._unit_of_work.write(rows)
        self._enqueuer.submit(enqueued)
        self._report(transitions, reasons)

    def _fire(
        self, state: BatchState, timer_state: TimerState, timer: Timer, now: datetime.datetime
    ) -> Reason:
        alarm = state.alarms.get(timer.alarm_id)
        rule = compiled_rule(self._cache, alarm) if alarm is not None and alarm.enabled else None
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
        group, rule = timer.managed_object, compiled_rule(self._cache, alarm)
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
