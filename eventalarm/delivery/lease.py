"""The lease of this process, judged by elapsed time alone, without asking the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

# A process polls for due deliveries after 0.8 to 1.2 times the poll interval.
SPREAD: Final = 0.2
# Share of the promised time for the poll, the POST and recording its result.
WORK: Final = 0.05
# Seconds that the wall clock must gain on elapsed time at once to count as a jump.
JUMP: Final = 0.5


def _since_boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def term(promised: float, poll_interval: float) -> float:
    """Return how long a lease lasts, so that others take over within *promised* seconds.

    A process may die right after it renewed. The next poll of another process sees that renewal, and the
    first poll after it has stood still for a lease finds what the dead one held. At least half of the promise
    is kept for the lease itself.
    """
    return max(promised / 2, promised * (1.0 - WORK) - 2 * between_polls(poll_interval))


def between_polls(poll_interval: float) -> float:
    """Return the longest usual time between two polls of a process that has room for more deliveries."""
    return poll_interval * (1.0 + SPREAD)


class ElapsedTime:
    """Elapsed seconds, as many as any clock of this host says have passed.

    ``time.monotonic`` stands still while a host is suspended. While a virtual machine is paused all its
    clocks do, until the wall clock is set: its jump shows for how long the lease was not renewed. A jump of
    the wall clock for another reason makes the lease look ended until the next renewal.
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
    """The lease of this process: valid for *seconds*, counted from before the database was asked.

    So it never seems valid for longer than other processes believe it to be.

    :param clock: elapsed time in seconds; must not stand still while the host is suspended.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self.seconds = seconds
        self.now = clock or ElapsedTime()
        self.owner: str | None = None
        self._closed = False
        self._valid_until = 0.0
        self._no_takeover_before = 0.0

    def begin(self, owner: str, asked_at: float) -> None:
        """Record that this process is registered as *owner*, as it asked for at *asked_at*."""
        self._valid_until = asked_at + self.seconds
        self.owner = owner

    def renewed(self, asked_at: float) -> None:
        """Record that the database agreed to the renewal asked for at *asked_at*."""
        self._valid_until = max(self._valid_until, asked_at + self.seconds)

    def lost(self) -> None:
        """Record that the row of this process was gone, or had expired."""
        self.owner = None

    def database_failed(self) -> None:
        """Leave the deliveries of other workers alone for the length of a lease.

        They may look dead only because they could not reach the database either, and need that time to come
        back and to record what they sent; else it would be sent twice (G2).
        """
        self._no_takeover_before = self.now() + self.seconds

    def close(self) -> bool:
        """Begin nothing new under this lease, as the worker stops; return False if it was closed before."""
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
