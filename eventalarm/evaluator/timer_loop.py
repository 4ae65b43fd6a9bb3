"""The thread in which timers fire, through failures of the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from eventalarm.exceptions import Retryable

LOG = logging.getLogger(__name__)

FIRST: Final = 0.4
AGAIN: Final = 1.0


class TimerLoop:
    """Calls *step* again and again, each time after the seconds that it returned.

    The first call comes after a moment, in which a listener that was just started takes in what waited for
    it: an expected event that is already there must not be missed. A failure is logged once, until it is
    over.

    :param leave: called in the thread at its end.
    """

    def __init__(self, step: Callable[[], float], leave: Callable[[], None] = lambda: None) -> None:
        self._step = step
        self._leave = leave
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the step in hand and end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST
        while not self._stopping.wait(pause):
            pause = self._next()
        self._leave()

    def _next(self) -> float:
        try:
            pause = self._step()
        except Retryable as exc:
            self._complain(f"Timers wait for the database: {exc}")
            return AGAIN
        except Exception as exc:
            if not self._failing:
                LOG.exception("Timers cannot be looked at")
            self._failing = self._failing or type(exc).__name__
            return AGAIN
        if self._failing:
            LOG.warning("Timers are running again")
            self._failing = ""
        return pause

    def _complain(self, problem: str) -> None:
        if not self._failing:
            LOG.error("%s", problem)
        self._failing = problem
