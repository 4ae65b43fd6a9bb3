"""How listener processes share partitions out, and when a message may be evaluated. Pure.

Where the number of partitions was changed, events of one project are on two topics: older ones on a topic of
the former number, newer ones on a topic of the current number. A :class:`Gate` holds the newer ones back
until everything that was published before them is evaluated, whichever process consumes the other topic.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eventalarm.publisher.partitions import Partition


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """The partitions that a process gives up, and those that it should acquire."""

    give: list[Partition]
    take: list[Partition]


def share_out(
    partitions: Sequence[Partition], owners: Mapping[Partition, str | None], members: Collection[str], me: str
) -> Shift:
    """Return what the process *me* must change so that all *members* have the same number, or one more.

    *owners* are the processes that hold partitions; one that is not a member has ended. All processes come to
    the same result, if each acts on it, without moving a partition more often than necessary.
    """
    ranks = sorted(members)
    least, extra = divmod(len(partitions), len(ranks))
    rank = ranks.index(me)
    quota = least + (rank < extra)
    mine = [one for one in partitions if owners.get(one) == me]
    free = [one for one in partitions if owners.get(one) not in members]
    # Each process begins elsewhere, so that they do not all ask for the same ones.
    start = rank * least % len(free) if free else 0
    wanted = max(0, quota - len(mine))
    return Shift(mine[quota:], [*free[start:], *free[:start]][:wanted])


class Gate:
    """Holds back messages that may be younger than messages of the same project on another topic.

    Not thread-safe. A message is held from its arrival until *settled*, the time up to which the other topics
    are evaluated, is not before its arrival; both are times of the database's clock. As that clock is read
    now and then, :meth:`mark` is called before it is read, and :meth:`advance` afterwards.
    """

    def __init__(self) -> None:
        self._open = False
        self._fresh: list[Any] = []
        self._marked: list[Any] = []
        self._held: list[tuple[datetime.datetime, Any]] = []

    def admit(self, messages: Sequence[Any]) -> list[Any]:
        """Return the messages that may be evaluated at once; the others are held."""
        if self._open:
            return list(messages)
        self._fresh += messages
        return []

    def mark(self) -> None:
        """Note that the messages so far have arrived before the next reading of the clock."""
        self._marked += self._fresh
        self._fresh = []

    def advance(self, now: datetime.datetime, settled: datetime.datetime | None, *, idle: bool) -> list[Any]:
        """Return the messages that may be evaluated now, in the order of their arrival.

        :param now: the clock as it was read.
        :param settled: None if it is not known for one of the other topics.
        :param idle: True if nothing arrives on the other topics any more: then nothing is held.
        """
        self._held += [(now, message) for message in self._marked]
        self._marked = []
        self._open = idle
        if idle:
            return self.clear()
        if settled is None:
            return []
        # Between two nodes of the database the clock may go back; then a later message has an earlier time.
        ready = list(itertools.takewhile(lambda held: held[0] <= settled, self._held))
        del self._held[: len(ready)]
        return [message for _, message in ready]

    def clear(self) -> list[Any]:
        """Remove and return all messages that are held."""
        found = [message for _, message in self._held] + self._marked + self._fresh
        self._held, self._marked, self._fresh = [], [], []
        return found
