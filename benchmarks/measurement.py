"""One figure of one contender in one case: what scenarios yield and reports show."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from benchmarks.accounting import Tally
from benchmarks.stats import Summary, summarise


class Contender(enum.StrEnum):
    """Whose figure it is. The floor is what broker, HTTP or memory cost without any alarm logic."""

    FLOOR = "floor"
    EVENTALARM = "eventalarm"
    STOCK = "stock"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Samples, one for each repeat, of *metric* in *unit*.

    ``cut`` is the reason why the contender was stopped before it finished; the figure is then what it had
    done, and a time is a lower bound. ``size`` is the number of alarms, where the case varies it;
    ``distance`` the round trip to the database in milliseconds, with ``--db-rtt``.
    """

    scenario: str
    case: str
    metric: str
    unit: str
    contender: Contender
    samples: tuple[float, ...]
    more_is_better: bool = False
    tally: Tally | None = None
    cut: str = ""
    note: str = ""
    size: int | None = None
    curve: str = ""
    distance: float | None = None

    @property
    def summary(self) -> Summary | None:
        """The median with its spread; None when nothing was measured."""
        return summarise(self.samples) if self.samples else None

    @property
    def wrong(self) -> bool:
        """True if the contender finished but lost, duplicated or invented something."""
        return self.tally is not None and not self.tally.right and not self.cut

    def as_json(self) -> dict[str, Any]:
        """Return everything, for the JSON file."""
        summary = self.summary
        return {
            **dataclasses.asdict(self),
            "median": summary.median if summary else None,
            "least": summary.least if summary else None,
            "most": summary.most if summary else None,
            "wrong": self.wrong,
        }


def ratio(ours: Measurement | None, other: Measurement | None) -> float | None:
    """Return our figure (a rate or a cost) as a multiple of the other's; None if unknown."""
    if ours is None or other is None or ours.summary is None or other.summary is None:
        return None
    if not other.summary.median:
        return None
    return ours.summary.median / other.summary.median
