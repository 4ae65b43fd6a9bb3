"""Evaluation of a batch of events: match, lock, decide, commit, then start the deliveries.

Nothing here depends on the message bus or on HTTP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from oslo_db import exception as db_exception

from eventalarm.delivery.enqueue import Enqueued, OutboxEnqueuer
from eventalarm.evaluator.batch import BatchReport, Unfinished, divide
from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Evaluation, EvaluationContext, Match
from eventalarm.evaluator.matcher import EventMatcher, at_time
from eventalarm.evaluator.options import EngineOptions
from eventalarm.evaluator.outage import LockedAlarms
from eventalarm.evaluator.timers import TimerState, is_timed
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unit_of_work import UnitOfWork
from eventalarm.exceptions import Conflict, Locked, Retryable
from eventalarm.model import Event
from eventalarm.storage import timers
from eventalarm.storage.alarm_counts import CloseFirst, close_in_chunks
from eventalarm.storage.alarms import NEVER
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts, Weight
from eventalarm.storage.picture import Picture
from eventalarm.storage.transitions import Transaction
from eventalarm.trace import Stage, Trace, mark_all
from eventalarm.watchdog import Progress

LOG = logging.getLogger(__name__)

# Number of immediate retries after a conflict with another transaction.
CONFLICTS = 3

CLOCK_TOLERANCE = datetime.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True, slots=True)
class _Committed:
    """The results of one transaction: matches that are *done*, and those *beyond* its size limit."""

    enqueued: Enqueued
    done: list[Match]
    beyond: list[Match]


class Engine:
    """Evaluates batches of events. One batch at a time; processes may run any number of engines.

    :param clock: returns the current time as an aware UTC datetime. By default that of the database, so that
        all hosts decide by one clock which events are late.
    :param progress: shows a watchdog, between transactions, that the work advances.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        enqueuer: OutboxEnqueuer,
        options: EngineOptions,
        clock: Callable[[], datetime.datetime] | None = None,
        *,
        trace: Trace | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._database = database
        self._cache = cache
        self._enqueuer = enqueuer
        self._unit_of_work = UnitOfWork(enqueuer, record_history=options.record_history)
        self._evaluation = Evaluation(cache, types=options.types, clear_mode=options.clear_mode)
        self._options = options
        self._locked = LockedAlarms(database)
        self._unfinished = Unfinished()
        self._clock = clock or database.about_now
        self._matcher = EventMatcher(database, cache, options, self._unfinished, self._clock)
        self._trace = trace
        self._progress = progress or Progress()
        # The encoded events of the current batch.
        self._texts = EventTexts()

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Evaluate events, commit all their changes, and start the deliveries.

        When this returns, the messages of the events may be acknowledged, except for those put off and
        left. The events put off must be passed again after :meth:`retry_locked`, and those left with the
        next batch (the same objects if possible), in both cases before younger events. An event that the
        database refuses for its content is logged, counted and skipped; the others are committed (G6).

        :raises Retryable: when the database failed; uncommitted changes are rolled back, and passing
            the same events again is safe (G2).
        """
        report = BatchReport(events=len(events))
        started = time.monotonic()
        self._progress.advance()
        self._cache.refresh()
        matches = self.match(events, report)
        matched = time.monotonic()
        mark_all(self._trace, Stage.MATCHED, (m.subject.event for m in matches))
        self._texts = EventTexts(self._options.max_event_size)
        first, turns = divide(matches, self._options.max_candidates)
        for group in first:
            self._settle(group, report)
        self._settle_by_turns(turns, report, matched + self._options.max_batch_time, events)
        self._texts = EventTexts()
        report.match_seconds = matched - started
        report.commit_seconds = time.monotonic() - matched
        return report

    def forget_unfinished(self) -> None:
        """Forget the unfinished events, since their messages went back to the broker; thread-safe."""
        self._unfinished.clear()

    def retry_locked(self) -> None:
        """Ask again for alarms that another session kept locked; the events put off for them come next."""
        self._locked.retry()

    def match(self, events: Iterable[Event], report: BatchReport) -> list[Match]:
        """Return which events concern which alarms, oldest event first."""
        return self._matcher.match(events, report)

    def projects(self, event: Event) -> tuple[str, ...]:
        """Return the projects whose alarms an event may concern."""
        return self._matcher.projects(event)

    def _settle_by_turns(
        self, turns: Sequence[list[Match]], report: BatchReport, until: float, events: Sequence[Event]
    ) -> None:
        """Settle turns *until* a monotonic time, at least one; the others are left to the next batch."""
        settled = 0
        for turn in turns:
            if settled and time.monotonic() >= until:
                break
            self._settle(turn, report)
            settled += 1
        left = [match for turn in turns[settled:] for match in turn]
        self._unfinished.keep(events, left, self._matcher.clock_jumps)
        report.left += {id(m.subject.event): m.subject.event for m in left}.values()
        report.events -= len(report.left)

    def _settle(self, matches: list[Match], report: BatchReport) -> None:
        rest = matches
        while rest:
            self._progress.advance()
            rest = self._settle_some(rest, report)

    def _settle_some(self, matches: list[Match], report: BatchReport) -> list[Match]:
        """Settle as many matches as one transaction may hold, and return the others."""
        if self._locked:
            matches = self._without_locked(matches, report)
        if not matches:
            return []
        try:
            committed = self._close_and_commit(matches, report)
        except Locked as exc:
            self._settle_beside(matches, report, exc)
        except Retryable:
            raise
        except Exception as exc:  # noqa: BLE001 - any error must affect only the event that caused it
            self._settle_apart(matches, report, exc)
        else:
            mark_all(self._trace, Stage.COMMITTED, (m.subject.event for m in committed.done))
            self._enqueuer.submit(committed.enqueued)
            return committed.beyond
        return []

    def _without_locked(self, matches: list[Match], report: BatchReport) -> list[Match]:
        """Put off all matches of the alarms that are currently skipped; return the others."""
        locked = self._locked.among({m.alarm_id for m in matches})
        late = [m for m in matches if m.alarm_id in locked]
        report.put_off.extend(m.subject.event for m in late)
        report.reasons["locked"] += len(late)
        return [m for m in matches if m.alarm_id not in locked] if late else matches

    def _settle_beside(self, matches: list[Match], report: BatchReport, error: Locked) -> None:
        """Find the alarms that another session keeps locked, and settle all others."""
        alarm_ids = sorted({m.alarm_id for m in matches})
        if not self._locked.find(alarm_ids, error):
            if len(alarm_ids) > 1:
                half = frozenset(alarm_ids[: len(alarm_ids) // 2])
                self._settle([m for m in matches if m.alarm_id in half], report)
                self._settle([m for m in matches if m.alarm_id not in half], report)
                return
            self._locked.leave(alarm_ids, error)
        self._settle(matches, report)

    def _settle_apart(self, matches: list[Match], report: BatchReport, error: Exception) -> None:
        """Find the one match that cannot be settled, and skip only that (G6)."""
        if len(matches) > 1:
            half = len(matches) // 2
            self._settle(matches[:half], report)
            self._settle(matches[half:], report)
            return
        report.reasons["refused"] += 1
        LOG.error(
            "Event %s cannot change alarm %s and is skipped for this alarm: %s: %s",
            matches[0].subject.message_key,
            matches[0].alarm_id,
            type(error).__name__,
            str(error).splitlines()[0][:300] if str(error) else "",
            exc_info=LOG.isEnabledFor(logging.DEBUG),
        )

    def _close_and_commit(self, matches: list[Match], report: BatchReport) -> _Committed:
        while True:
            try:
                return self._commit_with_retries(matches, report)
            except CloseFirst as exc:
                close_in_chunks(self._database, exc.alarm_ids, self._clock())

    def _commit_with_retries(self, matches: list[Match], report: BatchReport) -> _Committed:
        """Commit, and retry at once after a conflict with a transaction, perhaps of another Galera node.

        A row written by another node may be detected only as a duplicate when this one writes its own.
        """
        for _ in range(CONFLICTS):
            with contextlib.suppress(Conflict, db_exception.DBDuplicateEntry):
                return self._commit(matches, report)
        return self._commit(matches, report)

    def _commit(self, matches: list[Match], report: BatchReport) -> _Committed:
        """Settle *matches* in one transaction, as many as its size limit allows."""
        reasons: Counter[str] = Counter()
        weight, recorded, done = Weight(self._texts), 0, 0
        with self._database.begin() as connection:
            transaction = Transaction(connection)
            state, timer_state, picture, now = self._load(transaction, matches)
            context = EvaluationContext(state, timer_state, now, reasons)
            ordered = self._timed(matches, now)
            for match in ordered:
                reasons[self._evaluation(context, match)] += 1
                done += 1
                if news := state.transitions_since(recorded):
                    recorded += len(news)
                    weight.add(news)
                    if weight.bytes >= self._options.max_transaction_size:
                        break
            enqueued, transitions = self._unit_of_work.write(
                transaction, state, timer_state, picture, now, texts=self._texts
            )
        report.reasons.update(reasons)
        report.transitions.extend(transitions)
        return _Committed(enqueued, ordered[:done], ordered[done:])

    def _timed(self, matches: list[Match], now: datetime.datetime) -> list[Match]:
        """Return the matches with new event times if the clock was stepped since they were found."""
        if self._database.clock.jumps == self._matcher.clock_jumps:
            return matches
        timed = (at_time(match, match.subject.event.time(now)) for match in matches)
        return sorted(timed, key=lambda m: m.subject.event_time)

    def _load(
        self, transaction: Transaction, matches: list[Match]
    ) -> tuple[BatchState, TimerState | None, Picture, datetime.datetime]:
        alarms = transaction.lock({m.alarm_id for m in matches})
        objects = {m.subject.managed_object for m in matches}
        messages = {m.subject.message_key for m in matches}
        timed = {a for a, alarm in alarms.items() if is_timed(alarm.definition)}
        timer_state = None
        if timed:
            # An absence timer of the alarm itself may run before its first object is known.
            objects.add("")
            wanted = (timer_ids(m.alarm_id, m.subject.managed_object) for m in matches if m.alarm_id in timed)
            connection = transaction.connection
            known = timers.read(connection, {name for names in wanted for name in names})
            timer_state = TimerState(known, self._database.about_now())
        elsewhere: set[tuple[str, str]] = set()
        if self._options.beside_aodh_listener:
            # An event may be dated to the year 1, and no earlier time exists.
            oldest = max(NEVER, min(m.subject.event_time for m in matches))
            elsewhere = transaction.handled_elsewhere(alarms, oldest - CLOCK_TOLERANCE)
        asked_at = time.monotonic()
        picture = transaction.picture(alarms, objects, messages, self._enqueuer.order_keys(alarms.values()))
        if picture.now is not None:
            self._database.clock.observe(picture.now, asked_at)
        if timer_state is not None:
            timer_state.bound(picture.awaited, picture.full_awaited, self._options.max_occurrences)
        if large := picture.to_close_first(alarms):
            raise CloseFirst(large)
        now = self._clock()
        state = BatchState(
            alarms,
            picture.occurrences,
            picture.raised,
            picture.seen,
            handled_elsewhere=frozenset(elsewhere),
            now=now,
            limit=self._options.max_occurrences,
            full=picture.full,
        )
        return state, timer_state, picture, now
