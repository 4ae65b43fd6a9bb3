"""The checks of the broker: its hosts, and the queue of the topic with its messages and consumers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import amqp.exceptions
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import PRIORITY, Broker, Unusable, hosts, unusable
from eventalarm.conf import GROUP
from eventalarm.status.outcome import Finding, Level

START_LISTENER: Final = "start eventalarm-listener; its log says what it waits for"


def look_at_hosts(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Connect to every host of the broker as the listener does."""
    described = bus.describe(conf)
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"cannot tell for the driver of {described}")
    reached: list[str] = []
    troubles: list[str] = []
    remedy = "look at transport_url in aodh.conf, and whether the broker runs and lets this user in"
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
    """Ask for the queue of the topic: there, declared as ours is, durable, consumed."""
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"cannot tell for the driver of {bus.describe(conf)}")
    try:
        with broker.connected() as connection:
            return _judge(conf, connection, broker)
    except Unusable as exc:
        return Finding(Level.FAILED, exc.problem, exc.remedy or "try again")


def _judge(conf: cfg.ConfigOpts, connection: Any, broker: Broker) -> Finding:
    group = conf[GROUP]
    queue = f"{group.topic}.{PRIORITY}"
    try:
        declared = _on_channel(connection, lambda c: c.queue_declare(queue, passive=True))
    except amqp.exceptions.NotFound:
        return Finding(
            Level.FAILED,
            f"there is no queue {queue}: neither a listener nor the publisher has ever been here",
            START_LISTENER,
        )
    figures = {"messages": declared.message_count, "consumers": declared.consumer_count}
    told = f"{queue} holds {declared.message_count} messages and has {declared.consumer_count} consumers"
    # With what the broker answers to a listener that starts now; it changes nothing.
    with contextlib.suppress(amqp.exceptions.AccessRefused):  # who may not declare may still consume
        try:
            broker.declare(connection, group.topic, group.exchange)
        except amqp.exceptions.PreconditionFailed as exc:
            refused = unusable(exc)
            if "'durable'" in str(exc):
                told += ", but it is not durable: its messages are lost when the broker restarts"
            return Finding(Level.FAILED, f"{told}; {refused.problem}", refused.remedy, figures)
    if not declared.consumer_count:
        return Finding(Level.FAILED, f"{told}: no listener takes events", START_LISTENER, figures)
    return Finding(Level.OK, f"{told}; it is durable", figures=figures)


def _on_channel(connection: Any, ask: Callable[[Any], Any]) -> Any:
    """Ask on a channel of its own: an error closes it."""
    channel = connection.channel()
    answer = ask(channel)
    channel.close()
    return answer
