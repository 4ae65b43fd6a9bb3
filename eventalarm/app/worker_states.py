"""What the worker processes of a listener report about themselves, in memory that they share."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable


class WorkerStates:
    """Whether each worker process of a listener makes progress, and whether it can handle events.

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
        self._able = multiprocessing.RawArray("b", workers)

    def begin(self, worker: int) -> None:
        """Forget the reports of the process that *worker* was before."""
        self._latest[worker] = 0.0

    def report(self, worker: int, able: bool) -> None:
        """Record that *worker* makes progress, and whether it consumes events under a valid lease."""
        self._able[worker] = able
        self._latest[worker] = self._monotonic()

    def stalled(self) -> str:
        """Return an empty string if all workers make progress, else which ones do not."""
        now = self._monotonic()
        known = {number: at for number, at in enumerate(self._latest) if at}
        if not known:
            return "no worker process has reported yet"
        return _named((number for number, at in known.items() if now - at > self._fresh), "no progress")

    def unable(self) -> str:
        """Return an empty string if all workers make progress and handle events, else which ones do not."""
        idle = (number for number, at in enumerate(self._latest) if at and not self._able[number])
        return self.stalled() or _named(idle, "not consuming, or without a valid lease")


def _named(workers: Iterable[int], problem: str) -> str:
    found = ", ".join(map(str, workers))
    return f"worker process {found}: {problem}" if found else ""
