"""The checks of the broker: its hosts, and the queue of the topic with its messages and consumers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import amqp.exceptions
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import Broker, Unusable, hosts, unusable
from eventalarm.conf import GROUP
from eventalarm.status.outcome import Finding, Level

KAFKA: Final = "kafka"
NO_PROMISE: Final = (
    "oslo.messaging sends to Kafka asynchronously, so that events can be lost when a broker fails (guarantee "
    "G1 does not hold)"
)
START_LISTENER: Final = "start eventalarm-listener; its log says what it is waiting for"


def look_at_hosts(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Connect to every host of the broker as the listener does."""
    described = bus.describe(conf)
    if bus.driver_name(bus.transport_url(conf)) == KAFKA:
        return Finding(
            Level.WARNING, f"{described}: {NO_PROMISE}", "use RabbitMQ (transport_url = rabbit://...)"
        )
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"the driver of {described} cannot be checked")
    reached: list[str] = []
    troubles: list[str] = []
    remedy = "check transport_url in aodh.conf, that the broker is running and that it admits this user"
    for name, connection in broker.connections():
        try:
            with connection:
                connection.connect()
        except Exception as exc:  # noqa: BLE001 - three libraries' errors, without a common class
            trouble = unusable(exc)
            troubles.append(f"{name}: {trouble.problem}")
            remedy = trouble.remedy or remedy
        else:
            reached.append(name)
    figures = {"reached": len(reached), "hosts": len(hosts(broker.url))}
    if not reached:
        return Finding(Level.FAILED, f"{described} does not answer: {'; '.join(troubles)}", remedy, figures)
    if troubles:
        return Finding(Level.WARNING, f"some hosts do not answer: {'; '.join(troubles)}", remedy, figures)
    return Finding(Level.OK, f"{described} answers", figures=figures)


def look_at_queue(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Check that the queue of the topic exists, is durable, consumed, and declared as by the listener."""
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"the driver of {bus.describe(conf)} cannot be checked")
    try:
        with broker.connected() as connection:
            return _judge(conf, connection, broker)
    except Unusable as exc:
        return Finding(Level.FAILED, exc.problem, exc.remedy or "try again")


def _judge(conf: cfg.ConfigOpts, connection: Any, broker: Broker) -> Finding:
    group = conf[GROUP]
    queue = f"{group.topic}.{bus.PRIORITY}"
    try:
        declared = _on_channel(connection, lambda c: c.queue_declare(queue, passive=True))
    except amqp.exceptions.NotFound:
        return Finding(
            Level.FAILED,
            f"there is no queue {queue}: neither a listener nor the publisher has ever connected",
            START_LISTENER,
        )
    figures = {"messages": declared.message_count, "consumers": declared.consumer_count}
    text = f"{queue} holds {declared.message_count} messages and has {declared.consumer_count} consumers"
    # Declared as by a listener that starts now, which changes nothing.
    with contextlib.suppress(amqp.exceptions.AccessRefused):  # a user without this right may still consume
        try:
            broker.declare(connection, group.topic, group.exchange)
        except amqp.exceptions.PreconditionFailed as exc:
            refused = unusable(exc)
            if "'durable'" in str(exc):
                text += ", but it is not durable: its messages are lost when the broker restarts"
            return Finding(Level.FAILED, f"{text}; {refused.problem}", refused.remedy, figures)
    if not declared.consumer_count:
        return Finding(Level.FAILED, f"{text}: no listener consumes it", START_LISTENER, figures)
    return Finding(Level.OK, f"{text}; it is durable", figures=figures)


def _on_channel(connection: Any, ask: Callable[[Any], Any]) -> Any:
    """Call *ask* with a new channel: an error closes the channel."""
    channel = connection.channel()
    answer = ask(channel)
    channel.close()
    return answer
