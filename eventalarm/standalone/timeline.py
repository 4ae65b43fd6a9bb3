"""The measurements of the demo: when each stage of an event ended, and the figures computed from that."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence

from eventalarm.model import JSONDict
from eventalarm.trace import Timeline


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
