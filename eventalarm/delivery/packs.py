"""Storm manners: what follows a notification within a window travels together. Pure.

The first letter to an action leaves at once and opens a window. What comes before its end is held and leaves
as one pack, which opens the next window. Only letters of one project to the very same URL share a pack (G5).
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import cachetools

from eventalarm.delivery import action
from eventalarm.delivery.lanes import Parcel
from eventalarm.model import OBJECT_NAMESPACE, Delivery, JSONDict, Notification

SCHEMES: Final = frozenset({"http", "https"})
# For how long, and for how many actions, it is remembered that packs are refused there.
REFUSED_FOR: Final = 600.0
REMEMBERED: Final = 10_000

Key = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class PackedNotification(Notification):
    """Several notifications in one body; its own fields are those of the first."""

    letters: tuple[Delivery, ...] = ()

    def body(self) -> JSONDict:
        """Return each letter's body with its delivery id, in order."""
        return {
            "packed": [{"delivery_id": one.delivery_id, **one.notification.body()} for one in self.letters]
        }

    def encoded(self) -> bytes:
        """Return the body as JSON."""
        each = (
            b'{"delivery_id": "%s", %s' % (one.delivery_id.encode(), one.notification.encoded()[1:])
            for one in self.letters
        )
        return b'{"packed": [%s]}' % b", ".join(each)


def pack(letters: Sequence[Delivery]) -> Delivery:
    """Return the one delivery that carries *letters*; the same letters always have the same pack id."""
    first = letters[0]
    told = {field.name: getattr(first.notification, field.name) for field in dataclasses.fields(Notification)}
    names = "\n".join(one.delivery_id for one in letters)
    return dataclasses.replace(
        first,
        delivery_id=str(uuid.uuid5(OBJECT_NAMESPACE, names)),
        notification=PackedNotification(**told, letters=tuple(letters)),
    )


def key_of(letter: Delivery) -> Key:
    """Return what letters have in common that may share a pack."""
    return letter.project_id, letter.action


class _Window:
    __slots__ = ("ends_at", "held")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.held: list[Parcel] = []


class Packs:
    """The open windows of one process and what is held in them. Not safe to share between threads.

    :param window: seconds.
    :param limit: the most letters of a pack.
    """

    def __init__(self, window: float, limit: int) -> None:
        self._window = window
        self.limit = limit
        # In the order of their ends, since all are of the same length.
        self._open: dict[Key, _Window] = {}
        self._full: dict[Key, None] = {}
        self._refused: cachetools.LRUCache[Key, float] = cachetools.LRUCache(REMEMBERED)

    def hold(self, parcel: Parcel, now: float) -> bool:
        """Hold a parcel for the next pack; False when it has to leave at once."""
        letter = parcel.delivery
        if letter.subscription_id or action.scheme(letter.action) not in SCHEMES:
            return False
        key = key_of(letter)
        if self._refused.get(key, now) > now:
            return False
        window = self._open.get(key)
        if window is None or (window.ends_at <= now and not window.held):
            self._begin(key, now)
            return False
        window.held.append(parcel)
        if len(window.held) >= self.limit:
            self._full[key] = None
        return True

    def _begin(self, key: Key, now: float) -> None:
        self._open.pop(key, None)
        self._open[key] = _Window(now + self._window)

    def ripe(self, now: float) -> Iterator[list[Parcel]]:
        """Yield what has to leave now, pack by pack; each opens the next window."""
        while self._full:
            key = next(iter(self._full))
            del self._full[key]
            yield from self._leave(key, now)
        for key in list(itertools.takewhile(lambda k: self._open[k].ends_at <= now, self._open)):
            yield from self._leave(key, now)

    def _leave(self, key: Key, now: float) -> Iterator[list[Parcel]]:
        window = self._open.pop(key)
        if window.held:
            self._begin(key, now)
        for start in range(0, len(window.held), self.limit):
            yield window.held[start : start + self.limit]

    def next_end(self) -> float | None:
        """Return when there is something to do next, None while no window is open."""
        if self._full:
            return 0.0
        return next((window.ends_at for window in self._open.values()), None)

    def refused(self, letters: Iterable[Delivery], now: float) -> None:
        """Send alone to these actions for a while: the consumer knows no packs."""
        for letter in letters:
            self._refused[key_of(letter)] = now + REFUSED_FOR

    def clear(self) -> list[Parcel]:
        """Take out everything that is held."""
        held = [parcel for window in self._open.values() for parcel in window.held]
        self._open.clear()
        self._full.clear()
        return held


def first_of_each(letters: Iterable[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Part letters into the first of each order key and the others, which have to wait for it."""
    first: dict[Any, Delivery] = {}
    others: list[Delivery] = []
    for letter in letters:
        if letter.order_key in first:
            others.append(letter)
        else:
            first[letter.order_key] = letter
    return list(first.values()), others
