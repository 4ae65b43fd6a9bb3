"""Timers that are due: fired once, under the lock of their alarm, by any of the listeners.

Any number of processes look for what is due, and none owns a timer: whoever locks the alarm first fires it,
the others then find it gone. So nothing is lost with a process, and what became due while none was running
fires when one is again.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import cachetools

from eventalarm.evaluator.batch_state import MOST_OBJECTS, BatchState, Subject
from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason, Situation, decide
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.locked_alarms import RETRY_AFTER, LockedAlarms
from eventalarm.evaluator.time_constraint import within_time_constraints
from eventalarm.evaluator.timer_rules import asked_for, recomputed, told_event, told_reason
from eventalarm.evaluator.timers import Timekeeper
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unit_of_work import Enqueuer, UnitOfWork
from eventalarm.exceptions import InvalidRule, Locked, Retryable
from eventalarm.model import ALARM, Alarm, Transition
from eventalarm.storage import alarm_counts, text, timers
from eventalarm.storage.alarm_counts import Awaited, CloseFirst, close_in_chunks
from eventalarm.storage.alarms import in_chunks
from eventalarm.storage.clock import ask
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction
from eventalarm.timer import Timer, TimerKind

LOG = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.4
MOST: Final = 500
# Timers that are written in one transaction when a definition changes, so that no lock is held for seconds.
ARM_AT_ONCE: Final = 1000
# What cannot fire now, since the time constraints forbid it or the database refuses it, is looked at again.
POSTPONED: Final = 60.0
REMEMBERED: Final = 100_000

Report = Callable[[Sequence[Transition], Counter[str]], None]


Item = TypeVar("Item", Timer, timers.Raised)


def _by_alarm(items: Iterable[Item]) -> Mapping[str, list[Item]]:
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.alarm_id].append(item)
    return found


def _awaited(known: Sequence[Timer], puts: Sequence[Timer], gone: Sequence[Timer]) -> list[Awaited]:
    """Return the absence of how many objects is awaited by the alarms whose timers of that kind change."""
    changed = {one.alarm_id for one in (*puts, *gone) if one.kind is TimerKind.ABSENCE}
    rows = {one.timer_id: one for one in (*known, *puts)}
    for one in gone:
        del rows[one.timer_id]
    waiting = Counter(
        one.alarm_id for one in rows.values() if one.kind is TimerKind.ABSENCE and one.due_at is not None
    )
    return [Awaited(alarm_id, waiting[alarm_id], False) for alarm_id in sorted(changed)]


class TimerRunner:
    """Fires what is due and arms what new definitions ask for; lives in one thread.

    :param courier: may be the engine's: it keeps nothing between calls.
    :param report: told what each committed transaction came to.
    :param overlap: seconds by which the clocks of Aodh's API hosts may differ.
    :param look_at_all: seconds after which every definition is looked at again, as a net.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        courier: Enqueuer,
        *,
        record_history: bool,
        overlap: float,
        look_at_all: float,
        max_occurrences: int = MOST_OBJECTS,
        report: Report = lambda transitions, reasons: None,
        clock: Callable[[], datetime.datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._cache = cache
        self._courier = courier
        self._unit_of_work = UnitOfWork(courier, record_history=record_history)
        self._reader = timers.TimerReader(database)
        self._overlap = datetime.timedelta(seconds=overlap)
        self._look_at_all = look_at_all
        self._max_occurrences = max_occurrences
        self._report = report
        self._clock = clock or database.about_now
        self._monotonic = monotonic
        self._next_full = monotonic()
        self._locked = LockedAlarms(database)
        self._next_retry = 0.0
        self._unarmed: set[str] = set()
        self._looked_at: datetime.datetime | None = None
        self._seen: cachetools.LRUCache[str, datetime.datetime] = cachetools.LRUCache(REMEMBERED)

    def step(self) -> float:
        """Look once and do what is due; return how many seconds to wait before the next look.

        :raises Retryable: when the database failed; nothing is lost, and calling again is safe.
        """
        moment = self._database.about_now()
        if self._locked and self._monotonic() >= self._next_retry:
            self._next_retry = self._monotonic() + RETRY_AFTER
            self._locked.retry()
            self.arm(sorted(self._unarmed))
        self._arm_what_definitions_ask(moment)
        horizon = datetime.timedelta(seconds=LOOK_EVERY)
        found = self._reader.due(moment + horizon, MOST)
        due = [timer for timer in found if timer.due_at is not None and timer.due_at <= moment]
        settled = self._settle(due)
        if len(due) == MOST:
            return 0.0 if settled else LOOK_EVERY
        coming = [timer.due_at for timer in found[len(due) :] if timer.due_at is not None]
        left = (min(coming) - self._database.about_now()).total_seconds() if coming else LOOK_EVERY
        return min(LOOK_EVERY, max(0.0, left))

    # -- definitions --------------------------------------------------------------------------------------

    def _arm_what_definitions_ask(self, moment: datetime.datetime) -> None:
        """Arm the timers that wait for no event: of alarms that were created, enabled or edited."""
        if self._looked_at is not None:
            changed = self._reader.changed(NOTIFICATION_TYPE, self._looked_at - self._overlap)
            news = {name: version for name, version in changed if self._seen.get(name) != version}
            self.arm(list(news))
            self._seen.update(news)
        if self._monotonic() >= self._next_full:
            after = ""
            while page := self._reader.unwatched(NOTIFICATION_TYPE, TimerKind.ABSENCE.value, after):
                self.arm(page)
                if len(page) < timers.PAGE:
                    break
                after = page[-1]
            self._next_full = self._monotonic() + self._look_at_all
        self._looked_at = self._database.earliest_now(self._look_at_all)

    def arm(self, alarm_ids: Sequence[str]) -> None:
        """Make the timers of alarms what their definitions ask for; right if they are so already.

        Those of alarms that another session keeps locked are armed later.
        """
        for chunk in in_chunks(alarm_ids):
            self._unarmed.difference_update(chunk)
            locked = self._locked.among(chunk) if self._locked else set()
            free = [alarm_id for alarm_id in chunk if alarm_id not in locked]
            self._unarmed |= locked
            try:
                while self._arm(free):
                    pass
            except Locked as exc:
                if not self._locked.find(free, exc):
                    self._locked.leave(free, exc)
                self.arm(free)

    def _arm(self, alarm_ids: Sequence[str]) -> bool:
        """Write what definitions ask for, ``ARM_AT_ONCE`` rows at most; return True if there is more."""
        puts: list[Timer] = []
        gone: list[Timer] = []
        if not alarm_ids:
            return False
        with self._database.begin() as connection:
            alarms = Transaction(connection).lock(alarm_ids)
            now = ask(connection)
            known = timers.of_alarms(connection, alarm_ids)
            raised = timers.raised_objects(connection, alarm_ids)
            mine, objects = _by_alarm(known), _by_alarm(raised)
            gone += [timer for timer in known if timer.alarm_id not in alarms]
            for name, alarm in alarms.items():
                lives = [life.managed_object for life in objects[name] if alarm.state == ALARM]
                more, less = asked_for(alarm, self._rule(alarm), mine[name], lives, now)
                puts += more
                gone += less
            unfinished = len(puts) + len(gone) > ARM_AT_ONCE
            gone, puts = gone[:ARM_AT_ONCE], puts[: max(0, ARM_AT_ONCE - len(gone))]
            timers.put(connection, puts)
            timers.drop(connection, [timer.timer_id for timer in gone])
            awaited = _awaited(known, puts, gone)
            alarm_counts.put_awaited(connection, [one for one in awaited if one.alarm_id in alarms], now)
            return unfinished

    def _rule(self, alarm: Alarm) -> CompiledRule | None:
        if alarm.definition.type != NOTIFICATION_TYPE:
            return None
        try:
            rule = self._cache.rule(alarm.definition)
        except InvalidRule:
            return None
        return rule if isinstance(rule, CompiledRule) else None

    # -- firing -------------------------------------------------------------------------------------------

    def _settle(self, due: Sequence[Timer]) -> int:
        """Fire what is due of the alarms that nobody else keeps locked; return how many timers that were."""
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
                return self._settle(due[:half]) + self._settle(due[half:])
            LOG.exception(
                "Timer %s of alarm %s cannot fire and is tried again in a minute: %s",
                due[0].kind.value,
                due[0].alarm_id,
                type(exc).__name__,
            )
            self._put_off(due[0])
        return len(due)

    def _close_and_fire(self, due: Sequence[Timer]) -> None:
        while True:
            try:
                return self.fire(due)
            except CloseFirst as exc:
                close_in_chunks(self._database, exc.alarm_ids, self._clock())

    def _settle_beside(self, due: Sequence[Timer], error: Locked) -> int:
        alarm_ids = sorted({timer.alarm_id for timer in due})
        if not self._locked.find(alarm_ids, error):
            if len(alarm_ids) > 1:
                half = frozenset(alarm_ids[: len(alarm_ids) // 2])
                rest = [timer for timer in due if timer.alarm_id not in half]
                return self._settle([timer for timer in due if timer.alarm_id in half]) + self._settle(rest)
            self._locked.leave(alarm_ids, error)
        return self._settle(due)

    def _put_off(self, timer: Timer) -> None:
        with self._database.begin() as connection:
            Transaction(connection).lock([timer.alarm_id])
            keeper = Timekeeper(timers.read(connection, [timer.timer_id]), ask(connection))
            current = keeper.get(timer.alarm_id, timer.managed_object, timer.kind)
            if current == timer:
                keeper.postpone(timer, POSTPONED)
                timers.put(connection, keeper.changes()[0])

    def fire(self, due: Sequence[Timer]) -> None:
        """Fire what is still due once the alarms are locked, commit, and start the deliveries."""
        now = self._clock()
        with self._database.begin() as connection:
            transaction = Transaction(connection)
            alarms = transaction.lock({timer.alarm_id for timer in due})
            wanted = {name for timer in due for name in timer_ids(timer.alarm_id, timer.managed_object)}
            keeper = Timekeeper(timers.read(connection, wanted), ask(connection))
            ready = keeper.still_due(due)
            if not ready:
                return
            told = [
                told_event(timer, alarms[timer.alarm_id].definition)
                for timer in ready
                if timer.alarm_id in alarms
            ]
            picture = transaction.picture(
                alarms,
                {timer.managed_object for timer in ready},
                {text.key(event.message_id) for event in told},
                self._courier.order_keys(alarms.values()),
            )
            keeper.bound(picture.awaited, picture.full_awaited, self._max_occurrences)
            if large := picture.to_close_first(alarms):
                raise CloseFirst(large)
            ledger = BatchState(
                alarms,
                picture.occurrences,
                picture.raised,
                picture.seen,
                now=now,
                limit=self._max_occurrences,
                full=picture.full,
            )
            reasons = Counter(self._fire(ledger, keeper, timer, now).value for timer in ready)
            shipment, transitions = self._unit_of_work.write(transaction, ledger, keeper, picture, now)
        self._courier.submit(shipment)
        self._report(transitions, reasons)

    def _fire(self, ledger: BatchState, keeper: Timekeeper, timer: Timer, now: datetime.datetime) -> Reason:
        alarm = ledger.alarms.get(timer.alarm_id)
        rule = self._rule(alarm) if alarm is not None and alarm.enabled else None
        if alarm is None or rule is None:
            keeper.forget(timer)
            return Reason.DISABLED if alarm is not None else Reason.DELETED
        current = recomputed(timer, alarm.definition, rule)
        if current is None:
            keeper.forget(timer)
            return Reason.NO_LONGER_MATCHES
        if current.due_at is None or current.due_at > keeper.now:
            keeper.put(current)
            return Reason.NO_LONGER_MATCHES
        if not within_time_constraints(alarm.time_constraints, now):
            keeper.postpone(timer, POSTPONED)
            return Reason.OUTSIDE_TIME_CONSTRAINTS
        decision = self._decide(ledger, keeper, alarm, rule, timer)
        keeper.fired(alarm.definition, rule, timer, decision, told_event(timer, alarm.definition))
        return decision.reason

    def _decide(
        self, ledger: BatchState, keeper: Timekeeper, alarm: Alarm, rule: CompiledRule, timer: Timer
    ) -> Decision:
        event, place = told_event(timer, alarm.definition), timer.managed_object
        life = ledger.occurrence(alarm.alarm_id, place)
        # No younger than what is known of the object: whatever comes from there later is news (G9).
        event_time = life.event_time if life is not None else timer.armed_at
        subject = Subject(event, place, text.key(event.message_id), event_time)
        verdict = Verdict.MATCH if timer.kind is TimerKind.ABSENCE else Verdict.RECOVERED
        decision = decide(
            Situation(
                alarm=alarm,
                rule=rule,
                verdict=verdict,
                event_time=event_time,
                occurrence=life,
                others_raised=ledger.others_raised(alarm.alarm_id, place),
                seen=ledger.seen(alarm.alarm_id, subject),
                in_time=True,
                clears=True,
                full=ledger.full(alarm.alarm_id),
                holds=timer.kind is TimerKind.CLEAR_AFTER and rule.timers.hold_down is not None,
                held=keeper.held(alarm.alarm_id, place),
            )
        )
        ledger.apply(alarm, subject, decision, verdict, reason=told_reason(event, alarm.definition))
        return decision
