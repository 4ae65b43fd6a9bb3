"""What a listener does to its consumer on RabbitMQ, beyond what oslo.messaging offers.

oslo.messaging's listener takes messages from its start to its end, with one prefetch count, and never says
how often the broker has delivered one before. A listener whose database is away must stop taking messages,
and one that has just started must not hold many: the broker counts every delivery that was not acknowledged,
and drops a message at its limit.

Both are done by closing the channel: only that gives back every unacknowledged message at its place.

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
Held = Callable[[], Sequence[Any]]


class ConsumerControl(Protocol):
    """Safe to call from any thread; each call takes effect a moment later, in the order of the calls."""

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """Give back every message that is not answered, in the order of the queue, and take no more.

        :param held: forgets and returns the messages that the caller holds.
        :param interrupted: nobody waits any more for the broker once it is set.
        """

    def resume(self) -> None:
        """Take messages again."""

    def widen(self, held: Held, interrupted: threading.Event) -> None:
        """Hold as many unacknowledged messages from now on as the transport is configured for.

        See :meth:`release` for the parameters.
        """


class NoControl:
    """The control of a driver that cannot be controlled."""

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """Give back what the caller holds."""
        for message in held():
            try:
                message.requeue()
            except Exception:
                LOG.exception("The broker did not take a message back; it will deliver it again")

    def resume(self) -> None:
        """Do nothing."""

    def widen(self, held: Held, interrupted: threading.Event) -> None:
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

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """See ConsumerControl; returns when it is done, at a broker that is away when that is back."""
        done = threading.Event()
        self._do(lambda: self._release(held), done)
        while not (done.wait(LOOK_PAUSED) or interrupted.is_set()):
            pass

    def resume(self) -> None:
        """See ConsumerControl."""
        self._do(self._resume)

    def widen(self, held: Held, interrupted: threading.Event) -> None:
        """See ConsumerControl; what is unacknowledged comes again."""
        # RabbitMQ applies a prefetch count to the consumers that come after it, so these must come anew.
        if self._connection.rabbit_qos_prefetch_count != self._full:
            self._connection.rabbit_qos_prefetch_count = self._full
            self.release(held, interrupted)
            self.resume()

    def _do(self, task: Callable[[], None], done: threading.Event | None = None) -> None:
        def safely() -> None:
            try:
                task()
            except Exception as exc:  # noqa: BLE001 - a broken connection is made anew by the next poll
                LOG.debug("The consumer could not be changed at once: %s", exc)
            if done is not None:
                done.set()

        self._poller._message_operations_handler.do(safely)

    def _release(self, held: Held) -> None:
        """Change to a new channel without consumers; a reconnection does not bring them back either.

        Closing a channel is the one way that gives back all its messages at their places in the queue. Each
        for itself would go behind all others of a quorum queue, and what is on its way to a consumer that
        is cancelled comes again when hundreds of younger messages have overtaken it.
        """
        try:
            if not self.paused:
                self._leave_channel()
        finally:
            # Last: while the channel is changed the old one's messages still come in.
            self._poller.incoming.clear()
            held()

    def _leave_channel(self) -> None:
        self.paused = True
        connection = self._connection
        self._aside = list(connection._consumers)
        connection._consumers.clear()
        connection._new_tags.clear()
        with connection._connection_lock:
            connection._set_current_channel(connection.connection.channel())

    def _resume(self) -> None:
        self.paused = False
        connection = self._connection
        consumers, self._aside = self._aside, []
        for consumer in consumers:
            tag = next(connection._tags)
            connection._consumers[consumer] = tag
            connection._active_tags[consumer.queue_name] = tag
            connection._new_tags.add(tag)

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
