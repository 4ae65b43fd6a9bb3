"""Sending events: in messages that the broker accepts, with a log line when an outage begins and ends.

An event that the broker never accepts does not block the others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from oslo_log import log

from eventalarm.exceptions import MessageTooLarge
from eventalarm.model import JSONDict
from eventalarm.publisher.codec import ENVELOPE_SIZE, Encoded

LOG = log.getLogger(__name__)

Send = Callable[[list[JSONDict]], None]
Batch = list[Encoded]


def make_batches(events: Iterable[Encoded], max_size: int) -> deque[Batch]:
    """Group events, in order, into batches of at most *max_size* bytes on the wire.

    An event that is larger by itself loses its copy of the notification (``raw``). One that is still too
    large gets its own batch, which the broker may accept or refuse.
    """
    batches: deque[Batch] = deque()
    room = 0
    for original in events:
        event = original
        if event.size + ENVELOPE_SIZE > max_size:
            event = event.without_raw() or event
        if not batches or event.size > room:
            batches.append([])
            room = max_size - ENVELOPE_SIZE
        batches[-1].append(event)
        room -= event.size
    return batches


def send_batches(batches: deque[Batch], send: Send) -> None:
    """Send every batch in order, and remove from *batches* what was sent.

    A batch that the broker refuses because of its size is halved. A single event that is refused is sent
    without ``raw``; if that is refused too, it is dropped, with one log line.

    :raises PublishError: from *send*; what remains in *batches* is still to be sent, in order.
    """
    while batches:
        try:
            send([event.body for event in batches[0]])
        except MessageTooLarge as exc:
            batches.extendleft(reversed(_smaller(batches.popleft(), exc)))
        else:
            batches.popleft()


def _smaller(batch: Batch, error: MessageTooLarge) -> list[Batch]:
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    (event,) = batch
    stripped = event.without_raw()
    if stripped is not None:
        return [[stripped]]
    LOG.error(
        "Dropped event %s: it is too large for the broker even without its raw part (%s)",
        event.message_id,
        error,
    )
    return []


class BrokerStatus:
    """Tracks whether the broker accepts messages, and counts the events dropped during an outage.

    It logs once when an outage begins and once when it ends. Thread-safe.

    :param where: the broker and topic, for the log.
    :param clock: monotonic, in seconds.
    """

    def __init__(self, where: str, clock: Callable[[], float]) -> None:
        self._where = where
        self._clock = clock
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self.dropped = 0
        self._reported = 0

    def lost(self, error: Exception, consequence: str) -> None:
        """Record a failure; the first of an outage is logged with *consequence* for the events."""
        with self._lock:
            if self._lost_at is not None:
                return
            self._lost_at = self._clock()
        LOG.warning("%s does not accept events: %s. %s", self._where, error, consequence)

    def drop(self, count: int) -> None:
        """Count dropped events; logged at the first and whenever the number has grown tenfold."""
        if not count:
            return
        with self._lock:
            self.dropped += count
            if self.dropped < 10 * self._reported or not self.dropped:
                return
            self._reported = total = self.dropped
        LOG.warning("%s: %d events dropped so far", self._where, total)

    def regained(self) -> None:
        """Record a success; the first after an outage is logged with its duration and losses."""
        if self._lost_at is None:
            return
        with self._lock:
            if self._lost_at is None:
                return
            seconds, dropped = self._clock() - self._lost_at, self.dropped
            self._lost_at, self.dropped, self._reported = None, 0, 0
        LOG.warning(
            "%s accepts events again after %.1f s; %d events were dropped", self._where, seconds, dropped
        )
