"""Checks something that may not answer, with a bound on the time of the caller and on threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

LOG = logging.getLogger(__name__)

# Seconds for which a result serves further callers.
KEEP: Final = 1.0


class _Run:
    """One run of a check in a thread of its own; ``problem`` is empty if it succeeded."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended: float | None = None
        self.problem = ""
        self.done = threading.Event()


class BoundedCheck:
    """A check for which a caller waits for at most *timeout* seconds, and which uses at most one thread.

    While it hangs, no second one is started: later callers are answered at once. A result serves all callers
    for *keep* seconds, so frequent callers cost what one costs. Safe to share between threads.

    :param name: what is checked, for the log.
    :param check: raises an exception if it fails.
    """

    def __init__(
        self,
        name: str,
        check: Callable[[], None],
        timeout: float,
        *,
        keep: float = KEEP,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._check = check
        self._timeout = timeout
        self._keep = keep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._latest: _Run | None = None
        self._failing = False

    def problem(self) -> str:
        """Return an empty string if the check succeeded, else why not, without details that are secret."""
        run = self._current()
        if run.done.wait(max(0.0, run.began + self._timeout - self._monotonic())):
            return run.problem
        self._record(f"no answer within {self._timeout:g} s")
        return f"no answer within {self._timeout:g} s"

    def _current(self) -> _Run:
        now = self._monotonic()
        with self._lock:
            run = self._latest
            if run is None or (run.ended is not None and run.ended + self._keep <= now):
                run = self._latest = _Run(now)
                name = f"health check of the {self._name}"
                threading.Thread(target=self._perform, args=(run,), name=name, daemon=True).start()
        return run

    def _perform(self, run: _Run) -> None:
        problem = ""
        try:
            self._check()
        except Exception as exc:  # noqa: BLE001 - whatever fails, the health check must answer
            # The text of the error names hosts and users, so it is for the log only.
            run.problem = "the check failed; see the service log"
            problem = f"{type(exc).__name__}: {exc}"
        self._record(problem)
        run.ended = self._monotonic()
        run.done.set()

    def _record(self, problem: str) -> None:
        """Log a failure, and its end, once."""
        with self._lock:
            changed = bool(problem) != self._failing
            self._failing = bool(problem)
        if changed and problem:
            LOG.warning("The health check of the %s failed: %s", self._name, problem)
        elif changed:
            LOG.info("The health check of the %s succeeds again", self._name)
