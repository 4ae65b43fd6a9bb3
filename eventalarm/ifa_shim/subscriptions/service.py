"""The thread of a listener that serves subscribers; one process at a time does the work that is for all."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from oslo_log import log

from eventalarm.exceptions import Retryable
from eventalarm.ifa_shim.subscriptions.notifications import Subscribers
from eventalarm.ifa_shim.subscriptions.reconcile import Reconciler
from eventalarm.ifa_shim.subscriptions.suspend import Suspension
from eventalarm.storage import notification_log
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease

LOG = log.getLogger(__name__)

# Seconds between two refreshes of the subscriptions: a deleted one can stay known for as long.
PAUSE: Final = 1.0
# Seconds of the leader lease, and the part of them after which it is renewed.
LEASE: Final = 10.0
RENEW: Final = 0.1
LEASE_NAME: Final = "ifa-notifier"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The collaborators of the thread.

    ``listen`` starts to listen to Aodh's notifications and returns how to stop; ``delete_queue`` deletes the
    queue of them once there are no subscriptions. Both are None when ``aodh_notifications`` is off.
    """

    database: Database
    subscribers: Subscribers
    reconciler: Reconciler
    suspension: Suspension
    lease: LeaderLease
    listen: Callable[[], Callable[[], None]] | None
    delete_queue: Callable[[], None] | None = None


class Notifier:
    """Refreshes the subscriptions; while there are some, listens to Aodh and reconciles in rounds.

    It also clears the occurrences of deleted alarms. ``interval`` is seconds between the starts of rounds.
    An error of the database is logged, and the work is retried later.
    """

    def __init__(
        self,
        parts: Parts,
        interval: float,
        *,
        pause: float = PAUSE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._interval = interval
        self._pause = pause
        self._monotonic = monotonic
        self._next_round = 0.0
        self._next_cleanup = 0.0
        self._renew_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._listen_at = 0.0
        self._log_dropped = False
        self._delete_queue_at = math.inf

    @property
    def is_listening(self) -> bool:
        """Return True while Aodh's notifications are listened to."""
        return self._stop_listening is not None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="ifa-notifier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and leave the leader lease."""
        self._stopping.set()
        if self._stop_listening is not None:
            self._stop_listening()
        if self._thread is not None:
            self._thread.join(LEASE)
        with contextlib.suppress(Retryable):
            self._parts.lease.leave()

    def _run(self) -> None:
        failed = False
        while not self._stopping.is_set():
            try:
                self.run_once()
                failed = False
            except Retryable as exc:
                level = logging.DEBUG if failed else logging.WARNING
                LOG.log(level, "Notifications are delayed until the database is available: %s", exc)
                failed = True
            except Exception:
                LOG.exception("Unexpected error while serving subscribers")
            self._stopping.wait(self._pause)
        self._parts.database.leave()

    def run_once(self) -> None:
        """Do what is due now: refresh the subscriptions, reconcile, suspend and resume.

        :raises Retryable: when the database failed.
        """
        parts = self._parts
        has_subscriptions = bool(parts.subscribers.refresh().all)
        if has_subscriptions:
            self._log_dropped = False
            self._listen()
        else:
            self._next_round = 0.0
            self._end()
        cleanup = self._monotonic() >= self._next_cleanup
        if not (has_subscriptions or cleanup) or not parts.lease.take():
            return
        self._renew_at = self._monotonic() + RENEW * LEASE
        if cleanup and self._finish(parts.reconciler.close_deleted()):
            self._next_cleanup = self._monotonic() + self._interval
        if has_subscriptions and self._keep():
            parts.suspension.run_once(self._keep)
            if self._keep() and self._monotonic() >= self._next_round:
                self._round()
                self._next_round = self._monotonic() + self._interval

    def _listen(self) -> None:
        """Start to listen to Aodh; that can wait for the broker, so it runs in its own thread.

        A failed attempt is retried after an interval.
        """
        listen = self._parts.listen
        if listen is None or self._monotonic() < self._listen_at:
            return
        self._listen_at = math.inf

        def begin() -> None:
            try:
                self._stop_listening = listen()
            except Exception as exc:  # noqa: BLE001 - drivers let errors of several libraries through
                self._listen_at = self._monotonic() + self._interval
                LOG.warning(
                    "Cannot listen to Aodh's notifications, retrying; reconciliation finds changes: %s",
                    exc,
                )

        threading.Thread(target=begin, name="ifa-aodh-listener", daemon=True).start()

    def _end(self) -> None:
        """Stop listening to Aodh, drop the notification log and delete the queue: nobody is subscribed."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
            self._listen_at = 0.0
            self._log_dropped = False
        if not self._log_dropped:
            # What earlier subscribers were notified of means nothing to the next one.
            with self._parts.database.begin() as connection:
                notification_log.drop_all(connection)
            self._log_dropped = True
            self._delete_queue_at = 0.0
        self._delete_queue()

    def _delete_queue(self) -> None:
        """Delete the queue; a failed attempt is retried after an interval."""
        if self._parts.delete_queue is None or self._monotonic() < self._delete_queue_at:
            return
        try:
            self._parts.delete_queue()
            self._delete_queue_at = math.inf
        except Exception as exc:  # noqa: BLE001 - drivers let errors of several libraries through
            self._delete_queue_at = self._monotonic() + self._interval
            LOG.debug("Cannot delete the queue of Aodh's notifications, retrying: %s", exc)

    def _round(self) -> None:
        parts = self._parts
        began = parts.database.about_now()
        if self._finish(parts.reconciler.round(parts.lease.done_at())):
            parts.lease.done(began)

    def _finish(self, chunks: Iterable[int]) -> bool:
        """Exhaust *chunks* of work; return False if the lease is lost or this process stops before."""
        return all(self._keep() for _ in chunks)

    def _keep(self) -> bool:
        """Renew the leader lease when due; return False if another process has it, or when stopping."""
        if self._stopping.is_set():
            return False
        now = self._monotonic()
        if now < self._renew_at:
            return True
        self._renew_at = now + RENEW * LEASE
        return self._parts.lease.take()
