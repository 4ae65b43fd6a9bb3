"""The checks of the broker: its hosts, and the queue of the topic with its messages and consumers."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from typing import Any, Final

import amqp.exceptions
from kombu.connection import Connection
from oslo_config import cfg

from eventalarm import bus
from eventalarm.conf import GROUP
from eventalarm.status.outcome import Finding, Level

PRIORITY: Final = "sample"
DEFAULT_PORT: Final = 5672
START_LISTENER: Final = "start eventalarm-listener; its log says what it waits for"


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """The hosts of a RabbitMQ transport, and how to reach them within *timeout* seconds each."""

    conf: cfg.ConfigOpts
    url: Any
    timeout: float

    def connections(self) -> list[tuple[str, Any]]:
        """Return a name and a connection, not opened yet, for each host."""
        return [(f"{host.hostname}:{host.port or DEFAULT_PORT}", self._to(host)) for host in self.url.hosts]

    def _to(self, host: Any) -> Any:
        connect: Any = Connection
        return connect(
            hostname=host.hostname,
            port=host.port or DEFAULT_PORT,
            userid=host.username or "guest",
            password=host.password or "guest",
            virtual_host=self.url.virtual_host or "/",
            ssl=self._tls(),
            connect_timeout=self.timeout,
            transport_options={"read_timeout": self.timeout, "write_timeout": self.timeout},
        )

    def option(self, name: str) -> Any:
        """Return an option of the driver: from the URL, else from the configuration."""
        return self.url.query.get(name, self.conf.oslo_messaging_rabbit[name])

    def _tls(self) -> Any:
        if str(self.option("ssl")).lower() not in ("true", "1", "yes", "on"):
            return False
        named = {"keyfile": "ssl_key_file", "certfile": "ssl_cert_file", "ca_certs": "ssl_ca_file"}
        given = {key: self.option(name) for key, name in named.items() if self.option(name)}
        if "ca_certs" in given:
            given["cert_reqs"] = ssl.CERT_REQUIRED
        return given or True


def look_at_hosts(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Connect to every host of the broker as the listener does."""
    url = bus.transport_url(conf)
    described = bus.describe(conf)
    if bus.driver_name(url) not in bus.RABBIT_DRIVERS:
        return Finding(Level.SKIPPED, f"cannot tell for the driver of {described}")
    reached: list[str] = []
    troubles: list[str] = []
    for name, connection in Broker(conf, url, timeout / max(1, len(url.hosts))).connections():
        try:
            with connection:
                connection.connect()
        except Exception as exc:  # noqa: BLE001 - three libraries' errors, without a common class
            troubles.append(f"{name}: {_said(exc)}")
        else:
            reached.append(name)
    remedy = "look at transport_url in aodh.conf, and whether the broker runs and lets this user in"
    figures = {"reached": len(reached), "hosts": len(url.hosts)}
    if not reached:
        return Finding(Level.FAILED, f"{described} does not answer: {'; '.join(troubles)}", remedy, figures)
    if troubles:
        return Finding(Level.WARNING, f"some hosts do not answer: {'; '.join(troubles)}", remedy, figures)
    return Finding(Level.OK, f"{described} answers", figures=figures)


def look_at_queue(conf: cfg.ConfigOpts, timeout: float) -> Finding:
    """Ask for the queue of the topic: there, durable, consumed."""
    url = bus.transport_url(conf)
    queue = f"{conf[GROUP].topic}.{PRIORITY}"
    if bus.driver_name(url) not in bus.RABBIT_DRIVERS:
        return Finding(Level.SKIPPED, f"cannot tell for the driver {bus.driver_name(url)}")
    broker = Broker(conf, url, timeout / max(1, len(url.hosts)))
    trouble: Exception | None = None
    for _, connection in broker.connections():
        try:
            with connection:
                return _judge(queue, connection, broker)
        except (OSError, amqp.exceptions.ConnectionError) as exc:
            trouble = exc
    return Finding(Level.FAILED, f"the broker broke off: {_said(trouble)}", "try again")


def _judge(queue: str, connection: Any, broker: Broker) -> Finding:
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
    if not _is_durable(queue, connection, broker):
        return Finding(
            Level.FAILED,
            f"{told}, but it is not durable: its messages are lost when the broker restarts",
            "stop the listeners and the agent, delete the queue, start them again; set nothing against "
            "amqp_durable_queues in the transport URL",
            figures,
        )
    if not declared.consumer_count:
        return Finding(Level.FAILED, f"{told}: no listener takes events", START_LISTENER, figures)
    return Finding(Level.OK, f"{told}; it is durable", figures=figures)


def _is_durable(queue: str, connection: Any, broker: Broker) -> bool:
    """Declare the queue, which is there, as durable: the broker refuses and names what is different.

    RabbitMQ compares the durability before anything else, and changes nothing.
    """
    quorum = str(broker.option("rabbit_quorum_queue")).lower() in ("true", "1", "yes", "on")
    arguments = {"x-queue-type": "quorum"} if quorum else {}
    try:
        _on_channel(
            connection,
            lambda c: c.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments),
        )
    except amqp.exceptions.PreconditionFailed as exc:
        return "'durable'" not in str(exc)
    except amqp.exceptions.AccessRefused:
        # Whoever may not declare may still consume; then the listener would not be here.
        return True
    return True


def _on_channel(connection: Any, ask: Callable[[Any], Any]) -> Any:
    """Ask on a channel of its own: an error closes it."""
    channel = connection.channel()
    answer = ask(channel)
    channel.close()
    return answer


def _said(error: Exception | None) -> str:
    lines = str(error).splitlines()
    return (lines[0][:200] if lines else "") or type(error).__name__
