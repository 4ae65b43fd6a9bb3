"""Up to which time the topics of a former number of partitions are evaluated.

A process that drains such a topic puts a marker on its queue, a message without events. The queue keeps its
order and has one consumer: when the marker has come back, so has every message that was published before it.
Once these are evaluated, so is everything of the time at which the marker was sent, whatever was under way.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
import uuid
from collections.abc import Callable, Collection
from typing import Final

from eventalarm.evaluator.listener import BatchServer
from eventalarm.publisher.partitions import Partition
from eventalarm.storage.partition_leases import IDLE, Leases

# Seconds without a message after which a topic is idle: no source uses it any more.
QUIET: Final = 60.0

# Puts a marker on a topic; the arguments are the topic and the id of the marker.
SendMarker = Callable[[str, str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Sent:
    """A marker; *clock* is the database's time before it was sent, *moment* the monotonic time."""

    marker: str
    clock: datetime.datetime
    moment: float


class Settling:
    """Finds the time up to which the topics that this process drains are evaluated.

    :param base: the topic of one partition.
    :param send: returns when the broker has confirmed the marker.
    :param patience: seconds after which a marker that has not come back is sent again.
    """

    def __init__(self, base: str, send: SendMarker, patience: float) -> None:
        self._base = base
        self._send = send
        self._patience = patience
        self._sent: dict[Partition, _Sent] = {}
        self._since: dict[Partition, float] = {}

    def settled(
        self, server: BatchServer, draining: Collection[Partition]
    ) -> list[tuple[str, datetime.datetime]]:
        """Return the labels of *draining* whose time is newly known, each with it or IDLE."""
        markers = server.entrance.take_evaluated_markers()
        now = time.monotonic()
        found = []
        for one in draining:
            sent = self._sent.get(one)
            if sent is not None and sent.marker in markers:
                del self._sent[one]
                quiet = now - self._last_arrival(server, one) >= QUIET
                found.append((one.label, IDLE if quiet else sent.clock))
        return found

    def _last_arrival(self, server: BatchServer, one: Partition) -> float:
        since = self._since.setdefault(one, time.monotonic())
        return max(since, server.entrance.arrivals.get(one.topic(self._base), 0.0))

    def send(self, server: BatchServer, draining: Collection[Partition], leases: Leases) -> None:
        """Put markers on the topics that have none; *leases* were read before.

        :raises eventalarm.exceptions.PublishError: when the broker does not accept one.
        """
        now = time.monotonic()
        for one in draining:
            topic, sent = one.topic(self._base), self._sent.get(one)
            waits = sent is not None and now - sent.moment < self._patience
            silence = now - server.entrance.arrivals.get(topic, -math.inf)
            idle = leases.partitions[one.label].settled_at == IDLE and silence >= QUIET
            if not (waits or idle):
                self._last_arrival(server, one)
                marker = uuid.uuid4().hex
                self._sent[one] = _Sent(marker, leases.now, now)
                self._send(topic, marker)

    def forget(self) -> None:
        """Forget markers and silence, since another server consumes from now on."""
        self._sent.clear()
        self._since.clear()


def gate_time(
    leases: Leases, count: int, max_skew: datetime.timedelta
) -> tuple[bool, datetime.datetime | None]:
    """Return whether all partitions of another number are idle, and up to which time they are evaluated.

    The time is None if it is not known for one of them. It is *max_skew* before the time that the process
    which drains the topic read: it may have asked another node of the database, whose clock is ahead.
    """
    rows = [
        row
        for label, row in leases.partitions.items()
        if (one := Partition.parse(label)) is not None and one.count != count
    ]
    times = [row.settled_at for row in rows]
    if all(moment == IDLE for moment in times):
        return True, IDLE
    known = [moment for moment in times if moment is not None]
    return False, min(known) - max_skew if len(known) == len(times) else None
