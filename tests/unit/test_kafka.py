"""Kafka: what its driver in oslo.messaging does with messages, and that every service refuses it."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from aodh import opts as aodh_options
from ceilometer import publisher
from oslo_config import cfg

from eventalarm import bus, conf
from eventalarm.app import partitions, services
from eventalarm.cmd import ingest_wsgi
from eventalarm.exceptions import InvalidOption
from eventalarm.inspector.process import InspectorProcess
from eventalarm.status import broker
from eventalarm.status.checks import Level
from eventalarm.status.pipeline import Target

URL = "kafka://192.0.2.1:9092/"


class KafkaError(Exception):
    """The stand-in for ``confluent_kafka.KafkaException``; that library is not installed."""


class Producer:
    """The stand-in for a producer whose broker accepts nothing."""

    def __init__(self, options: object) -> None:
        self.refused = 0

    def produce(self, topic: str, message: bytes) -> None:
        """Refuse the message."""
        self.refused += 1
        raise KafkaError

    def poll(self, seconds: float) -> None:
        """Do nothing."""


class Consumer:
    """The stand-in for a consumer that has two messages, and records commits."""

    def __init__(self) -> None:
        self.commits = 0

    def consume(self, most: int, timeout: float) -> list[Any]:
        """Return the messages."""
        return [
            types.SimpleNamespace(topic=lambda: "t", partition=lambda: 0, value=lambda v=v: v)
            for v in (b"one", b"two")
        ]

    def commit(self, *, asynchronous: bool) -> None:
        """Count the commit."""
        self.commits += 1


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The driver of the installed oslo.messaging on the stand-ins."""
    client = types.ModuleType("confluent_kafka")
    client.__dict__.update(KafkaException=KafkaError, Producer=Producer)
    monkeypatch.setitem(sys.modules, "confluent_kafka", client)
    name = "oslo_messaging._drivers.impl_kafka"
    yield importlib.import_module(name)
    del sys.modules[name]


@pytest.fixture
def connections(driver: Any) -> Callable[[str], Any]:
    """Return a connection of the driver by the name of its class."""
    options = cfg.ConfigOpts()
    options([], default_config_files=[])
    url = oslo_messaging.TransportURL.parse(options, URL)
    driver.KafkaDriver(options, url)
    return lambda name: getattr(driver, name)(driver.kafka_options.register_opts(options, url), url)


def test_the_driver_commits_messages_before_it_hands_them_over(connections: Callable[[str], Any]) -> None:
    """Once this fails, a released oslo.messaging may keep guarantee G1: look again."""
    connection = connections("ConsumerConnection")
    connection.consumer = Consumer()
    connection.on_assign(None, [types.SimpleNamespace(topic="t", partition=0)])
    assert connection.consume(1.0) == [b"one", b"two"]
    assert connection.consumer.commits == 1


def test_the_driver_reports_a_message_that_was_not_accepted_as_sent(
    connections: Callable[[str], Any],
) -> None:
    """Likewise. The error of the producer would be raised by the call if the driver passed it on."""
    connection = connections("ProducerConnection")
    connection.notify_send("t", {}, {"payload": []}, 1)
    assert connection.producer.refused == 1


def configured(url: str, *, accept: bool = False) -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    made([], default_config_files=[])
    conf.register_opts(made)
    bus.describe(made)
    for group, options in aodh_options.list_opts():
        made.register_opts(list(options), group=None if group == "DEFAULT" else group)
    made.register_opts([cfg.StrOpt("connection", default="sqlite://")], group="database")
    made.set_override("transport_url", url)
    made.set_override("accept_event_loss", accept, conf.GROUP)
    return made


def assert_refused(start: Callable[[], object]) -> None:
    with pytest.raises(InvalidOption, match="commits the offset of a message before it is handled") as caught:
        start()
    assert "accept_event_loss" in str(caught.value)


def test_more_than_one_partition_requires_rabbitmq() -> None:
    options = configured(URL, accept=True)
    partitions.check(options)
    options.set_override("partitions", 2, conf.GROUP)
    with pytest.raises(InvalidOption, match="partitions: more than one partition requires RabbitMQ"):
        partitions.check(options)


@pytest.mark.parametrize("start", [services.check_options, InspectorProcess, ingest_wsgi.build])
def test_a_service_refuses_kafka_and_gives_the_reason(start: Callable[[Any], object]) -> None:
    assert_refused(lambda: start(configured(URL)))


@pytest.mark.parametrize(
    ("url", "default"), [("eventalarm://", URL), ("eventalarm://h?driver=kafka", "fake://")]
)
def test_the_publisher_refuses_kafka_and_gives_the_reason(url: str, default: str) -> None:
    assert_refused(lambda: publisher.get_publisher(configured(default), url, "ceilometer.event.publisher"))


def test_kafka_is_used_where_the_loss_is_accepted(driver: Any) -> None:
    assert bus.driver_name(bus.get_transport(configured(URL, accept=True))._driver._url) == bus.KAFKA
    chosen = bus.get_transport(configured("fake://"), URL, accept_loss=True)
    assert isinstance(chosen._driver, driver.KafkaDriver)


@pytest.mark.parametrize(("accept", "level"), [(False, Level.FAILED), (True, Level.WARNING)])
def test_the_check_says_that_events_are_lost(accept: bool, level: Level) -> None:
    found = broker.check_hosts(configured(URL, accept=accept), 1.0)
    assert (found.level, "G1 does not hold" in found.message) == (level, True)


def test_the_check_of_the_pipeline_says_that_the_agent_refuses_kafka() -> None:
    problem = Target("event_eval", configured(URL)).problem_of("eventalarm://h?driver=kafka")
    assert problem is not None
    assert "events are lost" in problem[0]
