"""Sends events to the ingest API, in order, from a spool that survives its absence."""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from eventalarm.backoff import Backoff
from eventalarm.exceptions import EventAlarmError
from eventalarm.guest.spool import Spool, Spooled
from eventalarm.model import JSONDict

LOG = logging.getLogger(__name__)

# Events in one request.
MOST_EVENTS: Final = 100
# Seconds that the end of the monitor waits for a last request.
LAST_REQUEST: Final = 5.0


class ApiUnavailable(EventAlarmError):
    """The ingest API or Keystone did not accept the request; the same request can succeed later."""


class EventsRefused(EventAlarmError):
    """The ingest API can never accept the events of a request."""


class Post(Protocol):
    """Sends events to the ingest API; raises ApiUnavailable or EventsRefused."""

    def __call__(self, events: Sequence[JSONDict]) -> None:
        """Return once the API has accepted all of *events*."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Events to send, and the states of all guests after them; *beat* is sent only if it is the newest."""

    events: tuple[JSONDict, ...] = ()
    states: Mapping[str, JSONDict] | None = None
    beat: JSONDict | None = None


class Reporter:
    """A thread that stores reports in the spool and sends them.

    :param backoff: seconds to wait after a number of failures.
    """

    def __init__(
        self, spool: Spool, post: Post, backoff: Backoff, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spool = spool
        self._post = post
        self._backoff = backoff
        self._clock = clock
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._beat: JSONDict | None = None
        self._failures = 0
        self._not_before = 0.0
        self._one_by_one = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    @property
    def waiting(self) -> int:
        """The number of events that the API has not accepted yet."""
        return len(self._spool)

    @property
    def dropped(self) -> int:
        """The number of events that were dropped because the spool was full."""
        return self._spool.dropped

    def start(self) -> None:
        """Start the thread; it begins with what the spool contains."""
        self._thread.start()

    def report(self, report: Report) -> None:
        """Store and send *report*; returns at once. Safe to call from any thread."""
        self._reports.put(report)

    def stop(self) -> None:
        """Store everything, try once more to send it, and end the thread."""
        self._reports.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            pause = max(0.0, self._not_before - self._clock()) if self._anything() else None
            going_on = self._store(pause)
            if not going_on:
                self._finish()
                return
            if self._anything() and self._clock() >= self._not_before:
                self._send()

    def _finish(self) -> None:
        until = self._clock() + LAST_REQUEST
        while self._anything() and not self._failures and self._clock() < until:
            self._send()

    def _anything(self) -> bool:
        return bool(len(self._spool) or self._beat)

    def _store(self, pause: float | None) -> bool:
        """Store what has been reported, waiting at most *pause* seconds for it; return False at the end."""
        events: list[JSONDict] = []
        states: Mapping[str, JSONDict] | None = None
        going_on = True
        try:
            report = (
                self._reports.get(timeout=pause) if pause is None or pause > 0 else self._reports.get_nowait()
            )
            while True:
                if report is None:
                    going_on = False
                    break
                events += report.events
                states = report.states if report.states is not None else states
                self._beat = report.beat or self._beat
                report = self._reports.get_nowait()
        except queue.Empty:
            pass
        # In this order: a state that is stored without its event would never be reported.
        self._spool.add(events)
        if states is not None:
            self._spool.save_states(states)
        return going_on

    def _send(self) -> None:
        spooled = self._spool.first(1 if self._one_by_one else MOST_EVENTS)
        alone = not spooled or (not self._one_by_one and len(spooled) == len(self._spool))
        beat = self._beat if alone else None
        events = [*(one.event for one in spooled), *([beat] if beat else [])]
        try:
            self._post(events)
        except ApiUnavailable as exc:
            self._failed(exc)
        except EventsRefused as exc:
            self._refused(spooled, exc, several=len(events) > 1)
        else:
            self._accepted(spooled, beat)

    def _accepted(self, spooled: Sequence[Spooled], beat: JSONDict | None) -> None:
        if self._failures:
            LOG.info("The ingest API accepts events again")
        self._failures, self._not_before = 0, 0.0
        self._spool.remove(spooled)
        if beat is self._beat:
            self._beat = None
        self._one_by_one = self._one_by_one and bool(len(self._spool))

    def _failed(self, exc: ApiUnavailable) -> None:
        self._failures += 1
        if self._failures == 1:
            LOG.warning("The ingest API does not accept events, which are kept meanwhile: %s", exc)
        self._not_before = self._clock() + self._backoff(self._failures)

    def _refused(self, spooled: Sequence[Spooled], exc: EventsRefused, *, several: bool) -> None:
        """Find the event that is refused by sending one at a time; drop it."""
        if several:
            self._one_by_one = True
            return
        for one in spooled:
            LOG.error(
                "Event %s is dropped, since the ingest API refuses it: %s", one.event["message_id"], exc
            )
        self._spool.remove(spooled)
        if not spooled:
            LOG.error("The beat is dropped, since the ingest API refuses it: %s", exc)
            self._beat = None
