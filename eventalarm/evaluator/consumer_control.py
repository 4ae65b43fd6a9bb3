"""Pauses, resumes, limits and speeds up a consumer on RabbitMQ, which oslo.messaging does not offer.

A listener of oslo.messaging takes messages from start to stop with one prefetch count, and does not report
how often the broker has delivered a message before. But a listener whose database is away must stop taking
messages, and one that has just started must hold few: the broker counts every delivery that was not
acknowledged, and drops a message that reaches the delivery limit.

Both are done by closing the channel, the only way to return unacknowledged messages to their places.

oslo.messaging prepares for a lost connection anew for every message that it reads, which takes as long as
reading it. Here one poll reads all messages that have arrived, and one frame acknowledges a batch.

All use of the connection happens on the thread that polls it, between two polls. With other drivers messages
are acknowledged and returned one by one, and a listener is not paused.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from oslo_messaging._drivers import amqp as driver_amqp
from oslo_messaging._drivers import amqpdriver, base

from eventalarm.evaluator.acknowledgements import Acknowledgements, TrackedMessage
from eventalarm.evaluator.arrived_messages import ArrivedMessages

LOG = logging.getLogger(__name__)

DELIVERY_COUNT: Final = "x-delivery-count"
# Seconds that a poll waits for a message, while consuming and while paused, and the pause after a failure.
POLL_TIMEOUT: Final = 1.0
POLL_TIMEOUT_PAUSED: Final = 0.1
AFTER_FAILURE: Final = 1.0
LOST: Final = "the connection is lost; it is opened again as soon as the broker answers"

Held = Callable[[], Sequence[Any]]


class Report(Protocol):
    """Learns how the polls of a consumer end; called by the thread that polls."""

    def begins(self) -> None:
        """Record that a poll begins, which lasts POLL_TIMEOUT at most while the broker answers."""

    def __call__(self, error: Exception | None) -> None:
        """Record that the poll ended, by *error* if it failed."""


class NoReport:
    """The report that nobody reads."""

    def begins(self) -> None:
        """Do nothing."""

    def __call__(self, error: Exception | None) -> None:
        """Do nothing."""


class ConsumerControl(Protocol):
    """Controls one consumer; thread-safe. Calls take effect asynchronously, in the order of the calls."""

    def acknowledge(self, messages: Sequence[Any]) -> None:
        """Tell the broker that messages were processed."""

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """Return every unacknowledged message to its place in the queue, and stop consuming.

        :param held: removes and returns the messages that the caller holds.
        :param interrupted: ends the wait for the broker when it is set.
        """

    def resume(self) -> None:
        """Start consuming again."""

    def widen(self, held: Held, interrupted: threading.Event) -> None:
        """Raise the prefetch count from its initial value to that of the transport.

        See :meth:`release` for the parameters.
        """


class NoControl:
    """The control for drivers other than RabbitMQ's."""

    def acknowledge(self, messages: Sequence[Any]) -> None:
        """Acknowledge the messages one by one."""
        for message in messages:
            try:
                message.acknowledge()
            except Exception:
                LOG.exception("The broker did not accept an acknowledgement; it delivers the message again")

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """Return the messages that the caller holds."""
        for message in held():
            try:
                message.requeue()
            except Exception:
                LOG.exception("The broker did not accept a returned message; it will deliver it again")

    def resume(self) -> None:
        """Do nothing."""

    def widen(self, held: Held, interrupted: threading.Event) -> None:
        """Do nothing."""


class RabbitControl:
    """The control of one RabbitMQ listener.

    :param first_prefetch: prefetch count until :meth:`widen`; consuming must not have begun.
    """

    def __init__(self, poller: amqpdriver.AMQPListener, first_prefetch: int) -> None:
        self._poller = poller
        # The connection inside the wrapper of oslo.messaging, on which attributes can be set.
        self._connection: Any = poller.conn.connection
        self._full = self._connection.rabbit_qos_prefetch_count
        self._aside: list[Any] = []
        self._acknowledgements = Acknowledgements(poller._message_operations_handler.do)
        poller.message_cls = self._acknowledgements.received
        self.paused = False
        if not self._full or first_prefetch < self._full:
            self._set_prefetch(first_prefetch)

    @property
    def connected(self) -> bool:
        """True while the connection to the broker is open; used between polls."""
        return bool(self._connection.connection.connected)

    def acknowledge(self, messages: Sequence[Any]) -> None:
        """See ConsumerControl; messages of other classes, such as renewed ones, acknowledge themselves."""
        self._acknowledgements.acknowledge([m for m in messages if isinstance(m, TrackedMessage)])
        for message in messages:
            if not isinstance(message, TrackedMessage):
                message.acknowledge()

    def release(self, held: Held, interrupted: threading.Event) -> None:
        """See ConsumerControl; returns when done: during an outage of the broker, after its end."""
        done = threading.Event()
        self._do(lambda: self._release(held), done)
        while not (done.wait(POLL_TIMEOUT_PAUSED) or interrupted.is_set()):
            pass

    def resume(self) -> None:
        """See ConsumerControl."""
        self._do(self._resume)

    def widen(self, held: Held, interrupted: threading.Event) -> None:
        """See ConsumerControl; unacknowledged messages are delivered again."""
        # RabbitMQ applies a prefetch count to later consumers only, so the consumers are created anew.
        if self._connection.rabbit_qos_prefetch_count != self._full:
            self._connection.rabbit_qos_prefetch_count = self._full
            self.release(held, interrupted)
            self.resume()

    def _do(self, task: Callable[[], None], done: threading.Event | None = None) -> None:
        def safely() -> None:
            try:
                task()
            except Exception as exc:  # noqa: BLE001 - the next poll replaces a broken connection
                LOG.debug("The consumer could not be changed at once: %s", exc)
            if done is not None:
                done.set()

        self._poller._message_operations_handler.do(safely)

    def _release(self, held: Held) -> None:
        """Change to a new channel without consumers; a reconnection does not restore them either.

        Only closing a channel returns all its messages to their places in the queue. A message requeued by
        itself goes to the end of a quorum queue, and one in transit to a cancelled consumer comes back after
        hundreds of younger messages.
        """
        try:
            if not self.paused:
                self._leave_channel()
        finally:
            # Last, since messages of the old channel still arrive while it is replaced.
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
    """A cache of message ids that reports no duplicates.

    The driver's own cache makes it drop a message, without acknowledging it, if the message was acknowledged
    on a connection that was lost meanwhile. The broker then waits for the acknowledgement until its consumer
    timeout. Processing a message twice is harmless (guarantee G2).
    """

    def check_duplicate_message(self, message_data: dict[str, Any]) -> Any:
        """Return the id of a message, known or not."""
        return message_data.pop(driver_amqp.UNIQUE_ID, None)

    def add(self, unique_id: Any) -> None:
        """Do nothing."""


class GuardedPoller(base.PollStyleListener):  # type: ignore[misc]
    """A poller that reports failures, and runs the tasks of the control even while no message arrives.

    While the broker is away, oslo.messaging connects again and again: its polls do not end, or they end after
    their time as if no message had arrived.
    """

    def __init__(self, poller: Any, control: RabbitControl, report: Report) -> None:
        super().__init__(poller.prefetch_size)
        self._poller = poller
        self._control = control
        self._report = report
        self._stopping = threading.Event()

    def poll(self, **batch: Any) -> Sequence[Any]:
        """Return the next messages; an empty list after a timeout or a failure."""
        self._report.begins()
        try:
            timeout = POLL_TIMEOUT_PAUSED if self._control.paused else POLL_TIMEOUT
            taken: list[Any] = self._poller.poll(timeout=timeout, **batch)
        except Exception as exc:  # noqa: BLE001 - errors of three libraries without a common class
            self._report(exc)
            self._stopping.wait(AFTER_FAILURE)
            return []
        self._report(None if self._control.connected else ConnectionError(LOST))
        # Those that were read with the first one.
        taken += self._poller.incoming
        self._poller.incoming.clear()
        return taken

    def stop(self) -> None:
        """Stop polling."""
        self._stopping.set()
        self._poller.stop()

    def cleanup(self) -> None:
        """Close the connection."""
        self._poller.cleanup()


def take_control(listener: Any, first_prefetch: int, report: Report) -> ConsumerControl:
    """Return the control of a listener of oslo.messaging that has not been started yet.

    :param first_prefetch: see :class:`RabbitControl`.
    :param report: used with RabbitMQ only.
    """
    poller = getattr(listener, "_poll_style_listener", None)
    if not isinstance(poller, amqpdriver.AMQPListener):
        return NoControl()
    poller.msg_id_cache = _NoMessageIds()
    kombu_connection = poller.conn.connection.connection
    kombu_connection.drain_events = ArrivedMessages(kombu_connection)
    control = RabbitControl(poller, first_prefetch)
    listener._poll_style_listener = GuardedPoller(poller, control, report)
    return control


def routing_key(message: Any) -> str:
    """Return the routing key with which RabbitMQ delivered *message*, ``TOPIC.PRIORITY``; else empty."""
    raw = getattr(getattr(message, "message", None), "_raw_message", None)
    return str((getattr(raw, "delivery_info", None) or {}).get("routing_key") or "")


def delivery_count(message: Any) -> int:
    """Return how often *message* was returned to the broker before; 0 if the broker does not count."""
    raw = getattr(getattr(message, "message", None), "_raw_message", None)
    count = (getattr(raw, "headers", None) or {}).get(DELIVERY_COUNT, 0)
    return count if isinstance(count, int) else 0
