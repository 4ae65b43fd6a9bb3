"""The bus edge: messages in batches as large as the backlog, acknowledged only when all they caused is done.

oslo.messaging's own batch server makes a lone message wait for its batch timeout and hands batches to many
threads at once. Ours hands everything that has arrived to one thread as soon as that thread is free: a lone
event waits for nothing, a backlog is taken in large batches, and the order of the queue is kept.
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import oslo_messaging
from oslo_messaging.notify import listener as notify_listener

LOG = logging.getLogger(__name__)

PRIORITY = "sample"


class Message(Protocol):
    """One message of the bus, as oslo.messaging's drivers give it."""

    message: dict[str, Any]

    def acknowledge(self) -> None:
        """Tell the broker that the message is done with."""

    def requeue(self) -> None:
        """Give the message back to the broker."""


Handler = Callable[[Sequence[dict[str, Any]]], bool]


class _OnlySamples:
    """What the base class asks of a dispatcher: which priorities it wants."""

    supported_priorities = (PRIORITY,)


class BatchServer(notify_listener.NotificationServerBase):  # type: ignore[misc]
    """Takes messages from one topic and gives them to *handler* in adaptive batches.

    *handler* gets the message bodies; True means done (acknowledge), False means give them back. It must
    not raise; if it does, the batch is given back.
    """

    def __init__(
        self, transport: Any, *, topic: str, exchange: str, handler: Handler, batch_size: int
    ) -> None:
        target = oslo_messaging.Target(topic=topic, exchange=exchange)
        super().__init__(transport, [target], _OnlySamples(), executor="threading")
        self._handler = handler
        self._most = batch_size
        self._arrived: collections.deque[Message] = collections.deque()
        self._lock = threading.Lock()
        self._draining = False

    def begin(self) -> None:
        """Begin to take messages; waits for the broker if it is not there yet."""
        self.start(override_pool_size=1)

    def _on_incoming(self, incoming: Sequence[Message]) -> None:
        with self._lock:
            self._arrived.extend(incoming)
            if self._draining:
                return
            self._draining = True
        self._work_executor.submit(self._drain)

    def _process_incoming(self, incoming: Sequence[Message]) -> None:
        """Not used: batches are formed in :meth:`_drain`."""

    def _take(self) -> list[Message]:
        with self._lock:
            batch = [self._arrived.popleft() for _ in range(min(self._most, len(self._arrived)))]
            self._draining = bool(batch)
        return batch

    def _drain(self) -> None:
        while batch := self._take():
            try:
                done = self._handler([m.message for m in batch])
            except Exception:
                LOG.exception("A batch of %d messages failed and goes back to the broker", len(batch))
                done = False
            for message in batch:
                try:
                    message.acknowledge() if done else message.requeue()
                except Exception:
                    LOG.exception("The broker did not take an answer; it will deliver the message again")
