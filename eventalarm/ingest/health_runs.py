"""Bounds the health checks that callers run: one at a time in a project, and its result kept for a while."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable
from typing import Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.model.findings import Finding

# The most results that are kept.
KEPT: Final = 10_000


class Busy(EventAlarmError):
    """The project has a check running."""


class Crowded(EventAlarmError):
    """As many checks run as may run at the same time."""


class TooSlow(EventAlarmError):
    """A check did not end in time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a check found at an aware UTC time."""

    findings: tuple[Finding, ...]
    at: datetime.datetime


@dataclasses.dataclass(slots=True)
class _Run:
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)
    result: Result | None = None
    error: Exception | None = None


class Runs:
    """The checks that run and their results, in this process; safe to share between threads.

    :param at_once: the most checks at the same time, so that requests of other kinds are answered.
    :param longest: seconds after which a caller is answered, even if the check has not ended; until it ends,
        its project can run no other one.
    :param keep: seconds for which a result is returned again.
    """

    def __init__(
        self,
        at_once: int,
        longest: float,
        keep: Callable[[str], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._longest = longest
        self._keep = keep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._kept: dict[tuple[str, str], tuple[float, Result]] = {}

    def run(self, project_id: str, check: str, work: Callable[[], Result]) -> tuple[Result, bool]:
        """Return the kept result of *check*, or what *work* returns; True if it was kept.

        :raises Busy: when another check of the project runs.
        :raises Crowded: when too many checks run.
        :raises TooSlow: when *work* has not ended in time.
        """
        with self._lock:
            self._forget()
            if (kept := self._kept.get((project_id, check))) is not None:
                return kept[1], True
            if project_id in self._running:
                raise Busy("another health check of this project is running")
            if len(self._running) >= self._at_once:
                raise Crowded("too many health checks are running")
            self._running.add(project_id)
        return self._wait(project_id, check, work), False

    def _wait(self, project_id: str, check: str, work: Callable[[], Result]) -> Result:
        run = _Run()
        body = (run, project_id, check, work)
        try:
            threading.Thread(target=self._work, args=body, name="health check", daemon=True).start()
        except RuntimeError as exc:
            self._leave(project_id)
            raise Crowded("no thread can be started") from exc
        if not run.ended.wait(self._longest):
            raise TooSlow(f"the check {check} has not ended after {self._longest:g} s")
        if run.error is not None:
            raise run.error
        assert run.result is not None
        return run.result

    def _work(self, run: _Run, project_id: str, check: str, work: Callable[[], Result]) -> None:
        try:
            run.result = work()
            with self._lock:
                self._kept[project_id, check] = (self._monotonic() + self._keep(check), run.result)
        except Exception as exc:  # noqa: BLE001 - it is raised again for the caller
            run.error = exc
        finally:
            self._leave(project_id)
            run.ended.set()

    def _leave(self, project_id: str) -> None:
        with self._lock:
            self._running.discard(project_id)

    def _forget(self) -> None:
        """Forget what is too old, and the oldest of what is too much."""
        now = self._monotonic()
        fresh = {key: one for key, one in self._kept.items() if one[0] > now}
        self._kept = dict(list(fresh.items())[-KEPT:])
