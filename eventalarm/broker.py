"""Checks RabbitMQ as a listener uses it: that a host accepts the login, and how the queue is declared."""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import amqp.exceptions
import oslo_messaging
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from oslo_config import cfg
from oslo_messaging._drivers import impl_rabbit

from eventalarm import bus
from eventalarm.broker_errors import explain
from eventalarm.conf import GROUP
from eventalarm.exceptions import EventAlarmError

DEFAULT_PORT: Final = 5672


class Unusable(EventAlarmError):
    """The broker or the event queue cannot be used now; ``remedy`` is empty if none is known."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """The hosts of a RabbitMQ transport, each to be connected within *timeout* seconds.

    ``options`` are those of the driver, overridden by those in the transport URL.
    """

    url: Any
    options: Any
    timeout: float

    @classmethod
    def of(cls, conf: cfg.ConfigOpts, timeout: float) -> Broker:
        """Return the broker that *conf* names; *timeout* seconds are divided among its hosts.

        :raises ValueError: when it is not RabbitMQ.
        """
        if bus.driver_name(bus.transport_url(conf)) not in bus.RABBIT_DRIVERS:
            raise ValueError(bus.describe(conf))
        driver = bus.get_transport(conf)._driver
        return cls(driver._url, driver.conf.oslo_messaging_rabbit, timeout / len(hosts(driver._url)))

    def connections(self) -> list[tuple[str, Any]]:
        """Return ``host:port`` and an unopened connection for each host."""
        return [(f"{host.hostname}:{host.port or DEFAULT_PORT}", self._to(host)) for host in hosts(self.url)]

    def _to(self, host: Any) -> Any:
        connect: Any = Connection
        return connect(
            hostname=host.hostname,
            port=host.port or DEFAULT_PORT,
            userid=host.username or "guest",
            password=host.password or "guest",
            virtual_host=self.url.virtual_host or "/",
            login_method=self.options.rabbit_login_method,
            ssl=self._tls(),
            connect_timeout=self.timeout,
            transport_options={"read_timeout": self.timeout, "write_timeout": self.timeout},
        )

    def _tls(self) -> Any:
        if not self.options.ssl:
            return False
        named = {"keyfile": "ssl_key_file", "certfile": "ssl_cert_file", "ca_certs": "ssl_ca_file"}
        given = {key: self.options[name] for key, name in named.items() if self.options[name]}
        if "ca_certs" in given:
            given["cert_reqs"] = ssl.CERT_REQUIRED
        return given or True

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Yield a connection to the first host that accepts the login.

        :raises Unusable: when no host does, or the broker refuses an operation on the connection.
        """
        last: Exception | None = None
        for _, connection in self.connections():
            try:
                open_once(connection)
            except Exception as exc:  # noqa: BLE001 - three libraries' errors, without a common class
                last = exc
                continue
            with connection:
                try:
                    yield connection
                except connection.connection_errors + connection.channel_errors as exc:
                    raise unusable(exc) from exc
            return
        raise unusable(last) from last

    def arguments(self) -> Mapping[str, Any]:
        """Return the arguments with which oslo.messaging declares the event queue."""
        rabbit = self.options
        quorum = impl_rabbit.QuorumMemConfig(
            rabbit.rabbit_quorum_delivery_limit,
            rabbit.rabbit_quorum_max_memory_length,
            rabbit.rabbit_quorum_max_memory_bytes,
        )
        found: Mapping[str, Any] = impl_rabbit._get_queue_arguments(
            rabbit.rabbit_ha_queues, 0, rabbit.rabbit_quorum_queue, quorum, False
        )
        return found

    def declare(self, connection: Any, topic: str, exchange: str, priority: str = bus.PRIORITY) -> None:
        """Declare exchange and queue of a topic as the listener does, which changes nothing if they exist.

        :raises Exception: an error of amqp, when they exist with other properties, or without permission.
        """
        durable = self.options.amqp_durable_queues or self.options.rabbit_quorum_queue
        kept = {"durable": durable, "auto_delete": self.options.amqp_auto_delete}
        name = f"{topic}.{priority}"
        channel = connection.channel()
        make_queue: Any = Queue
        make_exchange: Any = Exchange
        queue = make_queue(
            name,
            make_exchange(exchange, type="topic", **kept),
            routing_key=name,
            queue_arguments=self.arguments(),
            **kept,
        )
        queue(channel).declare()
        channel.close()


@dataclasses.dataclass(frozen=True, slots=True)
class QueueState:
    """How many messages of a queue no consumer has taken, and how many consumers it has."""

    messages: int = 0
    consumers: int = 0


class QueueWatch:
    """Looks at queues over a connection that it keeps; used on one thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._stack = contextlib.ExitStack()
        self._connection: Any = None

    def look(self, topic: str) -> QueueState:
        """Return the state of the queue of a topic; zeros if there is none.

        :raises Unusable: when the broker does not answer.
        """
        kept = self._connection is not None
        try:
            return self._look(topic)
        except Unusable:
            if not kept:
                raise
        # The broker or the network may have closed the connection since the last look.
        return self._look(topic)

    def _look(self, topic: str) -> QueueState:
        try:
            if self._connection is None:
                self._connection = self._stack.enter_context(self._broker.connected())
            channel = self._connection.channel()
            try:
                found = channel.queue_declare(f"{topic}.{bus.PRIORITY}", passive=True)
            except amqp.exceptions.NotFound:
                return QueueState()
            channel.close()
            return QueueState(found.message_count, found.consumer_count)
        except Unusable:
            raise
        except Exception as exc:
            self.close()
            raise unusable(exc) from exc

    def close(self) -> None:
        """Close the connection; a later look opens another."""
        stack, self._stack, self._connection = self._stack, contextlib.ExitStack(), None
        with contextlib.suppress(Exception):
            stack.close()


def open_once(connection: Any) -> None:
    """Open *connection* in one attempt; kombu's own ``connect`` makes another one two seconds later.

    :raises Exception: errors of three libraries, without a common class.
    """
    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)


def hosts(url: Any) -> Sequence[Any]:
    """Return the hosts of a transport URL; without any, this host, as in oslo.messaging."""
    found: Sequence[Any] = url.hosts or [oslo_messaging.TransportHost("localhost", DEFAULT_PORT)]
    return found


def unusable(error: Exception | None) -> Unusable:
    """Return an error of the broker as one line with its remedy, if that is known."""
    text = str(error)
    refusal = explain(text)
    if refusal is not None:
        return Unusable(refusal.problem, refusal.remedy)
    return Unusable(first_line(error))


def first_line(error: Exception | None) -> str:
    """Return the first line of the text of an error, or the name of its class."""
    lines = str(error).splitlines()
    return (lines[0][:200] if lines else "") or type(error).__name__


def check(conf: cfg.ConfigOpts, timeout: float) -> None:
    """Check that a listener could consume the event queue; does nothing on brokers other than RabbitMQ.

    :param timeout: seconds, for all hosts together.
    :raises Unusable: when it could not.
    """
    try:
        broker = Broker.of(conf, timeout)
    except ValueError:
        return
    group = conf[GROUP]
    with broker.connected() as connection:
        broker.declare(connection, group.topic, group.exchange)
        # A different declaration of the dead-message queue does not prevent a listener from consuming.
        with contextlib.suppress(*connection.channel_errors):
            broker.declare(connection, group.topic, group.exchange, bus.DEAD)
