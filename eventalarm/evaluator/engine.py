"""Evaluation of a batch of events: match, lock, decide, commit, then start the deliveries.

Nothing here depends on the message bus or on HTTP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.background_recorder import BackgroundRecorder
from eventalarm.evaluator.batch import BatchReport, Unfinished, divide
from eventalarm.evaluator.commit import Committed, Committer, Outdated
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Match
from eventalarm.evaluator.matcher import EventMatcher
from eventalarm.evaluator.options import EngineOptions
from eventalarm.evaluator.outage import LockedAlarms
from eventalarm.evaluator.sampling import Sampler
from eventalarm.exceptions import Locked, Retryable
from eventalarm.log_fields import fields
from eventalarm.model import Event, Stage, mark_profiles
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts
from eventalarm.trace import Trace, mark_all
from eventalarm.watchdog import Progress

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Ahead:
    """The matches of a batch, found before it was known whether a definition had changed.

    ``outdated``: a look has found that one had, and refreshed the cache. ``took_turn``: a turn of projects
    with many matches was settled with the look.
    """

    report: BatchReport
    matches: list[Match] = dataclasses.field(default_factory=list)
    commit_seconds: float = 0.0
    outdated: bool = False
    took_turn: bool = False


class Engine:
    """Evaluates batches of events, one at a time. Any number of processes may run an engine.

    :param clock: returns the current time as an aware UTC datetime; by default the clock of the database, so
        that all hosts use one clock to decide which events are late.
    :param progress: shows a watchdog, between transactions, that the work advances.
    :param recorder: records the events that concern no alarm.
    :param sampler: chooses the events that are profiled; without one none is.
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
        recorder: BackgroundRecorder | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self._database = database
        self._cache = cache
        self._enqueuer = enqueuer
        self._options = options
        self._locked = LockedAlarms(database)
        self._unfinished = Unfinished()
        self._clock = clock = clock or database.about_now
        self._matcher = EventMatcher(database, cache, options, self._unfinished, clock)
        self._committer = Committer(database, cache, enqueuer, options, matcher=self._matcher, clock=clock)
        self._trace = trace
        self._progress = progress or Progress()
        self._recorder = recorder
        self._sampler = sampler
        # Whether the last look found that definitions were edited: then the next one probably does too.
        self._edited = False
        # The encoded events of the current batch.
        self._texts = EventTexts()

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Evaluate events, commit all their changes, and start the deliveries.

        When this returns, the messages of the events may be acknowledged, except for ``deferred`` and
        ``left`` of the report. Pass the events of ``deferred`` again after :meth:`retry_locked`, and those of
        ``left`` with the next batch (the same objects if possible), in both cases before younger events. An
        event whose content the database refuses is logged, counted and skipped; the others are committed
        (G6).

        :raises Retryable: when the database failed; uncommitted changes are rolled back, and passing
            the same events again is safe (G2).
        """
        report = BatchReport(events=len(events))
        started = time.monotonic()
        self._progress.advance()
        self._texts = EventTexts(self._options.max_event_size)
        ahead = self._match_ahead(events)
        rest = None if ahead is None else self._settle_ahead(ahead)
        if ahead is None or rest is None:
            self._edited = self._cache.refresh() or (ahead is not None and ahead.outdated)
            if ahead is None or self._edited:
                ahead = Ahead(BatchReport())
                ahead.matches = self._matches(events, ahead.report)
            rest = divide(ahead.matches, self._options.max_candidates)
        self._record(events, ahead.matches)
        report.add(ahead.report)
        matched = time.monotonic()
        first, turns = rest
        for group in first:
            self._settle(group, report)
        until = matched - ahead.commit_seconds + self._options.max_batch_time
        self._settle_by_turns(turns, report, until, events, begun=ahead.took_turn)
        self._texts = EventTexts()
        report.match_seconds += matched - started - ahead.commit_seconds
        report.commit_seconds += time.monotonic() - matched + ahead.commit_seconds
        return report

    def _record(self, events: Sequence[Event], matches: Sequence[Match]) -> None:
        """Have the events recorded that concern no alarm."""
        if self._recorder is None:
            return
        now = self._clock()
        found: list[tuple[Event, tuple[str, ...], datetime.datetime]] = []
        for one in events:
            # An event that cannot be matched cannot be recorded either, and is logged there.
            with contextlib.suppress(Exception):
                found.append((one, self.projects(one), self._matcher.time_of(one, now)))
        self._recorder.note(found, matches, now)

    def _match_ahead(self, events: Sequence[Event]) -> Ahead | None:
        """Match events with the cached definitions; None if these are probably outdated."""
        if self._edited or not self._database.has_pipelines or not self._cache.can_look_along:
            return None
        ahead = Ahead(BatchReport())
        ahead.matches = self._matches(events, ahead.report)
        return ahead

    def _settle_ahead(self, ahead: Ahead) -> tuple[list[list[Match]], list[list[Match]]] | None:
        """Settle the first part of the matches, and look for edited definitions in the same trip.

        Return what is left, as :func:`divide` does. None if nothing was done, because there are no matches or
        very many, a definition has changed, or they must be settled apart.
        """
        first, turns = divide(ahead.matches, self._options.max_candidates)
        parts = first or turns
        if not parts or ahead.report.left or self._locked:
            return None
        part = parts.pop(0)
        began = time.monotonic()
        try:
            committed = self._committer.commit(part, ahead.report, self._texts, look=True)
        except Outdated:
            ahead.outdated = True
            return None
        except Locked as exc:
            # So that the next attempt leaves them out, and does not wait for them again.
            self._locked.find({match.alarm_id for match in part}, exc)
            return None
        except Retryable:
            raise
        except Exception:
            LOG.debug("The matches of a batch cannot be settled together", exc_info=True)
            return None
        self._committed(committed)
        ahead.commit_seconds = time.monotonic() - began
        ahead.took_turn = parts is turns
        return ([committed.beyond] if committed.beyond else []) + first, turns

    def _matches(self, events: Sequence[Event], report: BatchReport) -> list[Match]:
        matches = self.match(events, report)
        mark_all(self._trace, Stage.MATCHED, (m.subject.event for m in matches))
        if self._sampler is not None:
            self._sampler.matched(m.subject.event for m in matches)
        return matches

    def _committed(self, committed: Committed) -> None:
        mark_all(self._trace, Stage.COMMITTED, (m.subject.event for m in committed.done))
        if self._sampler is not None:
            mark_profiles(Stage.COMMITTED, (m.subject.event for m in committed.done), time.time())
        self._enqueuer.submit(committed.enqueued)

    def forget_unfinished(self) -> None:
        """Forget the unfinished events, since their messages were returned to the broker; thread-safe."""
        self._unfinished.clear()

    def retry_locked(self) -> None:
        """Retry the alarms that another session kept locked; their events come next."""
        self._locked.retry()

    def match(self, events: Iterable[Event], report: BatchReport) -> list[Match]:
        """Return which events concern which alarms, oldest event first."""
        return self._matcher.match(events, report)

    def projects(self, event: Event) -> tuple[str, ...]:
        """Return the projects whose alarms an event may concern."""
        return self._matcher.projects(event)

    def _settle_by_turns(
        self,
        turns: Sequence[list[Match]],
        report: BatchReport,
        until: float,
        events: Sequence[Event],
        *,
        begun: bool,
    ) -> None:
        """Settle turns *until* a monotonic time, but at least one; leave the others to the next batch.

        *begun*: one was settled before.
        """
        settled = 0
        for turn in turns:
            if (settled or begun) and time.monotonic() >= until:
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
            committed = self._committer.commit(matches, report, self._texts)
        except Locked as exc:
            self._settle_beside(matches, report, exc)
        except Retryable:
            raise
        except Exception as exc:  # noqa: BLE001 - any error must affect only the event that caused it
            self._settle_apart(matches, report, exc)
        else:
            self._committed(committed)
            return committed.beyond
        return []

    def _without_locked(self, matches: list[Match], report: BatchReport) -> list[Match]:
        """Defer all matches of alarms that are currently skipped; return the others."""
        locked = self._locked.among({m.alarm_id for m in matches})
        late = [m for m in matches if m.alarm_id in locked]
        report.deferred.extend(m.subject.event for m in late)
        report.reasons["locked"] += len(late)
        return [m for m in matches if m.alarm_id not in locked] if late else matches

    def _settle_beside(self, matches: list[Match], report: BatchReport, error: Locked) -> None:
        """Find the alarms that another session keeps locked, and settle all others."""
        half = self._locked.isolate({m.alarm_id for m in matches}, error)
        if half:
            self._settle([m for m in matches if m.alarm_id in half], report)
        self._settle([m for m in matches if m.alarm_id not in half], report)

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
            extra=fields(event_id=matches[0].subject.message_key, alarm_id=matches[0].alarm_id),
        )
