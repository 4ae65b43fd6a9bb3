"""Groups events into messages that the broker accepts; an event that it never accepts blocks no others."""

from __future__ import annotations

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

    A batch that the broker refuses for its size is halved, down to one event, which is then sent without
    ``raw``, and is dropped with one log line if even that is refused.

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
