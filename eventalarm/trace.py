"""Records of single events on their way through the stages, and the time of the last event."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from eventalarm.model import UTC, Event, Stage

# The event type of ``eventalarm-status check --canary``.
CANARY: Final = "eventalarm.canary"


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """The stages of one event, in milliseconds since it was generated."""

    message_id: str
    ms: Mapping[Stage, float]

    @property
    def total(self) -> float:
        """Milliseconds until the last stage."""
        return max(self.ms.values())


class Trace:
    """Records when each stage of single events ended; for a repeated stage, the first time. Thread-safe.

    All times come from one monotonic clock, so that the differences are exact; :meth:`now` reads the same
    clock for the time that is written into a notification.

    :param ticks: seconds of a monotonic clock.
    """

    def __init__(self, ticks: Callable[[], float] = time.perf_counter) -> None:
        self._ticks = ticks
        self._marks: dict[str, dict[Stage, float]] = {}
        self._changed = threading.Condition()
        self._zero = datetime.datetime.now(UTC)
        self._zero_tick = ticks()

    def now(self) -> datetime.datetime:
        """Return the time of day by the clock of this trace."""
        return self._zero + datetime.timedelta(seconds=self._ticks() - self._zero_tick)

    def generated(self, message_id: str, at: datetime.datetime) -> None:
        """Record that an event was generated *at*, a time that :meth:`now` returned."""
        self._note(Stage.GENERATED, message_id, (at - self._zero).total_seconds() + self._zero_tick)

    def mark(self, stage: Stage, message_id: str) -> None:
        """Record that *stage* ends now."""
        self._note(stage, message_id, self._ticks())

    def _note(self, stage: Stage, message_id: str, at: float) -> None:
        with self._changed:
            self._marks.setdefault(message_id, {}).setdefault(stage, at)
            self._changed.notify_all()

    def wait(self, message_id: str, timeout: float) -> Timeline:
        """Return the timeline of an event once all its stages have ended.

        :raises TimeoutError: naming the first stage that was not reached within *timeout* seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._missing(message_id), timeout)
            missing = self._missing(message_id)
            if missing:
                raise TimeoutError(f"the event was not {missing[0]} within {timeout:g} seconds")
            marks = self._marks[message_id]
        start = marks[Stage.GENERATED]
        return Timeline(message_id, {stage: (marks[stage] - start) * 1000 for stage in Stage})

    def _missing(self, message_id: str) -> list[Stage]:
        marks = self._marks.get(message_id, {})
        return [stage for stage in Stage if stage not in marks]


def mark_all(trace: Trace | None, stage: Stage, events: Iterable[Event]) -> None:
    """Record that *stage* ends now for each of *events*; free of cost without a *trace*."""
    if trace is not None:
        for event in events:
            trace.mark(stage, event.message_id)


class LastEvent:
    """Remembers when the last event arrived. One thread writes, any thread may read.

    :param clock: returns the current time as an aware UTC datetime.
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC)) -> None:
        self._clock = clock
        self.last: datetime.datetime | None = None

    def note(self, events: Iterable[Event]) -> None:
        """Take note that *events* have arrived; canaries do not count."""
        if any(event.event_type != CANARY for event in events):
            self.last = self._clock()
