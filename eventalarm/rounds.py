"""A thread that repeats a task, such as the snapshots, and goes on after every failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from eventalarm.exceptions import EventAlarmError

LOG = logging.getLogger(__name__)


class Rounds:
    """Calls *task* at once and then every *pause* seconds, in a thread of its own.

    A failure is logged unless the round before failed in the same way: that of a service as a warning, any
    other with its traceback.

    :param complaint: begins the message that is logged.
    """

    def __init__(self, task: Callable[[], None], *, name: str, pause: float, complaint: str) -> None:
        self._task = task
        self._pause = pause
        self._complaint = complaint
        self._stopping = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current round."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            failure = self._failure()
            if failure is not None and type(failure) is not type(self._failed):
                self._complain(failure)
            self._failed = failure
            self._stopping.wait(self._pause)

    def _failure(self) -> Exception | None:
        try:
            self._task()
        except Exception as exc:  # noqa: BLE001 - what is unexpected must not end the thread
            return exc
        return None

    def _complain(self, failure: Exception) -> None:
        if isinstance(failure, EventAlarmError):
            LOG.warning("%s: %s", self._complaint, failure)
        else:
            LOG.error("%s", self._complaint, exc_info=failure)
