"""What the worker processes of a listener report about themselves, in memory that they share."""

from __future__ import annotations

import enum
import multiprocessing
import time
from collections.abc import Callable, Mapping
from typing import Final


class Lack(enum.IntFlag):
    """What a worker process needs to handle events, and does not have at this moment."""

    NOTHING = 0
    DATABASE = 1
    BROKER = 2
    CONSUMER = 4
    LEASE = 8


TEXTS: Final[Mapping[Lack, str]] = {
    Lack.DATABASE: "waiting for the database",
    Lack.BROKER: "waiting for the broker",
    Lack.CONSUMER: "does not consume from the broker",
    Lack.LEASE: "no valid lease",
}


class WorkerStates:
    """Whether each worker process of a listener makes progress, and what it lacks to handle events.

    Made before the processes are forked, which share it. A worker that is being started, or is restarted
    after it ended, is left out until its first report.

    :param workers: the number of worker processes; they are numbered from 0.
    :param fresh: seconds after its last report during which a worker counts as making progress.
    :param monotonic: the clock of the machine, in seconds, which is the same in all processes.
    """

    def __init__(self, workers: int, fresh: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fresh = fresh
        self._monotonic = monotonic
        self._latest = multiprocessing.RawArray("d", workers)
        self._lacks = multiprocessing.RawArray("b", workers)

    def begin(self, worker: int) -> None:
        """Forget the reports of the process that *worker* was before."""
        self._latest[worker] = 0.0

    def report(self, worker: int, lacks: Lack) -> None:
        """Record that *worker* makes progress, and what it lacks to handle events."""
        self._lacks[worker] = lacks
        self._latest[worker] = self._monotonic()

    def stalled(self) -> str:
        """Return an empty string if all workers make progress, else which ones do not."""
        known = {number: at for number, at in enumerate(self._latest) if at}
        if not known:
            return "no worker process has reported yet"
        now = self._monotonic()
        return _named([number for number, at in known.items() if now - at > self._fresh], "no progress")

    def unable(self) -> str:
        """Return an empty string if all workers make progress and handle events, else what each one lacks."""
        found = {number: Lack(self._lacks[number]) for number, at in enumerate(self._latest) if at}
        lacking = (
            _named([number for number, lacks in found.items() if lack in lacks], text)
            for lack, text in TEXTS.items()
        )
        return "; ".join(filter(None, (self.stalled(), *lacking)))


def _named(workers: list[int], problem: str) -> str:
    found = ", ".join(map(str, workers))
    return f"worker process {found}: {problem}" if found else ""
