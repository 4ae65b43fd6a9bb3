"""What a process knows of its own lease, by its own elapsed time, without asking the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

# A process looks for what is due after 0.8 to 1.2 times the poll interval.
SPREAD: Final = 0.2
# What the look, the POST and its record may take, as a share of the promise.
WORK: Final = 0.05
# Seconds by which the wall clock runs ahead of elapsed time at once when it is set.
JUMP: Final = 0.5


def _since_boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def term(promised: float, poll_interval: float) -> float:
    """Return how long a lease lasts, so that others take over within *promised* seconds.

    A process may die right after it renewed. The next look of another process sees that renewal, and the
    first look after it has stood still for a lease finds what the dead one held. At least half of the promise
    is kept for the lease itself.
    """
    return max(promised / 2, promised * (1.0 - WORK) - 2 * between_looks(poll_interval))


def between_looks(poll_interval: float) -> float:
    """Return the longest usual time between two looks of a process that has room for more deliveries."""
    return poll_interval * (1.0 + SPREAD)


class ElapsedTime:
    """Elapsed seconds, as many as any clock of this host says have passed.

    ``time.monotonic`` stands still while a host is suspended. While a virtual machine is paused all its
    clocks do, until somebody sets the wall clock: then that shows how long the lease of this process has not
    been renewed. A step of the wall clock for another reason makes the lease look ended until the next
    renewal.
    """

    def __init__(
        self, steady: Callable[[], float] = _since_boot, wall: Callable[[], float] = time.time
    ) -> None:
        self._steady = steady
        self._wall = wall
        self._lock = threading.Lock()
        self._skipped = 0.0
        self._last = steady(), wall()

    def __call__(self) -> float:
        """Return the seconds since some moment; never goes back."""
        with self._lock:
            steady, wall = self._steady(), self._wall()
            jump = (wall - self._last[1]) - (steady - self._last[0])
            if jump > JUMP:
                self._skipped += jump
            self._last = steady, wall
            return steady + self._skipped


class Lease:
    """Valid for *seconds* counted from before the database was asked: never longer than others believe.

    ``now`` is always a reading of the process's :class:`ElapsedTime`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.owner: str | None = None
        self._valid_until = 0.0
        self._no_takeover_before = 0.0

    def begin(self, owner: str, asked_at: float) -> None:
        """We are registered as *owner*, as asked for at *asked_at*."""
        self._valid_until = asked_at + self.seconds
        self.owner = owner

    def renewed(self, asked_at: float) -> None:
        """The database agreed to a renewal asked for at *asked_at*."""
        self._valid_until = max(self._valid_until, asked_at + self.seconds)

    def lost(self) -> None:
        """Our row was gone or expired."""
        self.owner = None

    def troubled(self, now: float) -> None:
        """The database failed: others may look dead only because they could not reach it either.

        They get one lease to come back and to record what they sent; else it would be sent twice (G2).
        """
        self._no_takeover_before = now + self.seconds

    def holds(self, owner: str | None, now: float) -> bool:
        """Return True if what was leased to *owner* is ours to send at this moment."""
        return owner is not None and owner == self.owner and now < self._valid_until

    def current(self, now: float) -> str | None:
        """Return our id while the lease is valid."""
        return self.owner if now < self._valid_until else None

    def may_take_over(self, now: float) -> bool:
        """Return True if the deliveries of workers that look dead may be taken."""
        return now >= self._no_takeover_before
