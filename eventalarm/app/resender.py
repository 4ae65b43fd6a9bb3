"""Publishes messages of the event queue again: behind the others, with priority, or as dead messages."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.model import JSONDict


def counts_deliveries(conf: cfg.ConfigOpts) -> bool:
    """Return True if the broker counts the deliveries of a message that was returned to it: RabbitMQ."""
    return bus.driver_name(bus.transport_url(conf)) in bus.RABBIT_DRIVERS


class Resender:
    """Publishes messages to the topic of the listener over a transport that is opened on first use."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._transport: Any = None

    def renew(self, message: JSONDict) -> None:
        """Publish *message* again, so that the broker counts its deliveries from zero."""
        self._send(message, bus.PRIORITY)

    def set_aside(self, message: JSONDict) -> None:
        """Publish *message* to the queue of dead messages, which no listener consumes."""
        self._send(message, bus.DEAD)

    def _send(self, message: JSONDict, priority: str) -> None:
        group = self._conf[options.GROUP]
        if self._transport is None:
            self._transport = bus.get_transport(self._conf)
        bus.resend(self._transport, message, topic=group.topic, exchange=group.exchange, priority=priority)

    def close(self) -> None:
        """Close the transport if it was opened; a later message opens it again."""
        if self._transport is not None:
            self._transport.cleanup()
            self._transport = None
