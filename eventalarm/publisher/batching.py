"""Splitting: events become messages that a broker can take, and one that it never takes stops nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from oslo_log import log

from eventalarm.exceptions import MessageTooLarge
from eventalarm.model import JSONDict
from eventalarm.publisher.codec import ENVELOPE_SIZE, Encoded

LOG = log.getLogger(__name__)

Send = Callable[[list[JSONDict]], None]
MessagePart = list[Encoded]


def pack(events: Iterable[Encoded], max_size: int) -> deque[MessagePart]:
    """Group events, in order, into parcels of at most *max_size* bytes on the wire.

    An event that alone is larger travels without its copy of the notification (``raw``); one that is still
    too large has a parcel of its own, and the broker the last word on it.
    """
    parcels: deque[MessagePart] = deque()
    room = 0
    for original in events:
        event = original
        if event.size + ENVELOPE_SIZE > max_size:
            event = event.without_raw() or event
        if not parcels or event.size > room:
            parcels.append([])
            room = max_size - ENVELOPE_SIZE
        parcels[-1].append(event)
        room -= event.size
    return parcels


def hand_over(parcels: deque[MessagePart], send: Send) -> None:
    """Send every parcel, first things first, and remove from *parcels* what was sent.

    What the broker refuses for its size is halved, down to one event, then sent without ``raw``, and
    dropped with one log line if even that is refused.

    :raises PublishError: from *send*; what remains in *parcels* is then still to be sent, in order.
    """
    while parcels:
        try:
            send([event.body for event in parcels[0]])
        except MessageTooLarge as exc:
            parcels.extendleft(reversed(_smaller(parcels.popleft(), exc)))
        else:
            parcels.popleft()


def _smaller(parcel: MessagePart, error: MessageTooLarge) -> list[MessagePart]:
    if len(parcel) > 1:
        middle = len(parcel) // 2
        return [parcel[:middle], parcel[middle:]]
    (event,) = parcel
    stripped = event.without_raw()
    if stripped is not None:
        return [[stripped]]
    LOG.error("Event %s is lost: too large even without its raw part (%s)", event.message_id, error)
    return []
