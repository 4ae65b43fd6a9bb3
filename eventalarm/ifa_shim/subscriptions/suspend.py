"""Stalled subscriptions: suspended, probed, and resumed with AlarmListRebuiltNotification."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from oslo_utils import uuidutils

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.subscriptions.callbacks import BadCallback, Callbacks, OpenSecret
from eventalarm.ifa_shim.subscriptions.notifications import AlarmNotification, Snapshot, Style, Subscribers
from eventalarm.ifa_shim.subscriptions.publish import announced
from eventalarm.ifa_shim.subscriptions.rights import RightsCheck
from eventalarm.log_fields import fields
from eventalarm.storage import subscriptions
from eventalarm.storage.database import Database
from eventalarm.storage.subscriptions import Subscription, SubscriptionState

LOG = logging.getLogger(__name__)

T = TypeVar("T")

PROBES: Final = 10
# Seconds after which every process sends to a returning subscription again; then its consumer can read the
# list without missing a change.
SETTLE: Final = 1.0
# Seconds for which answers to probes are awaited before the leader lease is checked.
KEEP_EVERY: Final = 0.5


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds without an answer until suspension, seconds between probes, and ``lifetime`` (0: unlimited)."""

    suspend_after: float
    probe_interval: float
    lifetime: float = 0.0


class Suspension:
    """Suspends, probes, resumes and ends subscriptions; one process at a time does this for all."""

    def __init__(
        self,
        database: Database,
        enqueuer: OutboxEnqueuer,
        subscribers: Subscribers,
        *,
        patience: Patience,
        callbacks: Callbacks,
        open_secret: OpenSecret,
        renew_secret: Callable[[str], str | None] = lambda _text: None,
        style: Style,
        rights: RightsCheck | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._rights = rights
        self._subscribers = subscribers
        self._patience = patience
        self._callbacks = callbacks
        self._open_secret = open_secret
        self._renew_secret = renew_secret
        self._renewed = False
        self._style = style
        self._monotonic = monotonic
        self._probed: dict[str, float] = {}

    def run_once(self, keep: Callable[[], bool] = lambda: True) -> None:
        """Suspend stalled subscriptions, probe suspended ones, resume those whose consumer answers.

        *keep* returns False when this process must stop; it is called at least every :data:`KEEP_EVERY`
        seconds, also while consumers do not answer.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        snapshot = self._subscribers.snapshot
        now = self._database.now()
        stalled = subscriptions.stalled(
            self._database, now - datetime.timedelta(seconds=self._patience.suspend_after)
        )
        for one in snapshot.all:
            if not keep():
                return
            if one.changed_at is None:
                # Made by an API of the previous release: make all listeners read it.
                self._subscribers.store.touch(one.subscription_id)
            if self._expire(one, now):
                continue
            if one.subscription_id in stalled and one.state is SubscriptionState.ACTIVE:
                self._suspend(one)
            elif one.state is SubscriptionState.RETURNING and _settled(one, now):
                self._resume(one, now)
        self._end_unentitled(snapshot, keep)
        if self._probe_all(self._due(snapshot), keep) and not self._renewed:
            self._renewed = self._renew(snapshot, keep)

    def _renew(self, snapshot: Snapshot, keep: Callable[[], bool]) -> bool:
        """Encrypt credentials of an older key with the newest one; each process does this once."""
        for one in snapshot.all:
            if not keep():
                return False
            try:
                text = self._renew_secret(one.authentication) if one.authentication else None
            except InvalidOption as exc:
                LOG.warning(
                    "The credentials of subscription %s cannot be decrypted: %s", one.subscription_id, exc
                )
                continue
            if text is not None:
                self._subscribers.store.renew(one, text)
        return True

    def _expire(self, one: Subscription, now: datetime.datetime) -> bool:
        """Delete *one* if its user did not confirm it within its lifetime."""
        before = now - datetime.timedelta(seconds=self._patience.lifetime)
        if not self._patience.lifetime or one.confirmed_at is None or one.confirmed_at >= before:
            return False
        # The snapshot may be older than a confirmation: the database decides.
        ended = self._subscribers.store.expire(one.subscription_id, before)
        if ended:
            LOG.warning(
                "Subscription %s of user %s expired: it was not confirmed within subscription_lifetime",
                one.subscription_id,
                one.user_id,
                extra=_about(one),
            )
        return ended

    def _end_unentitled(self, snapshot: Snapshot, keep: Callable[[], bool]) -> None:
        """Delete the subscriptions whose users have lost the right to them."""
        for one in self._rights.lost(snapshot.all, keep) if self._rights else ():
            if self._subscribers.store.remove(one.subscription_id):
                LOG.warning(
                    "Subscription %s is deleted: user %s may no longer subscribe in project %s",
                    one.subscription_id,
                    one.user_id,
                    one.project_id,
                    extra=_about(one),
                )

    def _suspend(self, one: Subscription) -> None:
        with self._database.begin() as connection:
            turned = self._turn(one, SubscriptionState.SUSPENDED, connection)
            if turned:
                subscriptions.give_up(connection, one.subscription_id, self._database.about_now())
        if turned:
            self._probed[one.subscription_id] = self._monotonic()
            LOG.warning(
                "Subscription %s is suspended: its consumer does not answer",
                one.subscription_id,
                extra=_about(one),
            )

    def _due(self, snapshot: Snapshot) -> list[Subscription]:
        now = self._monotonic()
        suspended = [one for one in snapshot.all if not one.listening]
        due = [one for one in suspended if self._next_probe(one) <= now]
        return in_turn(sorted(due, key=self._next_probe), lambda one: one.project_id)[:PROBES]

    def _next_probe(self, one: Subscription) -> float:
        last = self._probed.get(one.subscription_id)
        return last + self._patience.probe_interval if last is not None else 0.0

    def _probe_all(self, due: Sequence[Subscription], keep: Callable[[], bool]) -> bool:
        """Probe *due* concurrently, and resume those that answer; return False when interrupted.

        Each probe runs in its own thread, which uses no database, so that none delays the others.
        """
        answers: queue.SimpleQueue[tuple[Subscription, bool]] = queue.SimpleQueue()
        for one in due:
            self._probed[one.subscription_id] = self._monotonic()
            asking = functools.partial(_answer, self._answers, one, answers)
            threading.Thread(target=asking, name="ifa-probe", daemon=True).start()
        waiting = len(due)
        while waiting:
            try:
                one, answered = answers.get(timeout=KEEP_EVERY)
            except queue.Empty:
                answered = False
            else:
                waiting -= 1
            if not keep():
                return False
            if answered:
                with self._database.begin() as connection:
                    self._turn(one, SubscriptionState.RETURNING, connection)
        return True

    def _answers(self, one: Subscription) -> bool:
        try:
            secret = self._open_secret(one.authentication) if one.authentication else None
            self._callbacks.test(one.callback_uri, secret)
        except (BadCallback, InvalidOption) as exc:
            LOG.debug(
                "The consumer of subscription %s still does not answer: %s",
                one.subscription_id,
                type(exc).__name__,
            )
            return False
        return True

    def _resume(self, one: Subscription, now: datetime.datetime) -> None:
        """Send AlarmListRebuiltNotification, now that every process sends later changes to the subscriber."""
        rebuilt = AlarmNotification(uuidutils.generate_uuid(), NotificationType.REBUILT, None, now)
        with self._database.begin() as connection:
            if not self._turn(one, SubscriptionState.ACTIVE, connection):
                return
            only = Snapshot((one,))
            outgoing = announced([(rebuilt, rebuilt.notification_id)], only, self._style)
            enqueued = self._enqueuer.enqueue_deliveries(
                connection, [item.delivery for item in outgoing], [item.about for item in outgoing]
            )
        self._enqueuer.submit(enqueued)
        self._probed.pop(one.subscription_id, None)
        LOG.warning("Subscription %s is active again", one.subscription_id, extra=_about(one))

    def _turn(self, one: Subscription, after: SubscriptionState, connection: sa.Connection) -> bool:
        return self._subscribers.store.turn(one.subscription_id, one.state, after, connection)


def _settled(one: Subscription, now: datetime.datetime) -> bool:
    return one.changed_at is None or (now - one.changed_at).total_seconds() >= SETTLE


def _answer(
    answers: Callable[[Subscription], bool],
    one: Subscription,
    into: queue.SimpleQueue[tuple[Subscription, bool]],
) -> None:
    """Put the result of one probe *into* the queue, also after an unexpected error."""
    answered = False
    try:
        answered = answers(one)
    except Exception:
        LOG.exception("Unexpected error while testing the callback of subscription %s", one.subscription_id)
    finally:
        into.put((one, answered))


def in_turn(items: Iterable[T], project: Callable[[T], str]) -> list[T]:
    """Return *items* round robin: each project's first item before any second one, otherwise in order."""
    turns: defaultdict[str, int] = defaultdict(int)
    placed: list[tuple[int, T]] = []
    for item in items:
        placed.append((turns[project(item)], item))
        turns[project(item)] += 1
    return [item for _, item in sorted(placed, key=lambda one: one[0])]


def _about(one: Subscription) -> dict[str, Any]:
    return fields(subscription_id=one.subscription_id, project_id=one.project_id, user_id=one.user_id)
