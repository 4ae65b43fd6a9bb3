"""One transaction of the evaluator: locks alarms, decides on the matches of events, writes and commits."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from oslo_db import exception as db_exception

from eventalarm.delivery.enqueue import Enqueued, OutboxEnqueuer
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Evaluation, EvaluationContext, Match
from eventalarm.evaluator.event_recorder import MatchedEvents
from eventalarm.evaluator.inhibitions import resources_of
from eventalarm.evaluator.matcher import EventMatcher, at_time
from eventalarm.evaluator.options import EngineOptions
from eventalarm.evaluator.timers import TimerState, is_timed
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unit_of_work import LockedRows, UnitOfWork
from eventalarm.exceptions import Conflict
from eventalarm.model import Alarm
from eventalarm.storage import timers
from eventalarm.storage.alarm_counts import CloseFirst, close_in_chunks
from eventalarm.storage.alarms import NEVER
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts, Weight
from eventalarm.storage.transitions import Transaction

# Number of immediate retries after a conflict with another transaction.
CONFLICTS = 3

CLOCK_TOLERANCE = datetime.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """The results of one transaction: matches that are *done*, and those *beyond* its size limit."""

    enqueued: Enqueued
    done: list[Match]
    beyond: list[Match]


class Outdated(Exception):
    """Raised if a definition has changed since the matches were found; the cache is refreshed."""


class Committer:
    """Settles matches, each call in a transaction of its own.

    :param matcher: the matcher that dated the matches.
    :param clock: returns the current time as an aware UTC datetime.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        enqueuer: OutboxEnqueuer,
        options: EngineOptions,
        *,
        matcher: EventMatcher,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._database = database
        self._cache = cache
        self._evaluation = Evaluation(
            cache, types=options.types, clear_mode=options.clear_mode, max_tracked=options.max_objects
        )
        self._matcher = matcher
        self._options = options
        self._clock = clock
        self._unit_of_work = UnitOfWork(
            database,
            enqueuer,
            clock,
            record_history=options.record_history,
            max_occurrences=options.max_occurrences,
            resource_of=options.resource_of,
            never_inhibited=options.never_inhibited,
        )

    def commit(
        self, matches: list[Match], report: BatchReport, texts: EventTexts, *, look: bool = False
    ) -> Committed:
        """Settle as many of *matches* as one transaction may hold, and add the results to *report*.

        Alarms with too many occurrences to close at once are closed in transactions before.

        :param texts: the encoded events of the batch.
        :param look: refresh the cache of definitions too, in the same trip to the database.
        :raises Outdated: with *look*, when a definition has changed.
        :raises Locked: when another session keeps a lock for too long.
        :raises Retryable: when the database failed.
        """
        while True:
            try:
                return self._commit_with_retries(matches, report, texts, look)
            except CloseFirst as exc:
                close_in_chunks(self._database, exc.alarm_ids, self._clock())

    def _commit_with_retries(
        self, matches: list[Match], report: BatchReport, texts: EventTexts, look: bool
    ) -> Committed:
        """Commit, and retry at once after a conflict with a transaction, perhaps of another Galera node.

        A row that another node has written may be detected only when its duplicate is written here.
        """
        for _ in range(CONFLICTS):
            with contextlib.suppress(Conflict, db_exception.DBDuplicateEntry):
                return self._commit(matches, report, texts, look)
        return self._commit(matches, report, texts, look)

    def _commit(self, matches: list[Match], report: BatchReport, texts: EventTexts, look: bool) -> Committed:
        """Settle *matches* in one transaction, as many as its size limit allows."""
        reasons: Counter[str] = Counter()
        weight, recorded, done = Weight(texts), 0, 0
        with self._database.pipeline() as connection:
            refreshed = self._cache.look_along(connection) if look else _unchanged
            transaction = Transaction(connection)
            rows = self._read(transaction, matches, refreshed)
            context = EvaluationContext(rows.state, rows.timers, rows.now, reasons)
            ordered = self._timed(matches, rows.now)
            events = self._recorded(texts, rows.now)
            for match in ordered:
                reason = self._evaluation(context, match)
                reasons[reason] += 1
                done += 1
                news = rows.state.transitions_since(recorded)
                recorded += len(news)
                weight.add(news)
                if events is not None:
                    weight.bytes += events.add(match, reason, rows.state, changed=bool(news))
                if weight.bytes >= self._options.max_transaction_size:
                    break
            enqueued, transitions = self._unit_of_work.write(rows, texts)
            if events is not None:
                events.write(connection)
        report.reasons.update(reasons)
        report.transitions.extend(transitions)
        return Committed(enqueued, ordered[:done], ordered[done:])

    def _recorded(self, texts: EventTexts, now: datetime.datetime) -> MatchedEvents | None:
        """Return what collects the events to record, or None if none are."""
        if not self._options.record_matched:
            return None
        return MatchedEvents(texts, self._options.resource_traits, now)

    def _timed(self, matches: list[Match], now: datetime.datetime) -> list[Match]:
        """Return the matches with new event times if the clock has jumped since they were found."""
        if self._database.clock.jumps == self._matcher.clock_jumps:
            return matches
        timed = (at_time(match, self._matcher.time_of(match.subject.event, now)) for match in matches)
        return sorted(timed, key=lambda m: m.subject.event_time)

    def _read(
        self, transaction: Transaction, matches: list[Match], refreshed: Callable[[], bool]
    ) -> LockedRows:
        """Lock the alarms of *matches*, and read what decisions about them depend on."""
        alarm_ids = {m.alarm_id for m in matches}
        # An absence timer of the alarm itself may run before its first object is known.
        objects = {"", *(m.subject.managed_object for m in matches)}
        messages = {m.subject.message_key for m in matches}
        about = ((m.subject.managed_object, m.subject.event) for m in matches)
        resources = resources_of(about, self._options.resource_of)
        transaction.ask(alarm_ids, objects, messages, resources)
        expected = _timer_ids(matches, {m.alarm_id for m in matches if m.timed})
        asked_timers = timers.AskedTimers(transaction.connection, expected)
        handled_elsewhere = self._ask_handled_elsewhere(transaction, alarm_ids, matches)
        if refreshed():
            raise Outdated
        alarms = transaction.lock(alarm_ids)
        timer_state = self._read_timers(asked_timers, alarms, matches)
        return self._unit_of_work.read(
            transaction,
            alarms,
            objects,
            messages,
            timer_state,
            resources=resources,
            handled_elsewhere=handled_elsewhere(),
        )

    def _read_timers(
        self, asked: timers.AskedTimers, alarms: Mapping[str, Alarm], matches: list[Match]
    ) -> TimerState | None:
        timed = {name for name, alarm in alarms.items() if is_timed(alarm.definition)}
        if not timed:
            return None
        return TimerState(asked.read(_timer_ids(matches, timed)), self._database.about_now())

    def _ask_handled_elsewhere(
        self, transaction: Transaction, alarm_ids: Collection[str], matches: list[Match]
    ) -> Callable[[], Collection[tuple[str, str]]]:
        """Ask for the alarms and messages for which Aodh's own listener has changed a state already."""
        if not self._options.beside_aodh_listener:
            return tuple
        # An event may be dated to the year 1, and no earlier time exists.
        oldest = max(NEVER, min(m.subject.event_time for m in matches))
        return transaction.ask_handled_elsewhere(alarm_ids, oldest - CLOCK_TOLERANCE)


def _timer_ids(matches: Iterable[Match], timed: Collection[str]) -> set[str]:
    """Return the ids of all timers that *matches* of the *timed* alarms can affect."""
    wanted = (timer_ids(m.alarm_id, m.subject.managed_object) for m in matches if m.alarm_id in timed)
    return {name for names in wanted for name in names}


def _unchanged() -> bool:
    return False
