"""Messages that the broker delivers repeatedly: renewed, evaluated alone, or set aside.

:class:`Redelivery` keeps messages from being dropped. A quorum queue of RabbitMQ counts how often a message
was returned, and drops it at its delivery limit, which is set by a queue argument, by a policy, or by the
release of RabbitMQ. A listener that is killed more often than that during a batch would lose the batch. So a
message that arrives for the third time is published again, which resets its count, before it is evaluated;
evaluating it twice is harmless (guarantee G2). A message that was delivered too often in total is set aside
on a separate queue.

:class:`Interruptions` finds messages whose evaluation ends the process (G6); it works with every queue type.
A message that the broker delivers for the first time is not counted. A redelivered message is counted before
it is evaluated, and its count is removed when its evaluation has ended, whatever the result: so a count that
remains is one of an evaluation that ended with the process. A message with such a count is evaluated after
all others and alone, so that no other message is affected, and set aside after several such evaluations.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from eventalarm.evaluator.consumer_control import delivery_count, routing_key
from eventalarm.evaluator.options import RedeliveryOptions
from eventalarm.exceptions import EventAlarmError, Retryable
from eventalarm.metrics import Metrics
from eventalarm.storage.column_types import to_key
from eventalarm.storage.events import Suspects

LOG = logging.getLogger(__name__)

# The key of a message body under which a renewed message carries its earlier deliveries.
EARLIER: Final = "eventalarm_redeliveries"

# Publishes a message body; returns once the broker has confirmed it.
Publish = Callable[[dict[str, Any]], None]


class Message(Protocol):
    """A message of the bus, as the drivers of oslo.messaging provide it."""

    message: dict[str, Any]

    def acknowledge(self) -> None:
        """Tell the broker that the message was processed."""

    def requeue(self) -> None:
        """Return the message to the broker."""


class Redelivery:
    """Renews messages that were redelivered too often, and sets aside those that were renewed too often.

    :param renew: publishes a message with the routing key with which it was delivered.
    :param set_aside: publishes a message to the queue of messages that were given up.
    """

    def __init__(
        self,
        options: RedeliveryOptions,
        metrics: Metrics,
        *,
        renew: Callable[[dict[str, Any], str], None],
        set_aside: Publish,
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._renew = renew
        self._set_aside = set_aside

    def sift(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages to evaluate; renewed ones have been acknowledged already."""
        if not any(map(delivery_count, messages)):
            return list(messages)
        return [kept for message in messages if (kept := self._look(message)) is not None]

    def _look(self, message: Message) -> Message | None:
        count = delivery_count(message)
        if count < self._options.renew_after:
            return message
        body = message.message
        earlier = body.get(EARLIER)
        total = count + (earlier if isinstance(earlier, int) else 0)
        given_up = total >= self._options.most
        try:
            if given_up:
                self._set_aside({**body, EARLIER: total})
            else:
                self._renew({**body, EARLIER: total}, routing_key(message))
        except EventAlarmError as exc:
            LOG.warning(
                "Message %s, delivered %d times before, cannot be renewed: %s", name(body), total, exc
            )
            return message
        message.acknowledge()
        if given_up:
            self._metrics.count("messages", outcome="set_aside")
            LOG.error("Set aside message %s, not acknowledged after %d deliveries", name(body), total)
            return None
        self._metrics.count("messages", outcome="renewed")
        LOG.warning("Renewed message %s, not acknowledged after %d deliveries", name(body), total)
        return Renewed(message)


class Renewed:
    """A message to evaluate that has been acknowledged already, since its copy is on the queue."""

    def __init__(self, original: Any) -> None:
        self.message = original.message

    def acknowledge(self) -> None:
        """Do nothing: it was acknowledged when its copy was published."""

    def requeue(self) -> None:
        """Do nothing: its copy is on the queue."""


def name(body: dict[str, Any]) -> str:
    """Return the ids of a message and of its first events, for log messages."""
    payload = body.get("payload")
    events = payload if isinstance(payload, list) else [payload]
    ids = [str(event.get("message_id"))[:80] for event in events[:3] if isinstance(event, dict)]
    return f"{str(body.get('message_id'))[:80]} (events {', '.join(ids)})"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Messages to evaluate together. A ``suspect`` is alone, and is counted when its evaluation begins."""

    messages: list[Any]
    suspect: bool = False


class Interruptions:
    """Splits batches so that a message whose evaluation ends the process is found.

    :param counts: the persistent counts of evaluations that began.
    :param most: number of evaluations that ended with the process after which a message is set aside.
    :param set_aside: publishes a message to the queue of messages that were given up.
    """

    def __init__(
        self, counts: Suspects, metrics: Metrics, *, most: int, set_aside: Callable[[dict[str, Any]], None]
    ) -> None:
        self._counts = counts
        self._metrics = metrics
        self._most = most
        self._set_aside = set_aside
        self._ended: set[str] = set()

    def parts(self, batch: Sequence[Any]) -> list[Part]:
        """Split a batch into parts to evaluate in this order; acknowledge the messages that are set aside."""
        ids = [_id_of(message) if was_delivered(message) else "" for message in batch]
        redelivered = {one for one in ids if one}
        if not redelivered:
            return [Part(list(batch))]
        try:
            self.ended(())
            known = self._counts.tries(redelivered)
            self._counts.count(redelivered - set(known))
        except Retryable as exc:
            LOG.debug("Redelivered messages cannot be counted now: %s", exc)
            return [Part(list(batch))]
        together = [m for m, one in zip(batch, ids, strict=True) if one not in known]
        suspects = [
            Part([m], suspect=True)
            for m, one in zip(batch, ids, strict=True)
            if one in known and not self._given_up(m, one, known[one])
        ]
        return [*([Part(together)] if together else []), *suspects]

    def begins(self, part: Part) -> None:
        """Count a suspect just before its evaluation; :meth:`parts` has counted the other messages."""
        if part.suspect:
            try:
                self._counts.count([_id_of(message) for message in part.messages])
            except Retryable as exc:
                LOG.debug("A redelivered message cannot be counted now: %s", exc)

    def ended(self, messages: Sequence[Any]) -> None:
        """Remove the counts of messages whose evaluation ended, whether they were processed or returned.

        :raises Retryable: when the database failed; the counts are removed by a later call.
        """
        self._ended.update(_id_of(message) for message in messages if was_delivered(message))
        if self._ended:
            self._counts.clear(self._ended)
            self._ended.clear()

    def _given_up(self, message: Any, message_id: str, tries: int) -> bool:
        if tries < self._most:
            return False
        try:
            self._set_aside(message.message)
        except EventAlarmError as exc:
            LOG.warning("Message %s cannot be set aside: %s", name(message.message), exc)
            return False
        message.acknowledge()
        self._ended.add(message_id)
        self._metrics.count("messages", outcome="set_aside")
        LOG.error(
            "Set aside message %s: the process ended %d times while evaluating it",
            name(message.message),
            tries,
        )
        return True


def was_delivered(message: Any) -> bool:
    """Return True if the broker has delivered *message* before, to this or another consumer."""
    raw = getattr(getattr(message, "message", None), "_raw_message", None)
    info = getattr(raw, "delivery_info", None) or {}
    return bool(info.get("redelivered")) or delivery_count(message) > 0


def _id_of(message: Any) -> str:
    return to_key(str(message.message.get("message_id") or name(message.message)))
