"""The measurements of the demo: when each stage of an event ended, and the figures computed from that."""

from __future__ import annotations

import dataclasses
import datetime
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from eventalarm.model import UTC, JSONDict
from eventalarm.trace import Stage


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """The stages of one event, in milliseconds since it was generated."""

    message_id: str
    ms: Mapping[Stage, float]

    @property
    def total(self) -> float:
        """Milliseconds until the last stage."""
        return max(self.ms.values())


class Recorder:
    """A :class:`eventalarm.trace.Trace` that records times; for a repeated stage, the first.

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
        """Return the time of day by the clock of this recorder."""
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


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The measurements: *start* in seconds; *fault* and *recovery* are the first ones.

    *more* are the repetitions: a fault, its recovery, a fault, and so on.
    """

    alarm_id: str
    start: float
    fault: Timeline
    recovery: Timeline
    more: Sequence[Timeline]

    @property
    def typical(self) -> Timeline:
        """The fault with the median time among *more*."""
        faults = sorted(self.more[::2], key=lambda line: line.total)
        return faults[len(faults) // 2]

    @property
    def median(self) -> float:
        """Median of *more*, in milliseconds from Nova's notification to the consumer's answer."""
        return statistics.median(line.total for line in self.more)

    @property
    def slowest(self) -> float:
        """Maximum of *more*, in milliseconds."""
        return max(line.total for line in self.more)

    def as_json(self) -> str:
        """Return the measurements as JSON."""
        figures: JSONDict = {
            "alarm_id": self.alarm_id,
            "start_seconds": round(self.start, 3),
            "fault": _as_dict(self.fault),
            "recovery": _as_dict(self.recovery),
            "typical": _as_dict(self.typical),
            "more": {
                "count": len(self.more),
                "median_ms": round(self.median, 3),
                "slowest_ms": round(self.slowest, 3),
            },
        }
        return json.dumps(figures, indent=1)


def _as_dict(line: Timeline) -> JSONDict:
    return {
        "message_id": line.message_id,
        "ms": {stage: round(ms, 3) for stage, ms in line.ms.items()},
    }
