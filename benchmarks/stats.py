"""Statistics of a list of figures: the median with its spread, and percentiles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The median, minimum and maximum of some repeats."""

    median: float
    least: float
    most: float
    count: int


def summarise(samples: Sequence[float]) -> Summary:
    """Return the summary of at least one figure.

    :raises ValueError: if there is none.
    """
    if not samples:
        raise ValueError("no samples")
    return Summary(statistics.median(samples), min(samples), max(samples), len(samples))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* per cent of them do not exceed (nearest rank).

    :raises ValueError: when there is no value or *share* is not in (0, 100].
    """
    if not values or not 0 < share <= 100:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * share / 100)) - 1]


def slope(cost_of_few: float, cost_of_many: float) -> float:
    """Return the cost of many divided by the cost of few; 1 means that the number does not matter."""
    return cost_of_many / cost_of_few
