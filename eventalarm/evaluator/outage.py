"""Work that must wait for the database, or for an alarm that another session keeps locked.

:class:`DatabaseOutage` repeats a batch until it succeeds or must be given back. :class:`LockedAlarms` sets
locked alarms aside for a while, so that all others are evaluated.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from eventalarm.backoff import Backoff
from eventalarm.exceptions import Locked, Retryable
from eventalarm.log_fields import fields
from eventalarm.metrics import Metrics
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction

LOG = logging.getLogger(__name__)


# The reason why messages with locked alarms are deferred, and the seconds before the next attempt.
LOCKED: Final = "locked alarms"
RETRY_AFTER: Final = 1.0

T = TypeVar("T")


class Blamed(Exception):
    """The database failed several times in a row with the same batch, but answered in between."""

    def __init__(self, error: Retryable) -> None:
        super().__init__(str(error))
        self.error = error


class DatabaseOutage:
    """Retries the work of one listener while its database is unavailable.

    :param metrics: counts retries as batches with the outcome ``retried``.
    :param stopping: set when the process stops; ends all waiting.
    :param backoff: returns the seconds to wait between attempts.
    :param database: None if failures are never blamed on the batch.
    :param hold: seconds after which a batch is given back: the broker closes the channel of a consumer that
        keeps messages unacknowledged for too long.
    """

    def __init__(
        self,
        metrics: Metrics,
        stopping: threading.Event,
        backoff: Backoff,
        database: Database | None = None,
        *,
        hold: float = math.inf,
    ) -> None:
        self._metrics = metrics
        self._stopping = stopping
        self._backoff = backoff
        self._database = database
        self._hold = hold

    def hold_and_retry(self, number: int, work: Callable[[], T], patience: int = 0) -> T | None:
        """Repeat *work* on *number* events while the database fails; None if they must be given back.

        :raises Blamed: after *patience* consecutive failures with a database that answers in between; 0 means
            never.
        """
        failures, answered = 0, 0
        until: float | None = None
        while True:
            try:
                done = work()
            except Retryable as exc:
                if until is None:
                    until = time.monotonic() + self._hold
                    LOG.error("Holding %d events until the database is back: %s", number, exc)
                failures += 1
                self._metrics.count("batches", outcome="retried")
                if self._stopping.wait(self._backoff(failures)):
                    return None
                answered = answered + 1 if patience and self._answers() else 0
                if patience and answered >= patience:
                    raise Blamed(exc) from exc
                if time.monotonic() >= until:
                    LOG.error("The database is still unavailable; %d events go back to the broker", number)
                    return None
            else:
                if until is not None:
                    LOG.warning("The database is back; %d held events are evaluated", number)
                return done

    def wait(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Wait until the database answers; return False if interrupted or stopped before.

        :param away: called once, if the first attempt fails.
        """
        failures = 0
        while not (self._stopping.is_set() or interrupted()):
            try:
                if self._database is not None:
                    self._database.now()
            except Retryable as exc:
                if not failures:
                    away()
                    LOG.warning("Receiving no events until the database is back: %s", exc)
                failures += 1
                self._stopping.wait(self._backoff(failures))
            else:
                if failures:
                    LOG.warning("The database is back; receiving events")
                return True
        return False

    def _answers(self) -> bool:
        return self._database is not None and self._database.takes_writes()


class LockedAlarms:
    """The alarms that are skipped because their rows are locked; for use by one thread.

    A row lock normally lasts milliseconds. A longer one is held by a paused process or an abandoned
    transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locked: set[str] = set()
        self._retried: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._locked or self._retried)

    def among(self, alarm_ids: Collection[str]) -> set[str]:
        """Return which of *alarm_ids* must be skipped; query the database for those to be retried.

        :raises Retryable: when the database failed.
        """
        asked = self._retried.intersection(alarm_ids)
        if asked:
            with self._database.begin() as connection:
                held = Transaction(connection).held_elsewhere(asked)
            self._retried -= asked
            self._locked |= held
            if free := sorted(asked - held):
                LOG.warning("Alarm %s is no longer locked by another session", ", ".join(free[:10]))
        return self._locked.intersection(alarm_ids)

    def find(self, alarm_ids: Collection[str], error: Locked) -> set[str]:
        """Return which of *alarm_ids* are locked, after a wait for their locks ended with *error*.

        Empty if none is locked now: the lock was on another row, or has just been released.

        :raises Retryable: when the database failed, or a whole table is locked.
        """
        with self._database.begin() as connection:
            held = Transaction(connection).held_elsewhere(alarm_ids)
        self.skip(held, error)
        return held

    def isolate(self, alarm_ids: Collection[str], error: Locked) -> frozenset[str]:
        """Skip the locked ones of *alarm_ids*, after a wait for their locks ended with *error*.

        :returns: a half of *alarm_ids*, to be tried apart from the others, if it is not known which of them
            is locked; otherwise empty.
        :raises Retryable: when the database failed, or a whole table is locked.
        """
        if self.find(alarm_ids, error):
            return frozenset()
        if len(alarm_ids) > 1:
            return frozenset(sorted(alarm_ids)[: len(alarm_ids) // 2])
        self.skip(alarm_ids, error)
        return frozenset()

    def skip(self, alarm_ids: Collection[str], error: Locked) -> None:
        """Skip *alarm_ids* from now on."""
        self._locked.update(alarm_ids)
        for alarm_id in sorted(alarm_ids)[:10]:
            LOG.error(
                "Alarm %s is locked by another session; its events are deferred: %s",
                alarm_id,
                error,
                extra=fields(alarm_id=alarm_id),
            )

    def retry(self) -> None:
        """Query the database for each skipped alarm again when an event concerns it."""
        self._retried |= self._locked
        self._locked.clear()


class LockedRetry:
    """Resumes the messages that wait for locked alarms after *seconds*; calls in between are merged.

    :param resume: called with :data:`LOCKED` on a timer thread.
    """

    def __init__(self, resume: Callable[[str], None], seconds: float = RETRY_AFTER) -> None:
        self._resume = resume
        self._seconds = seconds
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._stopped = False

    def __call__(self) -> None:
        """Schedule a retry, unless one is scheduled already."""
        with self._lock:
            if self._timer is None and not self._stopped:
                self._timer = threading.Timer(self._seconds, self._due)
                self._timer.daemon = True
                self._timer.start()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            if not self._stopped:
                self._resume(LOCKED)

    def stop(self) -> None:
        """Cancel the scheduled retry, and schedule no more."""
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()
