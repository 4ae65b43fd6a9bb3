"""Keeps messages from reaching the delivery limit of a quorum queue, at which RabbitMQ drops them.

A quorum queue counts how often a message was returned, and drops it at its delivery limit, which is set by a
queue argument, by a policy, or by the release of RabbitMQ. A listener that is killed more often than that
during a batch would lose the batch. So a message that arrives for the third time is published again, which
resets its count, before it is evaluated; evaluating it twice is harmless (guarantee G2). A message that was
delivered too often in total is set aside on a separate queue.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from eventalarm.evaluator.consumer_control import delivery_count
from eventalarm.exceptions import EventAlarmError
from eventalarm.metrics import Metrics

LOG = logging.getLogger(__name__)

M = TypeVar("M", bound=Any)

EARLIER: Final = "eventalarm_redeliveries"

# Publishes a message body and returns when the broker has it.
Publish = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class RedeliveryOptions:
    """Unacknowledged deliveries after which a message is renewed, and in total, set aside."""

    renew_after: int = 2
    most: int = 100


class Redelivery:
    """Publishes messages again that were redelivered too often, and sets aside those renewed too often.

    :param renew: publishes a message to the topic.
    :param set_aside: publishes a message to the queue of messages that were given up.
    """

    def __init__(
        self, options: RedeliveryOptions, metrics: Metrics, *, renew: Publish, set_aside: Publish
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._renew = renew
        self._set_aside = set_aside

    def sift(self, messages: Sequence[M]) -> list[M]:
        """Return the messages to evaluate; those that were renewed are acknowledged already."""
        if not any(map(delivery_count, messages)):
            return list(messages)
        return [kept for message in messages if (kept := self._look(message)) is not None]

    def _look(self, message: M) -> M | None:
        count = delivery_count(message)
        if count < self._options.renew_after:
            return message
        body = message.message
        earlier = body.get(EARLIER)
        total = count + (earlier if isinstance(earlier, int) else 0)
        given_up = total >= self._options.most
        try:
            (self._set_aside if given_up else self._renew)({**body, EARLIER: total})
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
        return Renewed(message)  # type: ignore[return-value]


class Renewed:
    """A message to evaluate that was acknowledged already, since its copy is on the queue."""

    def __init__(self, original: Any) -> None:
        self.message = original.message

    def acknowledge(self) -> None:
        """Do nothing: it was acknowledged when its copy was published."""

    def requeue(self) -> None:
        """Do nothing: its copy is on the queue."""


def name(body: dict[str, Any]) -> str:
    """Return the ids of a message and of its first events, for the log."""
    payload = body.get("payload")
    events = payload if isinstance(payload, list) else [payload]
    ids = [str(event.get("message_id"))[:80] for event in events[:3] if isinstance(event, dict)]
    return f"{str(body.get('message_id'))[:80]} (events {', '.join(ids)})"
