"""Fires due timers, each once, under the lock of its alarm."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.inhibitions import resources_of
from eventalarm.evaluator.options import (
    MOST_OBJECTS,
    NeverInhibited,
    ResourceOf,
    no_resource,
    none_of_them,
)
from eventalarm.evaluator.outage import LockedAlarms
from eventalarm.evaluator.timer_decisions import POSTPONED, TimerDecisions
from eventalarm.evaluator.timer_rules import timer_event
from eventalarm.evaluator.timers import TimerState
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unit_of_work import UnitOfWork
from eventalarm.exceptions import Locked, Retryable
from eventalarm.log_fields import fields
from eventalarm.model import Timer, TimerKind, Transition
from eventalarm.storage import timers
from eventalarm.storage.alarm_counts import CloseFirst, close_in_chunks
from eventalarm.storage.clock import ask
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction

LOG = logging.getLogger(__name__)

Report = Callable[[Sequence[Transition], Counter[str]], None]


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
        self._decisions = TimerDecisions(cache)
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
                extra=fields(alarm_id=due[0].alarm_id),
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
            reasons = Counter(
                self._decisions.fire(rows.state, timer_state, timer, rows.now).value for timer in ready
            )
            enqueued, transitions = self._unit_of_work.write(rows)
        self._enqueuer.submit(enqueued)
        self._report(transitions, reasons)
