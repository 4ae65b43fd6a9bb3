"""Finds stalled threads: logs their stack, counts them, and ends the process if a stall lasts too long.

Nothing is lost with the process: other processes receive the messages that it has not acknowledged, and take
over its deliveries when its lease expires. Time during which the whole process or its machine was paused does
not count. A call that holds the interpreter's lock stalls the watchdog as well; so a kernel timer that counts
processor time is reset with every check, and ends the process when it expires.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Final, Protocol

LOG = logging.getLogger(__name__)

# EX_SOFTWARE of sysexits.h.
EXIT_CODE: Final = 70
# Checks within the time after which a stall is reported.
CHECKS_IN_WARN: Final = 5
STACK_DEPTH: Final = 40


class Watched(Protocol):
    """Work on a thread that is watched."""

    @property
    def ident(self) -> int:
        """The id of the working thread, as ``threading.get_ident`` returns it; 0 if unknown."""

    def poll(self) -> int | None:
        """Return a number that changes as the work advances; None while there is no work."""


class Progress:
    """Work that reports when it begins, advances and ends; another thread may poll it."""

    def __init__(self) -> None:
        self.ident = 0
        self._advances = 0
        self._busy = False

    def advance(self) -> None:
        """Report that the work advances."""
        self._advances += 1

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Watch the work that is done inside."""
        self.ident = threading.get_ident()
        self._advances += 1
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def poll(self) -> int | None:
        """Return how often the work advanced; None while there is no work."""
        return self._advances if self._busy else None


class Loop:
    """An event loop: each poll asks it to call a function, and it is stalled until it has done so.

    :param call_soon: schedules a function on the loop from any thread; does nothing once the loop has ended.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self.ident = 0
        self._call_soon = call_soon
        self._answers = 0
        self._asked = -1

    def poll(self) -> int | None:
        """Return the number of calls so far, and ask for another; None before the first."""
        if self._asked != self._answers:
            self._asked = self._answers
            self._call_soon(self._answer)
        return self._answers if self.ident else None

    def _answer(self) -> None:
        self.ident = threading.get_ident()
        self._answers += 1


class Watchdog:
    """Checks the watched threads regularly, in a separate thread.

    :param warn: seconds without progress after which a stalled thread is reported, once.
    :param exit_after: seconds without progress after which the process ends; 0: never.
    :param stalled: called with the name of a thread that is reported.
    :param progressing: called after each check that found no stalled thread.
    :param end: ends the process.
    :param own_process: True if the process runs nothing else, so that a signal may end it too.
    """

    def __init__(
        self,
        *,
        warn: float,
        exit_after: float,
        stalled: Callable[[str], None] = lambda name: None,
        progressing: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: os._exit(EXIT_CODE),
        own_process: bool = False,
    ) -> None:
        self._warn = warn
        self._exit_after = exit_after
        self._stalled = stalled
        self._progressing = progressing
        self._end = end
        self._uses_signal = own_process and exit_after > 0
        self._interval = warn / CHECKS_IN_WARN
        self._watched: dict[str, Watched] = {}
        self._seen: dict[str, int | None] = {}
        self._still: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, name: str, watched: Watched) -> None:
        """Add *watched* under the name that reports use."""
        self._watched[name] = watched

    def start(self) -> None:
        """Start the checks."""
        if self._uses_signal:
            faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the checks."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._uses_signal:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            faulthandler.unregister(signal.SIGPROF)

    def _run(self) -> None:
        before = time.monotonic()
        while not self._stopping.wait(self._interval):
            if self._uses_signal:
                signal.setitimer(signal.ITIMER_PROF, self._exit_after)
            now = time.monotonic()
            # A longer gap than two intervals is not the fault of the watched threads alone.
            passed = min(now - before, 2 * self._interval)
            before = now
            for name, watched in list(self._watched.items()):
                self._check(name, watched, passed)
            if max(self._still.values(), default=0.0) < self._warn:
                self._progressing()

    def _check(self, name: str, watched: Watched, passed: float) -> None:
        seen = watched.poll()
        was = self._still.get(name, 0.0)
        if seen is None or seen != self._seen.get(name):
            self._seen[name], self._still[name] = seen, 0.0
            if was >= self._warn:
                LOG.warning("The %s is working again", name)
            return
        still = self._still[name] = was + passed
        if was < self._warn <= still:
            self._stalled(name)
            LOG.error("The %s has been stalled for %.0f seconds at\n%s", name, still, stack(watched.ident))
        if 0 < self._exit_after <= still:
            at = stack(watched.ident)
            LOG.critical(
                "The %s has been stalled for %.0f seconds; the process ends. It is at\n%s", name, still, at
            )
            self._end()


def stack(ident: int) -> str:
    """Return the current stack of a thread, formatted like a traceback."""
    frame = sys._current_frames().get(ident)
    return (
        "".join(traceback.format_stack(frame, limit=-STACK_DEPTH))
        if frame is not None
        else "(no such thread)"
    )
