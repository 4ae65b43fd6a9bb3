"""Threads that stand still: found, shown with their stack, counted; if it lasts too long the process ends.

Nothing is lost with the process: messages that are not acknowledged go to others, and so do deliveries when
their lease ends. Time in which the whole process was stopped, or its machine paused, does not count. What
holds the interpreter stops the watchdog too. Against that a timer of the kernel, which counts processor time,
is set again with every look, and ends the process when it fires.
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
LOOKS_IN_WARN: Final = 5
DEEPEST: Final = 40


class Watched(Protocol):
    """A thread that is watched."""

    @property
    def ident(self) -> int:
        """The thread that works, as ``threading.get_ident`` names it."""

    def look(self) -> int | None:
        """Return what changes with every step of the work; None while there is no work."""


class Progress:
    """Work of a thread that tells when it begins, goes on, and ends; safe to read from another thread."""

    def __init__(self) -> None:
        self.ident = 0
        self._advances = 0
        self._busy = False

    def advance(self) -> None:
        """Tell that the work goes on."""
        self._advances += 1

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Watch what is done inside."""
        self.ident = threading.get_ident()
        self._advances += 1
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def look(self) -> int | None:
        """Return the steps so far; None while there is no work."""
        return self._advances if self._busy else None


class Loop:
    """An event loop: it is asked for a sign with every look, and stands still until it gives one.

    :param call_soon: has the loop call a function soon; does nothing once the loop has ended.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self.ident = 0
        self._call_soon = call_soon
        self._answers = 0
        self._asked = -1

    def look(self) -> int | None:
        """Return the signs so far, and ask for another; None before the first one."""
        if self._asked != self._answers:
            self._asked = self._answers
            self._call_soon(self._answer)
        return self._answers if self.ident else None

    def _answer(self) -> None:
        self.ident = threading.get_ident()
        self._answers += 1


class Watchdog:
    """Looks at threads from one of its own.

    :param warn: seconds of standing still after which a thread is reported, once.
    :param exit_after: seconds after which the process ends; 0: never.
    :param stalled: told the name of a thread that is reported.
    :param end: ends the process.
    :param own_process: whether the process is ours alone, so that it may end by a signal too.
    """

    def __init__(
        self,
        *,
        warn: float,
        exit_after: float,
        stalled: Callable[[str], None] = lambda name: None,
        end: Callable[[], None] = lambda: os._exit(EXIT_CODE),
        own_process: bool = False,
    ) -> None:
        self._warn = warn
        self._exit_after = exit_after
        self._stalled = stalled
        self._end = end
        self._rings = own_process and exit_after > 0
        self._interval = warn / LOOKS_IN_WARN
        self._watched: dict[str, Watched] = {}
        self._seen: dict[str, int | None] = {}
        self._still: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, name: str, watched: Watched) -> None:
        """Look at *watched* too, under this name."""
        self._watched[name] = watched

    def start(self) -> None:
        """Start looking."""
        if self._rings:
            faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._rings:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            faulthandler.unregister(signal.SIGPROF)

    def _run(self) -> None:
        before = time.monotonic()
        while not self._stopping.wait(self._interval):
            if self._rings:
                signal.setitimer(signal.ITIMER_PROF, self._exit_after)
            now = time.monotonic()
            # Longer than two looks was not only the thread that is watched.
            passed = min(now - before, 2 * self._interval)
            before = now
            for name, watched in list(self._watched.items()):
                self._look_at(name, watched, passed)

    def _look_at(self, name: str, watched: Watched, passed: float) -> None:
        seen = watched.look()
        was = self._still.get(name, 0.0)
        if seen is None or seen != self._seen.get(name):
            self._seen[name], self._still[name] = seen, 0.0
            if was >= self._warn:
                LOG.warning("The %s works again", name)
            return
        still = self._still[name] = was + passed
        if was < self._warn <= still:
            self._stalled(name)
            LOG.error("The %s has stood still for %.0f seconds at\n%s", name, still, stack(watched.ident))
        if 0 < self._exit_after <= still:
            at = stack(watched.ident)
            LOG.critical("The %s has stood still for %.0f seconds; the process ends. At\n%s", name, still, at)
            self._end()


def stack(ident: int) -> str:
    """Return where a thread is now, as in a traceback."""
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame, limit=-DEEPEST)) if frame is not None else "(no such thread)"
