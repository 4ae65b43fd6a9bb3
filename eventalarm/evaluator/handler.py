"""Evaluates batches of messages: decodes them, defers those that must wait, and isolates bad content."""

from __future__ import annotations

import datetime
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from eventalarm.evaluator.batch import LEFT, BatchReport
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.outage import LOCKED, Blamed, DatabaseOutage, LockedRetry
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.log_fields import fields
from eventalarm.metrics import Metrics, age
from eventalarm.model import DEFAULT_LIMITS, UTC, Arrival, Event, EventLimits, Stage
from eventalarm.publisher.codec import decode
from eventalarm.storage.errors import may_be_content
from eventalarm.trace import LastEvent, Trace, mark_all
from eventalarm.watchdog import Progress

LOG = logging.getLogger(__name__)

# Consecutive failures, with a database that answers in between, after which a batch or a half is blamed.
PATIENCE: Final = 4
IMPATIENCE: Final = 2
LATEST: Final = datetime.datetime.max.replace(tzinfo=UTC)
LOOK_INTERVAL: Final = 5.0


class CacheWatch:
    """Updates the gauges of the alarm cache when called, at most every ``LOOK_INTERVAL`` seconds."""

    def __init__(
        self, cache: AlarmCache, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._metrics = metrics
        self._monotonic = monotonic
        self._next = 0.0

    def __call__(self) -> None:
        """Update the gauges if ``LOOK_INTERVAL`` seconds have passed since the last update."""
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_INTERVAL
        found = self._cache.figures()
        self._metrics.set("cache_alarms", found.alarms)
        self._metrics.set("cache_projects", found.projects)
        self._metrics.set("cache_scanned_rules", found.scanned)
        if found.refreshed_at is not None:
            self._metrics.set("cache_refreshed_timestamp_seconds", found.refreshed_at.timestamp())


class BatchHandler:
    """Turns the messages of a batch into events and evaluates them.

    While the database is unavailable, a batch is held, and finally given back (:class:`DatabaseOutage`). If
    the database answers in between, the batch itself causes the failure: it is halved, down to a single
    event, which is given up if its content can be the cause (guarantee G6).

    :param loader: loads large projects; messages whose project is not loaded yet are deferred.
    :param locked_retry: resumes messages that were deferred because another session keeps an alarm locked.
    :param cache_watch: called after each batch that was committed.
    :param last_event: records when the last event arrived.
    :param progress: shows the watchdog that the evaluator is working.
    :param prepare: called once before any message is taken, on the thread that evaluates.
    """

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        outage: DatabaseOutage,
        *,
        loader: ProjectLoader | None = None,
        locked_retry: LockedRetry | None = None,
        cache_watch: CacheWatch | None = None,
        limits: EventLimits = DEFAULT_LIMITS,
        trace: Trace | None = None,
        last_event: LastEvent | None = None,
        progress: Progress | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._metrics = metrics
        self._outage = outage
        self._loader = loader
        self._locked_retry = locked_retry
        self._cache_watch = cache_watch
        self._limits = limits
        self._trace = trace
        self._last_event = last_event or LastEvent()
        self._progress = progress or Progress()
        self._prepare = prepare
        # The deferred messages, each with its unevaluated events, by the id of the message object.
        self._unfinished: dict[int, tuple[dict[str, Any], list[Event]]] = {}

    def prepare(self) -> None:
        """Prepare to process batches; called once, before any message is taken."""
        self._prepare()

    def ready(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Wait until the database answers.

        :param interrupted: returns True when the wait must end.
        :param away: called once if the database does not answer at first.
        :returns: False if interrupted, or if the process stops.
        """
        return self._outage.wait(interrupted, away)

    def resumed(self, what: str) -> None:
        """Prepare for the messages that waited for *what*, the id of a project or LOCKED; they come next."""
        if what == LOCKED:
            self._engine.retry_locked()
        elif self._loader is not None:
            self._loader.release(what)

    def dropped(self) -> None:
        """Forget the deferred messages, since they went back to the broker; thread-safe."""
        self._unfinished.clear()
        self._engine.forget_unfinished()

    def handle(self, messages: Sequence[dict[str, Any]]) -> dict[int, str] | None:
        """Process the message bodies of one batch.

        :returns: the positions of the deferred messages, each with what it waits for: the id of a project,
            LOCKED, or LEFT for the next batch. All others can be acknowledged. None if all messages must go
            back to the broker.
        """
        with self._progress.work():
            return self._handle(messages)

    def _handle(self, messages: Sequence[dict[str, Any]]) -> dict[int, str] | None:
        started = time.monotonic()
        decoded = [self._events_of(message) for message in messages]
        deferred = self._outage.hold_and_retry(sum(map(len, decoded)), lambda: self._deferred(decoded))
        waiting = frozenset(deferred or ())
        ready = [event for place, events in enumerate(decoded) if place not in waiting for event in events]
        report = self._evaluate_measured(ready, started) if ready and deferred is not None else None
        if deferred is None or (ready and report is None):
            self._metrics.count("batches", outcome="given_back")
            return None
        if report is not None:
            deferred |= self._undone(decoded, report)
        undone = set(map(id, (*report.deferred, *report.left))) if report is not None else set()
        for place in deferred:
            events = [e for e in decoded[place] if place in waiting or id(e) in undone]
            self._unfinished[id(messages[place])] = messages[place], events
        self._metrics.count("messages", len(messages) - len(deferred), outcome="taken")
        return deferred

    def _undone(self, decoded: Sequence[Sequence[Event]], report: BatchReport) -> dict[int, str]:
        """Return the positions of messages with unevaluated events, each with what it waits for."""
        found: dict[int, str] = {}
        for events, what in ((report.deferred, LOCKED), (report.left, LEFT)):
            late = set(map(id, events))
            found |= {place: what for place, some in enumerate(decoded) if late & set(map(id, some))}
        if report.deferred and self._locked_retry is not None:
            self._locked_retry()
        return found

    def _events_of(self, message: dict[str, Any]) -> list[Event]:
        known = self._unfinished.pop(id(message), None)
        return self._decode(message) if known is None else known[1]

    def _decode(self, message: dict[str, Any]) -> list[Event]:
        good, bad = decode(message.get("payload"), self._limits)
        for error in bad:
            self._metrics.count("events", outcome="unreadable", reason=error.reason)
            LOG.warning(
                "Ignored unreadable event %s in message %s: %s",
                error.event_id or "(no id)",
                message.get("message_id"),
                error,
                extra=fields(event_id=error.event_id, message_id=str(message.get("message_id") or "")),
            )
        arrival = Arrival(time.time(), message)
        for event in good:
            event.arrival = arrival
        return good

    def _deferred(self, decoded: Sequence[Sequence[Event]]) -> dict[int, str]:
        """Return the positions of the messages that must wait, each with the project that it waits for."""
        if self._loader is None:
            return {}
        owners = [[name for e in events for name in self._engine.projects(e)] for events in decoded]
        self._loader.load_small(list(dict.fromkeys(itertools.chain.from_iterable(owners))))
        ready = self._loader.ready
        awaited = (next((name for name in names if not ready(name)), None) for names in owners)
        return {place: project for place, project in enumerate(awaited) if project is not None}

    def _evaluate_measured(self, events: list[Event], started: float) -> BatchReport | None:
        mark_all(self._trace, Stage.RECEIVED, events)
        self._last_event.note(events)
        # One measurement per batch: its first event has waited longest.
        now = datetime.datetime.now(UTC)
        waited = age(events[0].time(now), now)
        report = self._evaluate(events, PATIENCE)
        if report is None:
            return None
        took = time.monotonic() - started
        self._metrics.observe("batch_seconds", took)
        self._metrics.observe("event_age_seconds", waited, stage="received")
        self._metrics.observe("event_age_seconds", waited + took, stage="committed")
        self._count(report)
        if self._cache_watch is not None:
            self._cache_watch()
        return report

    def _evaluate(self, events: list[Event], patience: int) -> BatchReport | None:
        """Evaluate events, and give up one that the database cannot process; None to give them back."""
        try:
            return self._outage.hold_and_retry(len(events), lambda: self._engine.process(events), patience)
        except Blamed as exc:
            error = exc.error
        if len(events) > 1:
            return self._evaluate_halves(events)
        if not may_be_content(error):
            return self._outage.hold_and_retry(1, lambda: self._engine.process(events))
        self._metrics.count("events", outcome="given_up", reason="database")
        LOG.error(
            "Event %s is given up: the database answers, but fails with this event alone: %s",
            events[0].message_id,
            error,
            extra=fields(event_id=events[0].message_id),
        )
        return BatchReport()

    def _evaluate_halves(self, events: list[Event]) -> BatchReport | None:
        """Evaluate one half after the other, in the order of the events' times, as the engine would."""
        # By the times in the events, independent of the clock of this host.
        ordered = sorted(events, key=lambda event: event.time(LATEST))
        LOG.warning(
            "The database answers, but fails with these %d events together; evaluating them in halves",
            len(events),
        )
        report, half = BatchReport(), len(events) // 2
        for part in (ordered[:half], ordered[half:]):
            if report.left:
                # The rest of the first half must be evaluated before the second half.
                report.left += part
                continue
            found = self._evaluate(part, IMPATIENCE)
            if found is None:
                return None
            report.add(found)
        return report

    def _count(self, report: BatchReport) -> None:
        self._metrics.count("batches", outcome="committed")
        self._metrics.count("events", report.events, outcome="evaluated", reason="")
        self._metrics.observe("match_seconds", report.match_seconds)
        self._metrics.observe("commit_seconds", report.commit_seconds)
        for kind, number in Counter(t.kind for t in report.transitions).items():
            self._metrics.count("transitions", number, kind=kind.value)
        for kind, number in Counter(t.kind for t in report.transitions if t.inhibited_by).items():
            self._metrics.count("transitions_inhibited", number, kind=kind.value)
        if report.bad_traits:
            self._metrics.count("bad_traits", report.bad_traits)
        for reason, number in report.reasons.items():
            self._metrics.count("decisions", number, reason=reason)
