"""The checks of the broker: its hosts, and the queues of the topic and of the inspector."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final

import amqp.exceptions
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import Broker, Unusable, hosts, open_once, unusable
from eventalarm.conf import GROUP, INSPECTOR_GROUP
from eventalarm.publisher import partitions
from eventalarm.status.checks import Finding, Level

START_LISTENER: Final = "start eventalarm-listener; its log says what it is waiting for"


def check_hosts(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Connect to every host of the broker as the listener does."""
    described = bus.describe(conf)
    if bus.driver_name(bus.transport_url(conf)) == bus.KAFKA:
        level = Level.WARNING if bus.accepts_loss(conf) else Level.FAILED
        remedy = "use RabbitMQ (transport_url = rabbit://...)"
        return Finding(level, f"{described}: {bus.KAFKA_LOSES_EVENTS}", remedy)
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"the driver of {described} cannot be checked")
    reached: list[str] = []
    problems: list[str] = []
    remedy = "check transport_url in aodh.conf, that the broker is running and that it admits this user"
    for name, connection in broker.connections():
        try:
            with connection:
                open_once(connection)
        except Exception as exc:  # noqa: BLE001 - three libraries' errors, without a common class
            error = unusable(exc)
            problems.append(f"{name}: {error.problem}")
            remedy = error.remedy or remedy
        else:
            reached.append(name)
    figures = {"reached": len(reached), "hosts": len(hosts(broker.url))}
    if not reached:
        return Finding(Level.FAILED, f"{described} does not answer: {'; '.join(problems)}", remedy, figures)
    if problems:
        return Finding(Level.WARNING, f"some hosts do not answer: {'; '.join(problems)}", remedy, figures)
    return Finding(Level.OK, f"{described} answers", figures=figures)


def check_queue(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Check that the queue of the topic exists, is durable, consumed, and declared as by the listener."""
    return at_broker(
        conf,
        timeout,
        lambda broker, connection: _together(
            [_queue_finding(conf, connection, broker, topic) for topic in topics(conf)]
        ),
    )


def check_inspector_queue(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Warn if the queue of eventalarm-inspector exists and nobody consumes it: it keeps every event."""
    queue = conf[INSPECTOR_GROUP].queue
    return at_broker(conf, timeout, lambda broker, connection: _inspector_finding(connection, queue))


def at_broker(conf: cfg.ConfigOpts, timeout: float, look: Callable[[Broker, Any], Finding]) -> Finding:
    """Return what *look* finds with a connection to the broker; FAILED if there is none, or it breaks."""
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return Finding(Level.SKIPPED, f"the driver of {bus.describe(conf)} cannot be checked")
    try:
        with broker.connected() as connection:
            return look(broker, connection)
    except Unusable as exc:
        return Finding(Level.FAILED, exc.problem, exc.remedy or "run the check again")


def _inspector_finding(connection: Any, queue: str) -> Finding:
    try:
        declared = on_channel(connection, lambda c: c.queue_declare(queue, passive=True))
    except amqp.exceptions.NotFound:
        return Finding(Level.OK, f"there is no queue {queue}: no eventalarm-inspector has been used")
    figures = {"messages": declared.message_count, "consumers": declared.consumer_count}
    text = f"{queue} holds {declared.message_count} messages and has {declared.consumer_count} consumers"
    if not declared.consumer_count:
        remedy = f"start eventalarm-inspector, or run: rabbitmqctl delete_queue {shlex.quote(queue)}"
        return Finding(Level.WARNING, f"{text}: it keeps events until an inspector runs", remedy, figures)
    return Finding(Level.OK, text, figures=figures)


def topics(conf: cfg.ConfigOpts) -> list[str]:
    """Return the topics of events, one for each partition."""
    group = conf[GROUP]
    return [one.topic(group.topic) for one in partitions.all_of(group.partitions)]


def _together(findings: Sequence[Finding]) -> Finding:
    """Return the first finding that is not OK, or one for all of them."""
    bad = [finding for finding in findings if finding.level is not Level.OK]
    if bad or len(findings) == 1:
        return [*bad, *findings][0]
    figures = {name: sum(finding.figures[name] for finding in findings) for name in findings[0].figures}
    text = f"{len(findings)} partitions hold {figures['messages']} messages; each is durable and consumed"
    return Finding(Level.OK, text, figures=figures)


def _queue_finding(conf: cfg.ConfigOpts, connection: Any, broker: Broker, topic: str) -> Finding:
    group = conf[GROUP]
    queue = f"{topic}.{bus.PRIORITY}"
    try:
        declared = on_channel(connection, lambda c: c.queue_declare(queue, passive=True))
    except amqp.exceptions.NotFound:
        return Finding(
            Level.FAILED,
            f"there is no queue {queue}: neither a listener nor the publisher has ever connected",
            START_LISTENER,
        )
    figures = {"messages": declared.message_count, "consumers": declared.consumer_count}
    text = f"{queue} holds {declared.message_count} messages and has {declared.consumer_count} consumers"
    # This declares the queue as a listener does at its start; an existing queue is not changed.
    with contextlib.suppress(amqp.exceptions.AccessRefused):  # a user without this right may still consume
        try:
            broker.declare(connection, topic, group.exchange)
        except amqp.exceptions.PreconditionFailed as exc:
            refused = unusable(exc)
            if "'durable'" in str(exc):
                text += ", but it is not durable: its messages are lost when the broker restarts"
            return Finding(Level.FAILED, f"{text}; {refused.problem}", refused.remedy, figures)
    if not declared.consumer_count:
        return Finding(Level.FAILED, f"{text}: no listener consumes it", START_LISTENER, figures)
    return Finding(Level.OK, f"{text}; it is durable", figures=figures)


def on_channel(connection: Any, request: Callable[[Any], Any]) -> Any:
    """Return the result of *request*, called with a new channel: an error closes the channel."""
    channel = connection.channel()
    answer = request(channel)
    channel.close()
    return answer
