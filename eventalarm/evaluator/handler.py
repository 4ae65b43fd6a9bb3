"""A batch of messages: decoded, evaluated, and held while the database is away."""

from __future__ import annotations

import datetime
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from eventalarm.backoff import Backoff
from eventalarm.evaluator.batch_report import BatchReport
from eventalarm.evaluator.locked_alarms import LOCKED
from eventalarm.evaluator.unfinished import LEFT
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics, age
from eventalarm.model import DEFAULT_LIMITS, UTC, Event, EventLimits
from eventalarm.publisher.codec import decode
from eventalarm.trace import LastEvent, Stage, Trace, mark_all

LOG = logging.getLogger(__name__)

# Failures in a row after which a batch is blamed while the database answers, and one that is half of such.
PATIENCE: Final = 4
IMPATIENCE: Final = 2
LATEST: Final = datetime.datetime.max.replace(tzinfo=UTC)

T = TypeVar("T")


class Evaluator(Protocol):
    """The engine, as the handler needs it."""

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Evaluate events; raises Retryable when the database failed."""


class Blamed(Exception):
    """The database failed again and again with the same batch, and answered in between."""

    def __init__(self, error: Retryable) -> None:
        super().__init__(str(error))
        self.error = error


class BatchHandler:
    """Turns messages into events and sees them through.

    While the database is away the batch is held and tried again, with a growing, jittered pause; nothing
    is dropped and the broker keeps the rest of the queue. When *stopping* is set meanwhile, or after *hold*
    seconds, the batch is given back: the broker cuts off a consumer that keeps messages too long.

    Where the database answers in between, what it fails with is the batch: it is halved, down to the one
    event that is given up if *culprit* says that its content can be the cause (guarantee G6).

    :param answers: returns True if the database takes a small write now.
    :param culprit: returns True if content can have caused an error.
    :param when_locked: called when messages were put off for alarms that another session keeps locked.
    :param after_batch: called after each batch that was committed.
    :param awaits: returns what must come before an event can be evaluated without delay to others, or None.
        Its message is put off.
    :param backoff: how long to wait between tries.
    """

    def __init__(
        self,
        engine: Evaluator,
        metrics: Metrics,
        stopping: threading.Event,
        *,
        backoff: Backoff,
        trace: Trace | None = None,
        limits: EventLimits = DEFAULT_LIMITS,
        pulse: LastEvent | None = None,
        after_batch: Callable[[], None] = lambda: None,
        awaits: Callable[[Event], str | None] = lambda event: None,
        hold: float = math.inf,
        when_locked: Callable[[], None] = lambda: None,
        answers: Callable[[], bool] = lambda: False,
        culprit: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._engine = engine
        self._metrics = metrics
        self._stopping = stopping
        self._backoff = backoff
        self._trace = trace
        self._limits = limits
        self._pulse = pulse or LastEvent()
        self._after_batch = after_batch
        self._awaits = awaits
        self._hold = hold
        self._when_locked = when_locked
        self._answers = answers
        self._culprit = culprit
        # Messages that were put off, and those of their events that are not done, by the id of the message.
        self._unfinished: dict[int, tuple[dict[str, Any], list[Event]]] = {}

    def __call__(self, messages: Sequence[dict[str, Any]]) -> dict[int, str] | None:
        """Handle the messages of one batch; None means that they must go back to the broker.

        Else all are done but those returned: their position, and what they wait for.
        """
        started = time.monotonic()
        decoded = [self._events_of(message) for message in messages]
        put_off = self._holding(sum(map(len, decoded)), lambda: self._put_off(decoded))
        waiting = frozenset(put_off or ())
        ready = [event for place, events in enumerate(decoded) if place not in waiting for event in events]
        report = self._see_through(ready, started) if ready and put_off is not None else None
        if put_off is None or (ready and report is None):
            self._metrics.count("batches", outcome="given_back")
            return None
        if report is not None and (report.put_off or report.left):
            for events, what in ((report.put_off, LOCKED), (report.left, LEFT)):
                late = set(map(id, events))
                put_off |= {place: what for place, some in enumerate(decoded) if late & set(map(id, some))}
            if report.put_off:
                self._when_locked()
        undone = set(map(id, (*report.put_off, *report.left))) if report is not None else set()
        for place in put_off:
            events = [e for e in decoded[place] if place in waiting or id(e) in undone]
            self._unfinished[id(messages[place])] = messages[place], events
        self._metrics.count("messages", len(messages) - len(put_off), outcome="taken")
        return put_off

    def forget_unfinished(self) -> None:
        """Forget the messages that were put off, since they went back to the broker; from any thread."""
        self._unfinished.clear()

    def _events_of(self, message: dict[str, Any]) -> list[Event]:
        known = self._unfinished.pop(id(message), None)
        return self._decode(message) if known is None else known[1]

    def _decode(self, message: dict[str, Any]) -> list[Event]:
        good, bad = decode(message.get("payload"), self._limits)
        for error in bad:
            self._metrics.count("events", outcome="unreadable", reason=error.reason)
            LOG.warning(
                "Ignored an unreadable event %s in message %s: %s",
                error.event_id or "without id",
                message.get("message_id"),
                error,
            )
        return good

    def _put_off(self, decoded: Sequence[Sequence[Event]]) -> dict[int, str]:
        """Return which messages must wait, by position, and for what."""
        awaited = (next(filter(None, map(self._awaits, events)), None) for events in decoded)
        return {place: what for place, what in enumerate(awaited) if what is not None}

    def _see_through(self, events: list[Event], started: float) -> BatchReport | None:
        mark_all(self._trace, Stage.RECEIVED, events)
        self._pulse.beat(events)
        # One look for a whole batch: the first event has waited longest.
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
        self._after_batch()
        return report

    def _evaluate(self, events: list[Event], patience: int) -> BatchReport | None:
        """Evaluate events, and give up those that the database fails with; None: they must be given back."""
        try:
            return self._holding(len(events), lambda: self._engine.process(events), patience)
        except Blamed as exc:
            error = exc.error
        if len(events) > 1:
            return self._evaluate_halves(events)
        if not self._culprit(error):
            return self._holding(1, lambda: self._engine.process(events))
        self._metrics.count("events", outcome="given_up", reason="database")
        LOG.error(
            "Event %s is given up: the database fails with it alone and answers otherwise: %s",
            events[0].message_id,
            error,
        )
        return BatchReport()

    def _evaluate_halves(self, events: list[Event]) -> BatchReport | None:
        """Evaluate one half after the other; in the order of their times, as the engine would."""
        # As they say themselves, whatever the clock of this host is.
        ordered = sorted(events, key=lambda event: event.time(LATEST))
        LOG.warning(
            "The database answers, but not with these %d events together; they are halved", len(events)
        )
        report, half = BatchReport(), len(events) // 2
        for part in (ordered[:half], ordered[half:]):
            if report.left:
                # What is left of the first half comes before the second.
                report.left += part
                continue
            found = self._evaluate(part, IMPATIENCE)
            if found is None:
                return None
            report.add(found)
        return report

    def _holding(self, number: int, work: Callable[[], T], patience: int = 0) -> T | None:
        """Do *work*, again and again while the database is away; None when the batch must be given back.

        :raises Blamed: after *patience* failures in a row with a database that answers in between; 0: never.
        """
        failures, answered = 0, 0
        until: float | None = None
        while True:
            try:
                done = work()
            except Retryable as exc:
                if until is None:
                    until = time.monotonic() + self._hold
                    LOG.error("Holding %d events until the database is back: %s", number, exc)
                self._metrics.count("batches", outcome="retried")
                failures += 1
                if self._stopping.wait(self._backoff(failures)):
                    return None
                answered = answered + 1 if patience and self._answers() else 0
                if patience and answered >= patience:
                    raise Blamed(exc) from exc
                if time.monotonic() >= until:
                    LOG.error("The database is still away; %d events go back to the broker", number)
                    return None
            else:
                if until is not None:
                    LOG.warning("The database is back; %d held events are evaluated", number)
                return done

    def _count(self, report: BatchReport) -> None:
        self._metrics.count("batches", outcome="committed")
        self._metrics.count("events", report.events, outcome="evaluated", reason="")
        self._metrics.observe("match_seconds", report.match_seconds)
        self._metrics.observe("commit_seconds", report.commit_seconds)
        for kind, number in Counter(t.kind for t in report.transitions).items():
            self._metrics.count("transitions", number, kind=kind.value)
        if report.bad_traits:
            self._metrics.count("bad_traits", report.bad_traits)
        for reason, number in report.reasons.items():
            self._metrics.count("decisions", number, reason=reason)


class Readiness:
    """Waits until the database answers; the same pauses as for a batch that is held.

    :param probe: asks the database for something small; raises Retryable while it is away.
    :param away: called when it did not answer.
    """

    def __init__(
        self,
        probe: Callable[[], object],
        stopping: threading.Event,
        *,
        backoff: Backoff,
        away: Callable[[], None],
    ) -> None:
        self._probe = probe
        self._away = away
        self._stopping = stopping
        self._backoff = backoff

    def __call__(self, interrupted: Callable[[], bool]) -> bool:
        """Return True when the database answers; False when interrupted or told to stop before."""
        failures = 0
        while not (self._stopping.is_set() or interrupted()):
            try:
                self._probe()
            except Retryable as exc:
                if not failures:
                    self._away()
                    LOG.warning("Taking no events until the database is back: %s", exc)
                failures += 1
                self._stopping.wait(self._backoff(failures))
            else:
                if failures:
                    LOG.warning("The database is back; events are taken again")
                return True
        return False
