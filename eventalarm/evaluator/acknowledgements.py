"""Acknowledges the messages of a batch together, with one frame where AMQP allows it.

A frame acknowledges one message, or every message of its channel up to one. A message that is deferred while
later ones are evaluated must not be acknowledged by accident. So the unacknowledged messages of a channel are
known in the order of their delivery, and only those before the first that is still held go together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from oslo_messaging._drivers import amqpdriver

LOG = logging.getLogger(__name__)


class TrackedMessage(amqpdriver.NotificationAMQPIncomingMessage):  # type: ignore[misc]
    """A message of RabbitMQ that can be acknowledged by itself or together with others."""

    def __init__(self, acknowledgements: Acknowledgements, *received: Any) -> None:
        super().__init__(*received)
        self._acknowledgements = acknowledgements
        # The message of kombu inside the dict of oslo.messaging.
        self.raw = self.message._raw_message

    def acknowledge(self) -> None:
        """Acknowledge this message alone, as soon as the connection is polled."""
        self._acknowledgements.acknowledge([self])


class Acknowledgements:
    """The unacknowledged messages of one consumer's channel.

    :param do: runs a function on the thread that polls the connection, which is the only one to use it.
    """

    def __init__(self, do: Callable[[Callable[[], None]], None]) -> None:
        self._do = do
        self._channel: Any = None
        # Delivery tags in their order. Bounded by the prefetch count.
        self._open: dict[int, None] = {}

    def received(self, *received: Any) -> TrackedMessage:
        """Return a message just received, from the arguments of oslo.messaging; on the polling thread."""
        message = TrackedMessage(self, *received)
        if message.raw.channel is not self._channel:
            # Tags count from 1 again. What the channel before has not acknowledged is delivered again.
            self._channel = message.raw.channel
            self._open.clear()
        self._open[message.raw.delivery_tag] = None
        return message

    def acknowledge(self, messages: Collection[TrackedMessage]) -> None:
        """Acknowledge messages as soon as the connection is polled; thread-safe."""
        if messages:
            self._do(lambda: self._send(messages))

    def _send(self, messages: Collection[TrackedMessage]) -> None:
        current = {m.raw.delivery_tag for m in messages if m.raw.channel is self._channel}
        tags = current & self._open.keys()
        together = 0
        for tag in self._open:
            if tag not in tags:
                break
            together = tag
        apart = sorted(tag for tag in tags if tag > together)
        for tag in tags:
            del self._open[tag]
        try:
            if together:
                self._channel.basic_ack(together, multiple=True)
            for tag in apart:
                self._channel.basic_ack(tag)
        except Exception as exc:  # noqa: BLE001 - errors of three libraries without a common class
            # The next poll replaces the connection.
            LOG.warning("%d messages are not acknowledged and will be delivered again: %s", len(tags), exc)
        if len(current) < len(messages):
            late = len(messages) - len(current)
            LOG.warning("%d messages will be delivered again: their channel was closed meanwhile", late)
