"""The thread of a listener that looks after subscribers; one process at a time does what is done for all."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from oslo_log import log

from eventalarm.exceptions import Retryable
from eventalarm.ifa_shim.subscriptions.reconcile import Reconciler
from eventalarm.ifa_shim.subscriptions.snapshot import Subscribers
from eventalarm.ifa_shim.subscriptions.suspend import Suspension
from eventalarm.storage import notification_log
from eventalarm.storage.database import Database
from eventalarm.storage.leader import LeaderLease

LOG = log.getLogger(__name__)

# Seconds between two looks at the subscriptions: for so long one that ended is still known.
PAUSE: Final = 1.0
LEASE: Final = 10.0
# Of the lease, what may pass in a round before it is renewed.
RENEW: Final = 0.1
DUTY: Final = "ifa-notifier"


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the thread uses: ``listen`` begins to hear of changes and returns how to stop that.

    ``forget`` lets go of what was not heard, once nobody listens.
    """

    database: Database
    subscribers: Subscribers
    reconciler: Reconciler
    suspension: Suspension
    duty: LeaderLease
    listen: Callable[[], Callable[[], None]] | None
    forget: Callable[[], None] | None = None


class Notifier:
    """Keeps the subscriptions fresh; while there are some, has Aodh's changes heard and looked for.

    ``interval`` is seconds between the starts of two rounds. Never fails: what the database refuses now is
    done later.
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
        self._renew_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._deafen: Callable[[], None] | None = None
        self._hear_at = 0.0
        self._forgotten = False
        self._forget_at = math.inf

    @property
    def hears(self) -> bool:
        """Whether Aodh's notifications are listened to."""
        return self._deafen is not None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="ifa-notifier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the duty."""
        self._stopping.set()
        if self._deafen is not None:
            self._deafen()
        if self._thread is not None:
            self._thread.join(LEASE)
        with contextlib.suppress(Retryable):
            self._parts.duty.leave()

    def _run(self) -> None:
        failed = False
        while not self._stopping.is_set():
            try:
                self.step()
                failed = False
            except Retryable as exc:
                LOG.log(
                    logging.DEBUG if failed else logging.WARNING, "Subscribers wait for the database: %s", exc
                )
                failed = True
            except Exception:
                LOG.exception("Unexpected error while looking after subscribers")
            self._stopping.wait(self._pause)
        self._parts.database.leave()

    def step(self) -> None:
        """Do what is due now.

        :raises Retryable: when the database failed.
        """
        parts = self._parts
        snapshot = parts.subscribers.refresh()
        if not snapshot.all:
            self._next_round = 0.0
            self._deaf()
            if not self._forgotten:
                # What earlier subscribers were told means nothing to the next one.
                with parts.database.begin() as connection:
                    notification_log.drop_all(connection)
                self._forgotten = True
                self._forget_at = 0.0
            self._forget()
            return
        self._forgotten = False
        self._hear()
        if not parts.duty.take():
            return
        self._renew_at = self._monotonic() + RENEW * LEASE
        parts.suspension.step(self._keep)
        if self._keep() and self._monotonic() >= self._next_round:
            self._round()
            self._next_round = self._monotonic() + self._interval

    def _hear(self) -> None:
        """Begin to listen to Aodh; it may wait for the broker, so in a thread of its own.

        What failed is tried again after an interval.
        """
        listen = self._parts.listen
        if listen is None or self._monotonic() < self._hear_at:
            return
        self._hear_at = math.inf

        def begin() -> None:
            try:
                self._deafen = listen()
            except Exception as exc:  # noqa: BLE001 - drivers let errors of several libraries through
                self._hear_at = self._monotonic() + self._interval
                LOG.warning("Aodh's notifications are not heard yet (%s); changes are told later", exc)

        threading.Thread(target=begin, name="ifa-ear", daemon=True).start()

    def _deaf(self) -> None:
        """Stop listening to Aodh: nobody is left to be told."""
        if self._deafen is not None:
            self._deafen()
            self._deafen = None
            self._hear_at = 0.0
            self._forgotten = False

    def _forget(self) -> None:
        """Let go of the queue; what failed is tried again after an interval."""
        if self._parts.forget is None or self._monotonic() < self._forget_at:
            return
        try:
            self._parts.forget()
            self._forget_at = math.inf
        except Exception as exc:  # noqa: BLE001 - drivers let errors of several libraries through
            self._forget_at = self._monotonic() + self._interval
            LOG.debug("The queue of Aodh's notifications is left for later: %s", exc)

    def _round(self) -> None:
        parts = self._parts
        began = parts.database.about_now()
        for _ in parts.reconciler.round(parts.duty.done_at()):
            if not self._keep():
                return
        parts.duty.done(began)

    def _keep(self) -> bool:
        """Renew the leader lease when it is time; False when somebody else has it, or at the end."""
        if self._stopping.is_set():
            return False
        now = self._monotonic()
        if now < self._renew_at:
            return True
        self._renew_at = now + RENEW * LEASE
        return self._parts.duty.take()
