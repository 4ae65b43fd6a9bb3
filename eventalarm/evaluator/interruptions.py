"""Finds messages whose evaluation ends the process: they are evaluated alone, and finally set aside (G6).

A message that the broker delivers for the first time is not counted. A redelivered message is counted before
it is evaluated, and its count is removed when its evaluation has ended, whatever the result: so a count that
remains is one of an evaluation that ended with the process. A message with such a count is evaluated after
all others and alone, so that no other message is affected. Works with every queue type of RabbitMQ.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

from eventalarm.evaluator.consumer_control import delivery_count
from eventalarm.evaluator.redelivery import name
from eventalarm.exceptions import EventAlarmError, Retryable
from eventalarm.metrics import Metrics
from eventalarm.storage.column_types import to_key
from eventalarm.storage.events import Suspects

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Messages to evaluate together. A *suspect* is alone and is counted when its evaluation begins."""

    messages: list[Any]
    suspect: bool = False


class Interruptions:
    """Splits batches so that a message that ends the process is found.

    :param counts: where evaluations that began are counted; they survive the process.
    :param most: number of evaluations without an end after which a message is set aside.
    :param set_aside: puts a message on the queue of messages that were given up.
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
        """Split a batch into parts to evaluate in order; messages that are set aside are acknowledged."""
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
        """Count a suspect just before its evaluation; :meth:`parts` has counted all others."""
        if part.suspect:
            try:
                self._counts.count([_id_of(message) for message in part.messages])
            except Retryable as exc:
                LOG.debug("A redelivered message cannot be counted now: %s", exc)

    def ended(self, messages: Sequence[Any]) -> None:
        """Remove the counts of messages whose evaluation ended, whether they are done or given back.

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
