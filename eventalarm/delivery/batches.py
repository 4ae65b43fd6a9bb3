"""Batching: decides which deliveries are sent together in one POST, and when. Pure."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import cachetools

from eventalarm.delivery import action
from eventalarm.delivery.queues import Call
from eventalarm.model import OBJECT_NAMESPACE, Delivery, JSONDict, Notification

SCHEMES: Final = frozenset({"http", "https"})
# Seconds for which it is remembered that an action refuses batches, and the maximum number of such actions.
REFUSED_FOR: Final = 600.0
REMEMBERED: Final = 10_000

Key = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class BatchedNotification(Notification):
    """Several notifications in one body; the fields are those of the first one."""

    deliveries: tuple[Delivery, ...] = ()

    def body(self) -> JSONDict:
        """Return each delivery's body with its delivery id, in order."""
        return {"packed": [{**_identity(one), **one.notification.body()} for one in self.deliveries]}

    def encoded(self) -> bytes:
        """Return the body as JSON."""
        each = (
            b"%s, %s" % (json.dumps(_identity(one))[:-1].encode(), one.notification.encoded()[1:])
            for one in self.deliveries
        )
        return b'{"packed": [%s]}' % b", ".join(each)


def _identity(delivery: Delivery) -> JSONDict:
    found: JSONDict = {"delivery_id": delivery.delivery_id}
    if delivery.replay_id:
        found |= {"replay_id": delivery.replay_id, "replay_of": delivery.replay_of}
    return found


def make_batch(deliveries: Sequence[Delivery]) -> Delivery:
    """Return the one delivery that carries *deliveries*; the same ones always have the same batch id."""
    first = deliveries[0]
    fields = {
        field.name: getattr(first.notification, field.name) for field in dataclasses.fields(Notification)
    }
    names = "\n".join(one.delivery_id for one in deliveries)
    return dataclasses.replace(
        first,
        # Each of them says itself whether it is a replay.
        replay_id="",
        replay_of="",
        delivery_id=str(uuid.uuid5(OBJECT_NAMESPACE, names)),
        notification=BatchedNotification(**fields, deliveries=tuple(deliveries)),
    )


def key_of(delivery: Delivery) -> Key:
    """Return what the deliveries of one batch have in common."""
    return delivery.project_id, delivery.action


class _Window:
    __slots__ = ("ends_at", "held")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.held: list[Call] = []


class BatchWindows:
    """The open windows of one process and what is held in them. Not thread-safe.

    The first delivery of a project to an action is sent at once and opens a window; those that follow within
    it are held, and sent together at its end.

    :param window: seconds; 0: nothing is held.
    :param limit: the most deliveries of a batch.
    """

    def __init__(self, window: float, limit: int) -> None:
        self._window = window
        self.limit = limit
        # In the order of their ends, since all are of the same length.
        self._open: dict[Key, _Window] = {}
        self._full: dict[Key, None] = {}
        self._refused: cachetools.LRUCache[Key, float] = cachetools.LRUCache(REMEMBERED)

    @property
    def enabled(self) -> bool:
        """Whether deliveries are batched."""
        return self._window > 0

    def hold(self, call: Call, now: float) -> bool:
        """Hold a call for the next batch; return False if it must be sent at once."""
        delivery = call.delivery
        if delivery.subscription_id or action.scheme(delivery.action) not in SCHEMES:
            return False
        key = key_of(delivery)
        if self._refused.get(key, now) > now:
            return False
        window = self._open.get(key)
        if window is None or (window.ends_at <= now and not window.held):
            self._begin(key, now)
            return False
        window.held.append(call)
        if len(window.held) >= self.limit:
            self._full[key] = None
        return True

    def _begin(self, key: Key, now: float) -> None:
        self._open.pop(key, None)
        self._open[key] = _Window(now + self._window)

    def ripe(self, now: float) -> Iterator[list[Call]]:
        """Yield each batch that is due at *now* (seconds); the next window of its action is then open."""
        while self._full:
            key = next(iter(self._full))
            del self._full[key]
            yield from self._end(key, now)
        for key in list(itertools.takewhile(lambda k: self._open[k].ends_at <= now, self._open)):
            yield from self._end(key, now)

    def _end(self, key: Key, now: float) -> Iterator[list[Call]]:
        window = self._open.pop(key)
        if window.held:
            self._begin(key, now)
        for start in range(0, len(window.held), self.limit):
            yield window.held[start : start + self.limit]

    def next_end(self) -> float | None:
        """Return the time, in seconds, at which ``ripe`` is due next; None while no window is open."""
        if self._full:
            return 0.0
        return next((window.ends_at for window in self._open.values()), None)

    def refused(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Batch nothing for these actions for ten minutes: their consumers do not accept batches."""
        for delivery in deliveries:
            self._refused[key_of(delivery)] = now + REFUSED_FOR

    def clear(self) -> list[Call]:
        """Remove and return everything that is held."""
        held = [call for window in self._open.values() for call in window.held]
        self._open.clear()
        self._full.clear()
        return held


def first_of_each(deliveries: Iterable[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Split deliveries into the first of each order key and the others, which must wait for it."""
    first: dict[Any, Delivery] = {}
    others: list[Delivery] = []
    for delivery in deliveries:
        if delivery.order_key in first:
            others.append(delivery)
        else:
            first[delivery.order_key] = delivery
    return list(first.values()), others
