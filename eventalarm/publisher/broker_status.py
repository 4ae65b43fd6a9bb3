"""Logs when the broker stops accepting events and when it accepts them again, once each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_log import log

LOG = log.getLogger(__name__)


class BrokerStatus:
    """Keeps whether the broker accepts messages, and counts the events dropped during an outage.

    Thread-safe.

    :param where: the broker and topic, for the log.
    :param clock: monotonic, in seconds.
    """

    def __init__(self, where: str, clock: Callable[[], float]) -> None:
        self._where = where
        self._clock = clock
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self.dropped = 0
        self._reported = 0

    def lost(self, error: Exception, consequence: str) -> None:
        """Record a failure; the first of an outage is logged with *consequence* for the events."""
        with self._lock:
            if self._lost_at is not None:
                return
            self._lost_at = self._clock()
        LOG.warning("%s does not accept events: %s. %s", self._where, error, consequence)

    def drop(self, count: int) -> None:
        """Count dropped events; logged at the first and whenever the number has grown tenfold."""
        if not count:
            return
        with self._lock:
            self.dropped += count
            if self.dropped < 10 * self._reported or not self.dropped:
                return
            self._reported = total = self.dropped
        LOG.warning("%s: %d events dropped so far", self._where, total)

    def regained(self) -> None:
        """Record a success; the first after an outage is logged with its duration and losses."""
        if self._lost_at is None:
            return
        with self._lock:
            if self._lost_at is None:
                return
            seconds, dropped = self._clock() - self._lost_at, self.dropped
            self._lost_at, self.dropped, self._reported = None, 0, 0
        LOG.warning(
            "%s accepts events again after %.1f s; %d events were dropped", self._where, seconds, dropped
        )
