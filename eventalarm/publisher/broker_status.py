"""What the operator is told about the broker: once when it goes away, once when it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_log import log

LOG = log.getLogger(__name__)


class Contact:
    """Remembers whether the broker takes our messages, and counts what was dropped meanwhile.

    Safe to share between threads. *clock* is monotonic, in seconds.
    """

    def __init__(self, where: str, clock: Callable[[], float]) -> None:
        self._where = where
        self._clock = clock
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self.dropped = 0
        self._reported = 0

    def lost(self, error: Exception, consequence: str) -> None:
        """Note a failure; the first one of an outage is logged, with what becomes of events until it ends."""
        with self._lock:
            if self._lost_at is not None:
                return
            self._lost_at = self._clock()
        LOG.warning("%s takes no events: %s. %s", self._where, error, consequence)

    def drop(self, count: int) -> None:
        """Count events given up; logged at the first one and each time that ten times as many are gone."""
        if not count:
            return
        with self._lock:
            self.dropped += count
            if self.dropped < 10 * self._reported or not self.dropped:
                return
            self._reported = total = self.dropped
        LOG.warning("%s: %d events dropped so far", self._where, total)

    def regained(self) -> None:
        """Note a success; the first one after an outage is logged, with its length and losses."""
        if self._lost_at is None:
            return
        with self._lock:
            if self._lost_at is None:
                return
            seconds, dropped = self._clock() - self._lost_at, self.dropped
            self._lost_at, self.dropped, self._reported = None, 0, 0
        LOG.warning("%s takes events again, after %.1f s; %d events dropped", self._where, seconds, dropped)
