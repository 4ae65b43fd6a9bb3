"""Alarms whose rows another session keeps locked: set aside for a while, so that all others proceed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Final

from eventalarm.exceptions import Locked
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction

LOG = logging.getLogger(__name__)

# The reason for which messages with locked alarms are put off, and the seconds before the next try.
LOCKED: Final = "locked alarms"
RETRY_AFTER: Final = 1.0


class LockedAlarms:
    """The set of alarms that are skipped because their rows are locked; used by one thread only.

    A row lock normally lasts milliseconds. One that lasts longer is held by a paused process or by a
    forgotten transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locked: set[str] = set()
        self._retried: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._locked or self._retried)

    def among(self, alarm_ids: Collection[str]) -> set[str]:
        """Return which of *alarm_ids* must be skipped; asks the database about those to be retried.

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

        Empty when none is at this moment: then it was another row, or the lock has just gone.

        :raises Retryable: when the database failed, or a whole table is locked.
        """
        with self._database.begin() as connection:
            held = Transaction(connection).held_elsewhere(alarm_ids)
        self.leave(held, error)
        return held

    def leave(self, alarm_ids: Collection[str], error: Locked) -> None:
        """Skip alarms from now on."""
        self._locked.update(alarm_ids)
        for alarm_id in sorted(alarm_ids)[:10]:
            LOG.error("Alarm %s is locked by another session and is put off: %s", alarm_id, error)

    def retry(self) -> None:
        """Ask the database again about every skipped alarm when an event concerns it."""
        self._retried |= self._locked
        self._locked.clear()


class LockedRetry:
    """Resumes what was put off for locked alarms after *seconds*; calls in between are merged.

    :param resume: called with :data:`LOCKED` on a timer thread.
    """

    def __init__(self, resume: Callable[[str], None], seconds: float = RETRY_AFTER) -> None:
        self._resume = resume
        self._seconds = seconds
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._stopped = False

    def __call__(self) -> None:
        """Schedule a retry unless one is scheduled."""
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
        """Cancel the scheduled retry and schedule no others."""
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()
