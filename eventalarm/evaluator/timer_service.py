"""Carries out timers in a thread: arms what definitions require and fires what is due.

Any number of processes look for due timers, and none owns a timer: the process that locks the alarm first
fires it, and the others find it gone. So no timer is lost with a process, and what became due while none was
running fires when one runs again.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.evaluator.batch_state import MOST_OBJECTS
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.locked_alarms import LockedAlarms
from eventalarm.evaluator.timer_arming import TimerArming
from eventalarm.evaluator.timer_firing import Report, TimerFiring
from eventalarm.evaluator.unit_of_work import Enqueuer
from eventalarm.exceptions import Retryable
from eventalarm.storage import timers
from eventalarm.storage.database import Database
from eventalarm.timer import Timer

LOG = logging.getLogger(__name__)

# Seconds between two looks, and most timers fired at a time.
LOOK_EVERY: Final = 0.4
MOST: Final = 500
# Seconds before the first look, and after a failure.
FIRST: Final = 0.4
AGAIN: Final = 1.0


class TimerRunner:
    """Arms and fires timers, one step at a time; belongs to one thread.

    :param enqueuer: may be the engine's: it keeps nothing between calls.
    :param report: called after each commit with the transitions and the number of decisions by reason.
    :param overlap: seconds by which the clocks of Aodh's API hosts may differ.
    :param look_at_all: seconds between two complete checks of all definitions.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        enqueuer: Enqueuer,
        *,
        record_history: bool,
        overlap: float,
        look_at_all: float,
        max_occurrences: int = MOST_OBJECTS,
        report: Report = lambda transitions, reasons: None,
        clock: Callable[[], datetime.datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        locked = LockedAlarms(database)
        self._database = database
        self._reader = timers.TimerReader(database)
        self._arming = TimerArming(
            database, cache, locked, overlap=overlap, look_at_all=look_at_all, monotonic=monotonic
        )
        self._firing = TimerFiring(
            database,
            cache,
            enqueuer,
            locked,
            record_history=record_history,
            max_occurrences=max_occurrences,
            report=report,
            clock=clock,
        )

    def step(self) -> float:
        """Do what is due; return the seconds to wait before the next step.

        :raises Retryable: when the database failed; nothing is lost, and calling again is safe.
        """
        moment = self._database.about_now()
        self._arming.step()
        horizon = datetime.timedelta(seconds=LOOK_EVERY)
        found = self._reader.due(moment + horizon, MOST)
        due = [timer for timer in found if timer.due_at is not None and timer.due_at <= moment]
        settled = self._firing.settle(due)
        if len(due) == MOST:
            return 0.0 if settled else LOOK_EVERY
        coming = [timer.due_at for timer in found[len(due) :] if timer.due_at is not None]
        left = (min(coming) - self._database.about_now()).total_seconds() if coming else LOOK_EVERY
        return min(LOOK_EVERY, max(0.0, left))

    def arm(self, alarm_ids: Sequence[str]) -> None:
        """Write and remove timers so that they are what the definitions of these alarms require."""
        self._arming.arm(alarm_ids)

    def fire(self, due: Sequence[Timer]) -> None:
        """Fire those of *due* that are still due once their alarms are locked."""
        self._firing.fire(due)


class TimerLoop:
    """Calls *step* repeatedly in a thread, each time after the seconds that it returned.

    The first call is delayed by ``FIRST`` seconds, in which a listener that was just started receives what
    waited for it: an expected event that has already arrived must not count as absent. A failure is logged
    once, until it is over.

    :param leave: called in the thread when it ends.
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
        """Finish the current step and end the thread."""
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
                LOG.exception("Timers cannot be processed")
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
