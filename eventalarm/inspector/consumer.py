"""Consumes the topic of the listeners from a separate queue, so that every event reaches both services."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import oslo_messaging

from eventalarm import bus
from eventalarm.backoff import Backoff
from eventalarm.exceptions import Retryable
from eventalarm.inspector.engine import Inspector
from eventalarm.log_fields import fields
from eventalarm.metrics import Metrics
from eventalarm.model import Event, EventLimits, JSONDict
from eventalarm.publisher.codec import decode, encode
from eventalarm.publisher.sending import make_batches, send_batches

LOG = logging.getLogger(__name__)

# Seconds for which a batch is gathered after its first message.
GATHER: Final = 0.01
BACKOFF: Final = Backoff(0.1, 5.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where events are read and published: the topics and exchange of the listeners, and the queue.

    ``split`` returns the topics of events to publish, ``batch_size`` is in messages, ``max_message_size`` in
    bytes.
    """

    topics: Sequence[str]
    split: bus.Split
    exchange: str
    queue: str
    batch_size: int
    max_message_size: int


class Endpoint:
    """Handles the batches that oslo.messaging delivers, one at a time.

    A batch is acknowledged after everything that follows from it is published and recorded. While the
    database or the broker fails, it is held and repeated.

    :param stopping: set when the process is to end; then a batch that is held goes back to the broker.
    """

    def __init__(
        self, inspector: Inspector, limits: EventLimits, metrics: Metrics, stopping: threading.Event
    ) -> None:
        self._inspector = inspector
        self._limits = limits
        self._metrics = metrics
        self._stopping = stopping

    def sample(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        """Handle the messages of one batch; called by oslo.messaging for the priority of events."""
        events = [event for message in messages for event in self._decode(message.get("payload"))]
        if self._handle(events):
            return oslo_messaging.NotificationResult.HANDLED
        return oslo_messaging.NotificationResult.REQUEUE

    def _decode(self, payload: object) -> list[Event]:
        good, bad = decode(payload, self._limits)
        for error in bad:
            # The listener logs the same event with its reason.
            self._metrics.count("inspector_events", outcome="unreadable")
            LOG.debug("Ignored unreadable event %s: %s", error.event_id or "(no id)", error)
        return good

    def _handle(self, events: Sequence[Event]) -> bool:
        """Handle events and return True, or False if they go back to the broker."""
        failures = 0
        while True:
            try:
                self._inspector.process(events)
            except Retryable as exc:
                failures += 1
                LOG.log(logging.WARNING if failures == 1 else logging.DEBUG, "Events are held: %s", exc)
                if self._stopping.wait(BACKOFF(failures)):
                    return False
            except Exception:  # noqa: BLE001 - a bad event must not stop the others
                return self._isolate(events)
            else:
                if failures:
                    LOG.warning("Events are handled again after %d attempts", failures)
                return True

    def _isolate(self, events: Sequence[Event]) -> bool:
        """Handle events one by one, and give up the one that fails by itself (guarantee G6)."""
        if len(events) > 1:
            return all(self._handle([event]) for event in events)
        self._metrics.count("inspector_events", outcome="given_up")
        name = events[0].message_id if events else ""
        LOG.exception("Event %s is given up", name or "(none)", extra=fields(event_id=name))
        return True


def build_server(transport: Any, route: Route, endpoint: Endpoint) -> Any:
    """Return the oslo.messaging server that feeds *endpoint*; start it with ``override_pool_size=1``.

    The queue is a pool of its own on the topics, so that the listeners' queues keep every message.
    """
    return oslo_messaging.get_batch_notification_listener(
        transport,
        [oslo_messaging.Target(topic=topic, exchange=route.exchange) for topic in route.topics],
        [endpoint],
        executor="threading",
        allow_requeue=True,
        pool=route.queue,
        batch_size=route.batch_size,
        batch_timeout=GATHER,
    )


def publisher(transport: Any, route: Route) -> Callable[[Sequence[JSONDict]], None]:
    """Return a function that publishes events to the listeners, in one message unless that is too large.

    It returns when the broker has confirmed them, and raises PublishError if it has not.
    """
    send = bus.events_sender(
        transport, split=route.split, exchange=route.exchange, publisher_id="eventalarm.inspector"
    )

    def publish(events: Sequence[JSONDict]) -> None:
        send_batches(make_batches(map(encode, events), route.max_message_size), send)

    return publish
