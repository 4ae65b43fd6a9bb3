"""The lease of this process, whose validity follows from elapsed time, without a query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

# A process polls for due deliveries after 0.8 to 1.2 times the poll interval.
SPREAD: Final = 0.2
# Share of the promised time that is left for the poll, the POST and recording its result.
WORK: Final = 0.05
# If the wall clock gains more than this many seconds on elapsed time at once, it has jumped.
JUMP: Final = 0.5


def _since_boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def term(promised: float, poll_interval: float, max_skew: float) -> float:
    """Return the length of a lease in seconds, such that other processes take over within *promised* seconds.

    A process may die right after a renewal. The next poll of another process sees that renewal, and the first
    poll at which it has not changed for the length of a lease and *max_skew* takes over the deliveries of the
    dead process. The lease lasts at least half of the promised time.

    :param poll_interval: seconds between two polls, on average.
    :param max_skew: seconds by which the measurements of two processes may differ.
    """
    return max(promised / 2, promised * (1.0 - WORK) - 2 * between_polls(poll_interval) - max_skew)


def between_polls(poll_interval: float) -> float:
    """Return the longest usual time, in seconds, between two polls of a process that has room."""
    return poll_interval * (1.0 + SPREAD)


class ElapsedTime:
    """The elapsed time in seconds, including the time in which this host was suspended or paused.

    ``time.monotonic`` stops while a host is suspended. All clocks of a virtual machine stop while it is
    paused, until its wall clock is set; that jump shows for how long the lease was not renewed. If the wall
    clock jumps for another reason, the lease seems to have ended until the next renewal.
    """

    def __init__(
        self, steady: Callable[[], float] = _since_boot, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._steady = steady
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._skipped = 0.0
        self._last = steady(), wall_clock()

    def __call__(self) -> float:
        """Return the seconds since a fixed moment; never goes back."""
        with self._lock:
            steady, now = self._steady(), self._wall_clock()
            jump = (now - self._last[1]) - (steady - self._last[0])
            if jump > JUMP:
                self._skipped += jump
            self._last = steady, now
            return steady + self._skipped


class Lease:
    """The lease of this process, valid for *seconds* from the moment before the database was asked.

    Others consider it valid for *max_skew* seconds longer: this process stops first, although its clock may
    be slow by that much.

    :param clock: elapsed time in seconds; must not stand still while the host is suspended.
    """

    def __init__(
        self, seconds: float, clock: Callable[[], float] | None = None, *, max_skew: float = 0.0
    ) -> None:
        self.seconds = seconds
        self.seconds_for_others = seconds + max_skew
        self.now = clock or ElapsedTime()
        self.owner: str | None = None
        self._closed = False
        self._valid_until = 0.0
        self._no_takeover_before = 0.0
        self._database_away = False

    def begin(self, owner: str, asked_at: float) -> None:
        """Record that this process is registered as *owner*, which it requested at *asked_at*."""
        self._valid_until = asked_at + self.seconds
        self.owner = owner
        self._database_returned()

    def renewed(self, asked_at: float) -> None:
        """Record that the database confirmed the renewal that was requested at *asked_at*."""
        self._valid_until = max(self._valid_until, asked_at + self.seconds)
        self._database_returned()

    def lost(self) -> None:
        """Record that the row of this process was missing, or had expired."""
        self.owner = None

    def database_failed(self) -> None:
        """Take over no deliveries of other workers until the length of a lease after it works again.

        They may look dead only because they could not write to the database either. They need that time to
        reconnect and record what they sent, which would otherwise be sent twice (guarantee G2).
        """
        self._database_away = True
        self._no_takeover_before = self.now() + self.seconds

    def _database_returned(self) -> None:
        if self._database_away:
            self._database_away = False
            self._no_takeover_before = self.now() + self.seconds

    def close(self) -> bool:
        """Start nothing more under this lease, since the worker stops; return False if already closed."""
        closed, self._closed = self._closed, True
        return not closed

    def holds(self, owner: str | None) -> bool:
        """Return True if what was leased to *owner* may be sent at this moment."""
        return owner is not None and owner == self.owner and self.now() < self._valid_until

    def accepts(self, owner: str) -> bool:
        """Return True if what is leased to *owner* may be queued here."""
        return owner == self.owner and not self._closed

    def current(self) -> str | None:
        """Return the id of this process while the lease is valid."""
        return self.owner if self.now() < self._valid_until else None

    def usable(self) -> str | None:
        """Return the id of this process while the lease is valid and the worker is not stopping."""
        return None if self._closed else self.current()

    def may_take_over(self) -> bool:
        """Return True if the deliveries of workers that look dead may be taken."""
        return self.now() >= self._no_takeover_before
