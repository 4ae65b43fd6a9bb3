"""Messages whose evaluation ends the process: found, evaluated alone, and given up in the end (G6).

Nothing is counted for a message that the broker delivers for the first time. One that comes again is counted
before it is evaluated, and forgotten once that has ended, whatever came of it: so what is counted did not
live to see the end. From the second time on it is evaluated after all others and alone, so that it takes no
other message with it. Works with every kind of queue of RabbitMQ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

from eventalarm.evaluator.consumer_control import delivery_count
from eventalarm.evaluator.redelivery import name
from eventalarm.exceptions import EventAlarmError, Retryable
from eventalarm.metrics import Metrics
from eventalarm.storage import text

LOG = logging.getLogger(__name__)

M = TypeVar("M", bound=Any)


class Counts(Protocol):
    """Where tries are counted; raises Retryable when that is not possible now."""

    def tries(self, message_ids: Collection[str]) -> dict[str, int]:
        """Return how often each was begun."""

    def count(self, message_ids: Collection[str]) -> None:
        """Count one more for each."""

    def clear(self, message_ids: Collection[str]) -> None:
        """Forget them."""


class Interruptions:
    """Splits batches so that a message that ends the process is found.

    :param most: tries after which a message is set aside.
    :param set_aside: puts a message on the queue of those that were given up.
    """

    def __init__(
        self, counts: Counts, metrics: Metrics, *, most: int, set_aside: Callable[[dict[str, Any]], None]
    ) -> None:
        self._counts = counts
        self._metrics = metrics
        self._most = most
        self._set_aside = set_aside
        self._over: set[str] = set()

    def parts(self, batch: Sequence[M]) -> list[list[M]]:
        """Return what is to be evaluated together, in this order; what is given up is answered already."""
        ids = [_id_of(message) if was_delivered(message) else "" for message in batch]
        again = {one for one in ids if one}
        if not again:
            return [list(batch)]
        try:
            self.ended(())
            known = self._counts.tries(again)
            self._counts.count(again - set(known))
        except Retryable as exc:
            LOG.debug("Redelivered messages cannot be counted now: %s", exc)
            return [list(batch)]
        together = [m for m, one in zip(batch, ids, strict=True) if one not in known]
        alone = [
            [m]
            for m, one in zip(batch, ids, strict=True)
            if one in known and not self._given_up(m, one, known[one])
        ]
        return [*([together] if together else []), *alone]

    def begins(self, part: Sequence[M]) -> None:
        """Count a message that is evaluated alone; the others of its batch are not to blame for it."""
        if len(part) == 1 and was_delivered(part[0]):
            try:
                self._counts.count([_id_of(part[0])])
            except Retryable as exc:
                LOG.debug("A redelivered message cannot be counted now: %s", exc)

    def ended(self, part: Sequence[M]) -> None:
        """Take in that the process has lived through the evaluation of *part*, done or given back."""
        self._over.update(_id_of(m) for m in part if was_delivered(m))
        if self._over:
            self._counts.clear(self._over)
            self._over.clear()

    def _given_up(self, message: Any, message_id: str, tries: int) -> bool:
        if tries < self._most:
            return False
        try:
            self._set_aside(message.message)
        except EventAlarmError as exc:
            LOG.warning("A message that is given up could not be set aside: %s", exc)
            return False
        message.acknowledge()
        self._over.add(message_id)
        self._metrics.count("messages", outcome="set_aside")
        LOG.error("Set aside message %s, whose evaluation %d times did not end", name(message.message), tries)
        return True


def was_delivered(message: Any) -> bool:
    """Return True if the broker has delivered *message* before, to anybody."""
    raw = getattr(getattr(message, "message", None), "_raw_message", None)
    info = getattr(raw, "delivery_info", None) or {}
    return bool(info.get("redelivered")) or delivery_count(message) > 0


def _id_of(message: Any) -> str:
    return text.key(str(message.message.get("message_id") or name(message.message)))
