"""Runs timers in a thread: arms those that definitions require, and fires those that are due.

Any number of processes look for due timers, and none owns a timer: the process that locks the alarm first
fires it, and the others find it gone. So no timer is lost with a process, and timers that became due while no
process was running fire when one runs again.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.options import (
    MOST_OBJECTS,
    NeverInhibited,
    ResourceOf,
    no_resource,
    none_of_them,
)
from eventalarm.evaluator.outage import LockedAlarms
from eventalarm.evaluator.release import InhibitionRelease
from eventalarm.evaluator.timer_arming import TimerArming
from eventalarm.evaluator.timer_firing import Report, TimerFiring
from eventalarm.exceptions import Retryable
from eventalarm.model import Timer
from eventalarm.storage import timers
from eventalarm.storage.database import Database

LOG = logging.getLogger(__name__)


# Seconds between two queries for due timers, and the maximum number that is fired at a time.
POLL_INTERVAL: Final = 0.4
MOST: Final = 500
# Seconds before the first query, and after a failure.
FIRST: Final = 0.4
AGAIN: Final = 1.0


class TimerRunner:
    """Arms and fires timers, one round per call; belongs to one thread.

    :param enqueuer: may be shared with the engine, since it keeps no state between calls.
    :param report: called after each commit with the transitions and the number of decisions by reason.
    :param overlap: seconds by which the clocks of the Aodh API hosts may differ.
    :param look_at_all: seconds between two complete checks of all definitions.
    :param release: what looks for the ends of maintenance, if anything.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        enqueuer: OutboxEnqueuer,
        *,
        record_history: bool,
        overlap: float,
        look_at_all: float,
        max_occurrences: int = MOST_OBJECTS,
        report: Report = lambda transitions, reasons: None,
        clock: Callable[[], datetime.datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        resource_of: ResourceOf = no_resource,
        never_inhibited: NeverInhibited = none_of_them,
        release: InhibitionRelease | None = None,
    ) -> None:
        locked = LockedAlarms(database)
        self._database = database
        self._release = release
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
            resource_of=resource_of,
            never_inhibited=never_inhibited,
        )

    def run_once(self) -> float:
        """Arm, fire and release what is due; return the seconds to wait before the next call.

        :raises Retryable: when the database failed; nothing is lost, and calling again is safe.
        """
        if self._release is not None:
            self._release.run_once()
        moment = self._database.about_now()
        self._arming.arm_changed()
        horizon = datetime.timedelta(seconds=POLL_INTERVAL)
        found = self._reader.due(moment + horizon, MOST)
        due = [timer for timer in found if timer.due_at is not None and timer.due_at <= moment]
        settled = self._firing.settle(due)
        if len(due) == MOST:
            return 0.0 if settled else POLL_INTERVAL
        coming = [timer.due_at for timer in found[len(due) :] if timer.due_at is not None]
        left = (min(coming) - self._database.about_now()).total_seconds() if coming else POLL_INTERVAL
        return min(POLL_INTERVAL, max(0.0, left))

    def arm(self, alarm_ids: Sequence[str]) -> None:
        """Write and remove timers as the definitions of these alarms require."""
        self._arming.arm(alarm_ids)

    def fire(self, due: Sequence[Timer]) -> None:
        """Fire those of *due* that are still due once their alarms are locked."""
        self._firing.fire(due)


class TimerLoop:
    """Calls *task* repeatedly in a thread, each time after the seconds that it returned.

    The first call is delayed by ``FIRST`` seconds, in which a listener that has just started receives the
    waiting messages: an expected event that is already on the queue must not count as absent. Repeated
    failures are logged once.

    :param leave: called in the thread when it ends.
    """

    def __init__(self, task: Callable[[], float], leave: Callable[[], None] = lambda: None) -> None:
        self._task = task
        self._leave = leave
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current round and end the thread."""
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
            pause = self._task()
        except Retryable as exc:
            self._complain(f"Timers are waiting for the database: {exc}")
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
