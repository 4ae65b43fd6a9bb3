"""What a listener does to its consumer on RabbitMQ, beyond what oslo.messaging offers.

oslo.messaging's listener takes messages from its start to its end, with one prefetch count, and never says
how often the broker has delivered one before. A listener whose database is away must stop taking messages,
and one that has just started must not hold many: the broker counts every delivery that was not acknowledged,
and drops a message at its limit.

All that touches the connection runs in the thread that polls it, between two polls. Other drivers have none
of this; their control does nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from oslo_messaging._drivers import amqp as driver_amqp
from oslo_messaging._drivers import amqpdriver, base

LOG = logging.getLogger(__name__)

DELIVERY_COUNT: Final = "x-delivery-count"
LOOK: Final = 1.0
LOOK_PAUSED: Final = 0.1
AFTER_FAILURE: Final = 1.0

Report = Callable[[Exception | None], None]


class ConsumerControl(Protocol):
    """Safe to call from any thread; each call takes effect a moment later, in the order of the calls."""

    def pause(self) -> None:
        """Take no more messages; those already taken stay ours."""

    def resume(self) -> None:
        """Take messages again."""

    def widen(self) -> None:
        """Hold as many unacknowledged messages from now on as the transport is configured for."""


class NoControl:
    """The control of a driver that cannot be controlled."""

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def widen(self) -> None:
        """Do nothing."""


class RabbitControl:
    """The control of one RabbitMQ listener.

    :param first_prefetch: most unacknowledged messages until :meth:`widen`; nothing must be consumed yet.
    """

    def __init__(self, poller: amqpdriver.AMQPListener, first_prefetch: int) -> None:
        self._poller = poller
        # Not the wrapper that oslo.messaging returns: an attribute set there would be the wrapper's.
        self._connection: Any = poller.conn.connection
        self._full = self._connection.rabbit_qos_prefetch_count
        self._aside: list[Any] = []
        self.paused = False
        if not self._full or first_prefetch < self._full:
            self._set_prefetch(first_prefetch)

    def pause(self) -> None:
        """See ConsumerControl."""
        self._do(self._cancel)

    def resume(self) -> None:
        """See ConsumerControl."""
        self._do(self._consume)

    def widen(self) -> None:
        """See ConsumerControl."""
        self._do(self._grow)

    def _do(self, task: Callable[[], None]) -> None:
        def safely() -> None:
            try:
                task()
            except Exception as exc:  # noqa: BLE001 - a broken connection is made anew by the next poll
                LOG.debug("The consumer could not be changed at once: %s", exc)

        self._poller._message_operations_handler.do(safely)

    def _cancel(self) -> None:
        """Leave the connection without consumers, so that a reconnection does not bring them back."""
        if self.paused:
            return
        self.paused = True
        connection = self._connection
        consumers = dict(connection._consumers)
        self._aside = list(consumers)
        connection._consumers.clear()
        connection._new_tags.clear()
        for consumer, tag in consumers.items():
            consumer.cancel(tag)

    def _consume(self) -> None:
        self.paused = False
        connection = self._connection
        for consumer in self._aside:
            # A tag of its own each time: messages of the consumer before may still be unacknowledged.
            tag = next(connection._tags)
            connection._consumers[consumer] = tag
            connection._active_tags[consumer.queue_name] = tag
            connection._new_tags.add(tag)
        self._aside = []

    def _grow(self) -> None:
        paused = self.paused
        # RabbitMQ applies a prefetch count to the consumers that come after it.
        try:
            self._set_prefetch(self._full)
            self._cancel()
        finally:
            if not paused:
                self._consume()

    def _set_prefetch(self, count: int) -> None:
        self._connection.rabbit_qos_prefetch_count = count
        self._connection.channel.basic_qos(0, count, False)


class _NoMessageIds(driver_amqp._MsgIdCache):  # type: ignore[misc]
    """Lets every message through.

    The driver's own cache drops, without acknowledging it, a message that it acknowledged on a connection
    that was lost meanwhile. The broker then waits for it until its consumer timeout. An event that comes
    twice does no harm (guarantee G2).
    """

    def check_duplicate_message(self, message_data: dict[str, Any]) -> Any:
        """Return the id of a message, whether it is known or not."""
        return message_data.pop(driver_amqp.UNIQUE_ID, None)

    def add(self, unique_id: Any) -> None:
        """Remember nothing."""


class GuardedPoller(base.PollStyleListener):  # type: ignore[misc]
    """A poller whose failures are reported, and that looks for tasks even while no message comes.

    :param report: called with each failure, and with None when a poll succeeds.
    """

    def __init__(self, poller: Any, control: RabbitControl, report: Report) -> None:
        super().__init__(poller.prefetch_size)
        self._poller = poller
        self._control = control
        self._report = report
        self._stopping = threading.Event()

    def poll(self, **batch: Any) -> Sequence[Any]:
        """Return the next messages; none after a while, or after a failure."""
        try:
            look = LOOK_PAUSED if self._control.paused else LOOK
            taken: Sequence[Any] = self._poller.poll(timeout=look, **batch)
        except Exception as exc:  # noqa: BLE001 - three libraries' errors, without a common class
            self._report(exc)
            self._stopping.wait(AFTER_FAILURE)
            return []
        self._report(None)
        return taken

    def stop(self) -> None:
        """Stop taking messages."""
        self._stopping.set()
        self._poller.stop()

    def cleanup(self) -> None:
        """Close the connection."""
        self._poller.cleanup()


def take_control(listener: Any, first_prefetch: int, report: Report) -> ConsumerControl:
    """Return the control of a listener of oslo.messaging that was not started yet."""
    poller = getattr(listener, "_poll_style_listener", None)
    if not isinstance(poller, amqpdriver.AMQPListener):
        return NoControl()
    poller.msg_id_cache = _NoMessageIds()
    control = RabbitControl(poller, first_prefetch)
    listener._poll_style_listener = GuardedPoller(poller, control, report)
    return control


def delivery_count(message: Any) -> int:
    """Return how often the broker has taken *message* back before; 0 where it does not count."""
    raw = getattr(getattr(message, "message", None), "_raw_message", None)
    count = (getattr(raw, "headers", None) or {}).get(DELIVERY_COUNT, 0)
    return count if isinstance(count, int) else 0
