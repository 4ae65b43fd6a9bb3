"""Exponential backoff with jitter, for everything that is retried after a failure. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

# Returns a number between its two arguments, as random.uniform does.
Uniform = Callable[[float, float], float]

EQUAL_JITTER: Final = 0.5
FULL_JITTER: Final = 1.0
# After this many doublings every wait has reached its maximum; 2.0 ** 1024 overflows.
MOST_DOUBLINGS: Final = 64


class Backoff:
    """Seconds to wait before the next attempt: *initial*, doubled with each further failure, up to *longest*.

    Jitter shortens each wait by a random share of at most *jitter*, so that processes that failed together do
    not retry together: 0 for no jitter, 0.5 (the default) for half to all of the wait, 1 for none to all.

    The object keeps no state: it may be shared between threads, and the caller counts the failures.
    """

    __slots__ = ("_initial", "_jitter", "_longest", "_uniform")

    def __init__(
        self,
        initial: float,
        longest: float,
        uniform: Uniform = random.uniform,
        *,
        jitter: float = EQUAL_JITTER,
    ) -> None:
        self._initial = initial
        self._longest = longest
        self._uniform = uniform
        self._jitter = jitter

    def __call__(self, failures: int) -> float:
        """Return the seconds to wait after *failures* failures in a row (1 or more)."""
        wait = min(self._longest, self._initial * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
        return self._uniform(wait * (1.0 - self._jitter), wait) if self._jitter else wait
