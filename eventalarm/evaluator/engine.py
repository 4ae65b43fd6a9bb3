"""A batch of events: candidates found, rows locked, decisions taken, all committed, deliveries released.

The stages are separate functions with plain data between them; nothing here knows the bus or HTTP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from oslo_db import exception as db_exception

from eventalarm.evaluator.batch_state import MOST_OBJECTS, BatchState, Subject
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Evaluation, EvaluationContext, Match, on_object
from eventalarm.evaluator.fair_batches import divide
from eventalarm.evaluator.locked_alarms import LockedAlarms
from eventalarm.evaluator.timers import Timekeeper, is_timed
from eventalarm.evaluator.timers import ids as timer_ids
from eventalarm.evaluator.unfinished import Unfinished
from eventalarm.evaluator.unit_of_work import Enqueuer, UnitOfWork
from eventalarm.exceptions import Conflict, Locked, Retryable
from eventalarm.model import Event, Transition
from eventalarm.owner import Owners
from eventalarm.storage import text, timers
from eventalarm.storage.alarm_counts import CloseFirst, close_in_chunks
from eventalarm.storage.alarms import NEVER
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts, Weight
from eventalarm.storage.transitions import Picture, Transaction
from eventalarm.trace import Stage, Trace, mark_all

LOG = logging.getLogger(__name__)

S = TypeVar("S")

# How often work that lost to another transaction is tried again without a pause.
CONFLICTS = 3

# Matches of one project in memory at once, one event's aside; its other events wait for the next batch.
ENOUGH = 20_000

CLOCK_TOLERANCE = datetime.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a deployer sets; see ``eventalarm.conf`` for each."""

    types: tuple[str, ...]
    owner_traits: tuple[str, ...]
    resource_traits: tuple[str, ...]
    infrastructure_projects: tuple[str, ...]
    clear_mode: str
    record_history: bool
    max_candidates: int
    beside_aodh_listener: bool = False
    max_occurrences: int = MOST_OBJECTS
    max_event_size: int = text.EVENT_LENGTH
    max_transaction_size: int = 16 * 1024 * 1024
    max_batch_time: float = math.inf


@dataclasses.dataclass(slots=True)
class BatchReport:
    """What a batch came to: counts by reason, for metrics and for people who ask.

    ``put_off`` are the events that must come again, since another session keeps an alarm of theirs locked.
    ``left`` are those that must come again with the next batch, since their project had too many matches.
    """

    events: int = 0
    matches: int = 0
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    bad_traits: int = 0
    transitions: list[Transition] = dataclasses.field(default_factory=list)
    put_off: list[Event] = dataclasses.field(default_factory=list)
    left: list[Event] = dataclasses.field(default_factory=list)
    match_seconds: float = 0.0
    commit_seconds: float = 0.0

    def add(self, other: BatchReport) -> None:
        """Take in what another part of the same batch came to."""
        self.events += other.events
        self.matches += other.matches
        self.reasons.update(other.reasons)
        self.bad_traits += other.bad_traits
        self.transitions += other.transitions
        self.put_off += other.put_off
        self.left += other.left
        self.match_seconds += other.match_seconds
        self.commit_seconds += other.commit_seconds


class Engine(Generic[S]):
    """Evaluates batches of events. One batch at a time; processes may run any number of engines.

    :param clock: returns the present as an aware UTC datetime. By default the database's: events are late
        or not by one clock, whichever host evaluates them.
    :param step: called as the work goes on, for a watchdog.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        courier: Enqueuer[S],
        options: EngineOptions,
        clock: Callable[[], datetime.datetime] | None = None,
        *,
        trace: Trace | None = None,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._cache = cache
        self._courier = courier
        self._books = UnitOfWork(courier, record_history=options.record_history)
        self._judge = Evaluation(cache, types=options.types, clear_mode=options.clear_mode)
        self._options = options
        self._locked = LockedAlarms(database)
        self._unfinished = Unfinished()
        self._owners = Owners(options.owner_traits)
        self._clock = clock or database.about_now
        self._steps = self._unfinished_steps = 0
        self._trace = trace
        self._step = step
        # Those of the batch in hand.
        self._texts = EventTexts()

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Evaluate events and commit all that follows from them; then start the deliveries.

        When this returns, every event is dealt with for good and its message may be acknowledged, but for
        those put off: they must come again after :meth:`retry_locked`, before younger ones. Those left must
        come again with the next batch, the same objects if possible, before younger ones. An event that
        the database refuses for its content is logged, counted and left out; the others stand (G6).

        :raises Retryable: when the database failed; nothing that was not committed is kept, and calling
            again with the same events is safe (G2).
        """
        report = BatchReport(events=len(events))
        started = time.monotonic()
        self._step()
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
        """Forget what is left of events, whose messages went back to the broker; from any thread."""
        self._unfinished.clear()

    def retry_locked(self) -> None:
        """Try alarms again that another session kept locked; the events put off for them come next."""
        self._locked.retry()

    # -- match ------------------------------------------------------------------------------------------

    def match(self, events: Iterable[Event], report: BatchReport) -> list[Match]:
        """Return which events concern which alarms, oldest event first for each managed object."""
        now = self._clock()
        self._steps = self._database.clock.steps
        matches: list[Match] = []
        crowds: Counter[str] = Counter()
        waiting: set[str] = set()
        for event in sorted(events, key=lambda event: event.time(now)):
            try:
                projects = self.projects(event)
                if not waiting.isdisjoint(projects):
                    # An older event of these projects waits, too, so that their alarms see them in order.
                    waiting.update(projects)
                    report.left.append(event)
                    continue
                found = self._matches_left(event, now)
                if found is None:
                    found = self._matches_of(event, now)
                    report.matches += len(found)
            except Retryable:
                raise
            except Exception:
                report.reasons["unmatchable"] += 1
                LOG.exception("Event %s cannot be matched and is left out", event.message_id[:255])
                continue
            matches.extend(found)
            crowds.update(match.project_id for match in found)
            if math.isfinite(self._options.max_batch_time):
                waiting.update(project_id for project_id in projects if crowds[project_id] >= ENOUGH)
            if event.bad_traits:
                report.bad_traits += len(event.bad_traits)
                bad = ", ".join(event.bad_traits[:5])[:300]
                LOG.warning("Event %s: ignored unreadable traits: %s", event.message_id[:255], bad)
        if len(matches) > 1:
            matches.sort(key=lambda m: m.subject.event_time)
        return matches

    def _matches_left(self, event: Event, now: datetime.datetime) -> list[Match] | None:
        left = self._unfinished.of(event)
        if left is None or self._database.clock.steps == self._unfinished_steps:
            return left
        return [_at(match, event.time(now)) for match in left]

    def _matches_of(self, event: Event, now: datetime.datetime) -> list[Match]:
        matches: list[Match] = []
        for project_id in self.projects(event):
            candidates = self._cache.project(project_id).candidates(event, now)
            if candidates:
                about = self._subject(event, now)
                for c in candidates:
                    subject = about if c.managed_object is None else on_object(about, c.managed_object)
                    matches.append(Match(c.alarm_id, project_id, c.verdict, subject))
        return matches

    def projects(self, event: Event) -> tuple[str, ...]:
        """Return the projects whose alarms an event may concern: its owner's, or those of nobody's events."""
        owner = self._owners.of(event)
        if len(owner) > text.KEY_LENGTH:
            # No project has such a name; whoever says so is nobody, and not the infrastructure either.
            return ()
        return (owner,) if owner else ("", *self._options.infrastructure_projects)

    def _subject(self, event: Event, now: datetime.datetime) -> Subject:
        managed_object = text.key(event.first_trait(self._options.resource_traits))
        return Subject(event, managed_object, text.key(event.message_id), event.time(now))

    # -- settle -----------------------------------------------------------------------------------------

    def _settle_by_turns(
        self, turns: Sequence[list[Match]], report: BatchReport, until: float, events: Sequence[Event]
    ) -> None:
        """Settle one turn, and more *until* then (monotonic); the others are left to the next batch."""
        settled = 0
        for turn in turns:
            if settled and time.monotonic() >= until:
                break
            self._settle(turn, report)
            settled += 1
        left = [match for turn in turns[settled:] for match in turn]
        self._unfinished.keep(events, left)
        self._unfinished_steps = self._steps
        report.left += {id(m.subject.event): m.subject.event for m in left}.values()
        report.events -= len(report.left)

    def _settle(self, matches: list[Match], report: BatchReport) -> None:
        rest = matches
        while rest:
            self._step()
            rest = self._settle_some(rest, report)

    def _settle_some(self, matches: list[Match], report: BatchReport) -> list[Match]:
        """Settle as many matches as one transaction may hold, and return the others."""
        if self._locked:
            matches = self._without_locked(matches, report)
        if not matches:
            return []
        try:
            shipment, done, beyond = self._close_and_commit(matches, report)
        except Locked as exc:
            self._settle_beside(matches, report, exc)
        except Retryable:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it must hurt only the event that caused it
            self._settle_apart(matches, report, exc)
        else:
            mark_all(self._trace, Stage.COMMITTED, (m.subject.event for m in done))
            self._courier.submit(shipment)
            return beyond
        return []

    def _without_locked(self, matches: list[Match], report: BatchReport) -> list[Match]:
        """Put off all matches of the alarms that are left alone at present; return the others."""
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
        """Find the one match that cannot be settled, and leave out only that (G6)."""
        if len(matches) > 1:
            half = len(matches) // 2
            self._settle(matches[:half], report)
            self._settle(matches[half:], report)
            return
        report.reasons["refused"] += 1
        LOG.error(
            "Event %s cannot change alarm %s and is left out there: %s: %s",
            matches[0].subject.message_key,
            matches[0].alarm_id,
            type(error).__name__,
            str(error).splitlines()[0][:300] if str(error) else "",
            exc_info=LOG.isEnabledFor(logging.DEBUG),
        )

    def _close_and_commit(
        self, matches: list[Match], report: BatchReport
    ) -> tuple[S, list[Match], list[Match]]:
        while True:
            try:
                return self._commit_somehow(matches, report)
            except CloseFirst as exc:
                close_in_chunks(self._database, exc.alarm_ids, self._clock())

    def _commit_somehow(
        self, matches: list[Match], report: BatchReport
    ) -> tuple[S, list[Match], list[Match]]:
        """Commit, at once again when another transaction won: on a Galera cluster it may be another node's.

        A row that another node wrote may also be found only when ours is written: then it is a duplicate.
        """
        for _ in range(CONFLICTS):
            with contextlib.suppress(Conflict, db_exception.DBDuplicateEntry):
                return self._commit(matches, report)
        return self._commit(matches, report)

    def _commit(self, matches: list[Match], report: BatchReport) -> tuple[S, list[Match], list[Match]]:
        """Commit what *matches* lead to; return those that are done, and those that the transaction left."""
        reasons: Counter[str] = Counter()
        weight, recorded, done = Weight(self._texts), 0, 0
        with self._database.begin() as connection:
            transaction = Transaction(connection)
            ledger, keeper, picture, now = self._load(transaction, matches)
            case = EvaluationContext(ledger, keeper, now, reasons)
            ordered = self._timed(matches, now)
            for match in ordered:
                reasons[self._judge(case, match)] += 1
                done += 1
                if news := ledger.transitions_since(recorded):
                    recorded += len(news)
                    weight.add(news)
                    if weight.bytes >= self._options.max_transaction_size:
                        break
            shipment, transitions = self._books.write(
                transaction, ledger, keeper, picture, now, texts=self._texts
            )
        report.reasons.update(reasons)
        report.transitions.extend(transitions)
        return shipment, ordered[:done], ordered[done:]

    def _timed(self, matches: list[Match], now: datetime.datetime) -> list[Match]:
        """Return the matches by the clock as it is now, should it have been stepped since they were found."""
        if self._database.clock.steps == self._steps:
            return matches
        timed = (_at(match, match.subject.event.time(now)) for match in matches)
        return sorted(timed, key=lambda m: m.subject.event_time)

    def _load(
        self, transaction: Transaction, matches: list[Match]
    ) -> tuple[BatchState, Timekeeper | None, Picture, datetime.datetime]:
        alarms = transaction.lock({m.alarm_id for m in matches})
        objects = {m.subject.managed_object for m in matches}
        messages = {m.subject.message_key for m in matches}
        timed = {a for a, alarm in alarms.items() if is_timed(alarm.definition)}
        keeper = None
        if timed:
            # The alarm itself may be awaited, before its first object is known.
            objects.add("")
            wanted = (timer_ids(m.alarm_id, m.subject.managed_object) for m in matches if m.alarm_id in timed)
            connection = transaction.connection
            known = timers.read(connection, {name for names in wanted for name in names})
            keeper = Timekeeper(known, self._database.about_now())
        elsewhere: set[tuple[str, str]] = set()
        if self._options.beside_aodh_listener:
            # An event may say that it is of the year 1, and there is no time before that.
            oldest = max(NEVER, min(m.subject.event_time for m in matches))
            elsewhere = transaction.handled_elsewhere(alarms, oldest - CLOCK_TOLERANCE)
        asked_at = time.monotonic()
        picture = transaction.picture(alarms, objects, messages, self._courier.order_keys(alarms.values()))
        if picture.now is not None:
            self._database.clock.observe(picture.now, asked_at)
        if keeper is not None:
            keeper.bound(picture.awaited, picture.full_awaited, self._options.max_occurrences)
        if large := picture.to_close_first(alarms):
            raise CloseFirst(large)
        now = self._clock()
        ledger = BatchState(
            alarms,
            picture.occurrences,
            picture.raised,
            picture.seen,
            handled_elsewhere=frozenset(elsewhere),
            now=now,
            limit=self._options.max_occurrences,
            full=picture.full,
        )
        return ledger, keeper, picture, now


def _at(match: Match, event_time: datetime.datetime) -> Match:
    return dataclasses.replace(match, subject=dataclasses.replace(match.subject, event_time=event_time))
