"""Messages that the broker delivers again and again, because nobody lived to acknowledge them.

A quorum queue counts how often a message was taken back and drops it at its delivery limit, which is set by
an argument of the queue, by a policy, or by the release of RabbitMQ. So a listener that is killed more often
than that in the middle of a batch would lose the batch. Here a message that comes for the third time is put
on the queue anew, where its count begins again, before it is evaluated. Evaluating it twice is harmless
(guarantee G2). One that has come too often altogether is set aside on a queue of its own.
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

# Puts a message body on the bus and returns when the broker has it.
Publish = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class RedeliveryOptions:
    """After how many unacknowledged deliveries a message is renewed, and after how many set aside."""

    renew_after: int = 2
    most: int = 100


class Redelivery:
    """Renews what was redelivered too often, and sets aside what was renewed too often.

    :param renew: puts a message on the topic.
    :param set_aside: puts a message on the queue of those that were given up.
    """

    def __init__(
        self, options: RedeliveryOptions, metrics: Metrics, *, renew: Publish, set_aside: Publish
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._renew = renew
        self._set_aside = set_aside

    def sift(self, messages: Sequence[M]) -> list[M]:
        """Return the messages to evaluate; those among them that were renewed need no answer any more."""
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
            LOG.warning("A message that was delivered %d times before could not be renewed: %s", total, exc)
            return message
        message.acknowledge()
        if given_up:
            self._metrics.count("messages", outcome="set_aside")
            LOG.error("Set aside message %s, which %d deliveries did not see done", name(body), total)
            return None
        self._metrics.count("messages", outcome="renewed")
        LOG.warning("Renewed message %s, which %d deliveries did not see done", name(body), total)
        return Renewed(message)  # type: ignore[return-value]


class Renewed:
    """A message that is evaluated though the broker owes us nothing for it: its successor is on the queue."""

    def __init__(self, original: Any) -> None:
        self.message = original.message

    def acknowledge(self) -> None:
        """Do nothing: it was acknowledged when its successor was on the queue."""

    def requeue(self) -> None:
        """Do nothing: its successor is on the queue."""


def name(body: dict[str, Any]) -> str:
    """Return the ids of the message and of its first events, for the log."""
    payload = body.get("payload")
    events = payload if isinstance(payload, list) else [payload]
    ids = [str(event.get("message_id"))[:80] for event in events[:3] if isinstance(event, dict)]
    return f"{str(body.get('message_id'))[:80]} (events {', '.join(ids)})"
