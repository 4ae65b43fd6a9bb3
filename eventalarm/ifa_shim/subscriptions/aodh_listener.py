"""Listens to Aodh's notifications (``alarm.*``), so that changes need not wait for the next round."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any, Final

import oslo_messaging
from oslo_config import cfg
from oslo_log import log

from eventalarm import broker
from eventalarm.exceptions import Retryable

LOG = log.getLogger(__name__)

# The pool of our listener: it gets a separate queue with copies, so that other consumers lose nothing.
POOL: Final = "eventalarm-ifa"

# Seconds that a connection to the broker may take to check and delete the queue.
TIMEOUT: Final = 5.0

Look = Callable[[Collection[str]], None]


class AodhListener:
    """The endpoint: calls *look* with the id of each alarm that Aodh's API or an evaluator notifies of."""

    filter_rule = oslo_messaging.NotificationFilter(event_type=r"^alarm\.")

    def __init__(self, look: Look) -> None:
        self._look = look

    def info(self, context: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> Any:
        """Look at the alarm; everything but its id is read from the database."""
        alarm_id = payload.get("alarm_id") if isinstance(payload, dict) else None
        if isinstance(alarm_id, str):
            try:
                self._look([alarm_id])
            except Retryable as exc:
                LOG.debug("Alarm %s will be compared by the next round: %s", alarm_id, exc)
        return oslo_messaging.NotificationResult.HANDLED


def listen(conf: cfg.ConfigOpts, look: Look) -> Callable[[], None]:
    """Listen on the topics of ``[oslo_messaging_notifications]``; return a function that stops listening.

    Blocks until the broker is available. Aodh's exchange is declared as Aodh declares it.
    """
    transport = oslo_messaging.get_notification_transport(conf)
    targets = [oslo_messaging.Target(topic=topic) for topic in conf.oslo_messaging_notifications.topics]
    listener: Any = oslo_messaging.get_notification_listener(
        transport, targets, [AodhListener(look)], executor="threading", pool=POOL
    )
    listener.start(override_pool_size=1)

    def stop() -> None:
        listener.stop()
        listener.wait()

    return stop


def delete_queue(conf: cfg.ConfigOpts) -> None:
    """Delete the queue of :func:`listen` unless it has a consumer: without subscriptions it only grows.

    :raises eventalarm.broker.Unusable: when the broker cannot be reached.
    """
    try:
        reached = broker.Broker.of(conf, TIMEOUT)
    except ValueError:
        return
    with reached.connected() as connection, contextlib.suppress(*connection.channel_errors):
        channel = connection.channel()
        # Quorum queues have no "if unused"; where this raises, there is no queue.
        if channel.queue_declare(POOL, passive=True).consumer_count == 0:
            channel.queue_delete(POOL)
