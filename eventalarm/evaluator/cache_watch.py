"""Gauges of the alarm cache: its size and the time of its last refresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.metrics import Metrics

LOOK_INTERVAL: Final = 5.0


class CacheWatch:
    """Updates the gauges of the cache when called, at most every ``LOOK_INTERVAL`` seconds."""

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
