"""Detects leases that have ended, by nothing but what the watching process saw itself.

A lease is renewed by counting up a number in a row. Who sees the same number for as long as a lease lasts
knows that it was not renewed, whatever any clock shows: neither a step of the database's clock nor one of a
host's makes a living process look dead, or keeps a dead one alive.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class RenewalWatch(Generic[N]):
    """Counts for how long each of some leases has not been renewed. Not to be shared between threads.

    :param seconds: how long a lease lasts after its renewal.
    :param between: the longest usual time between two looks. More than that counts as no more: while we did
        not look, because we were stopped or the database was away, those that we watch may have been, too.
    """

    def __init__(self, seconds: float, between: float) -> None:
        self._seconds = seconds
        self._between = between
        self._looked_at: float | None = None
        self._seen: dict[N, tuple[object, float]] = {}

    def look(self, renewals: Mapping[N, object], now: float) -> dict[N, object]:
        """Take in the numbers as they are at *now*; return those that have stood still for a lease.

        *now* is elapsed time in seconds, read before the numbers were.
        """
        passed = 0.0 if self._looked_at is None else min(max(0.0, now - self._looked_at), self._between)
        self._looked_at = now
        silent = {name: self._silence(name, number, passed) for name, number in renewals.items()}
        self._seen = {name: (renewals[name], seconds) for name, seconds in silent.items()}
        return {name: renewals[name] for name, seconds in silent.items() if seconds >= self._seconds}

    def _silence(self, name: N, number: object, passed: float) -> float:
        before = self._seen.get(name)
        return before[1] + passed if before is not None and before[0] == number else 0.0
