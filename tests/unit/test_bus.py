"""The bus: which transport comes of which configuration, and how a failure to send is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.exceptions import InvalidOption, MessageTooLarge, PublishError
from tests.support.helpers import TopicListener


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    return conf


def rabbit_options(transport: Any) -> Any:
    return transport._driver.conf.oslo_messaging_rabbit


@pytest.mark.parametrize(
    ("url", "options", "durable", "quorum"),
    [
        ("rabbit://h/v", {}, True, False),
        ("rabbit://h/v?amqp_durable_queues=false", {}, False, False),
        ("rabbit://h/v?rabbit_quorum_queue=true", {}, True, True),
        ("rabbit://h/v", {"rabbit_quorum_queue": "true"}, True, True),
        ("rabbit://h/v?rabbit_quorum_queue=true", {"rabbit_quorum_queue": "false"}, True, False),
        ("kombu://h/v", {}, True, False),
    ],
)
def test_the_queue_is_durable_unless_the_url_says_otherwise(
    conf: cfg.ConfigOpts, url: str, options: dict[str, str], durable: bool, quorum: bool
) -> None:
    rabbit = rabbit_options(bus.get_transport(conf, url, options=options))
    assert (rabbit.amqp_durable_queues, rabbit.rabbit_quorum_queue) == (durable, quorum)


def test_the_queue_outlives_its_listener_whatever_the_other_queues_do(conf: cfg.ConfigOpts) -> None:
    bus.get_transport(conf, "rabbit://h/v")
    conf.set_override("amqp_auto_delete", True, "oslo_messaging_rabbit")
    assert not rabbit_options(bus.get_transport(conf, "rabbit://h/v")).amqp_auto_delete
    assert rabbit_options(oslo_messaging.get_notification_transport(conf, "rabbit://h/v")).amqp_auto_delete


def test_quorum_queues_of_the_configuration_are_kept(conf: cfg.ConfigOpts) -> None:
    bus.get_transport(conf, "rabbit://h/v")
    conf.set_override("rabbit_quorum_queue", True, "oslo_messaging_rabbit")
    assert rabbit_options(bus.get_transport(conf)).rabbit_quorum_queue


def test_a_listener_reconnects_often_to_an_absent_broker(conf: cfg.ConfigOpts) -> None:
    listening = rabbit_options(bus.get_transport(conf, "rabbit://h", prefetch=7))
    assert (listening.rabbit_interval_max, listening.heartbeat_timeout_threshold) == (2, 15)
    patient = "rabbit://h?rabbit_interval_max=9"
    assert rabbit_options(bus.get_transport(conf, patient, prefetch=7)).rabbit_interval_max == 9


def test_prefetch_is_bounded_unless_the_url_says_otherwise(conf: cfg.ConfigOpts) -> None:
    assert rabbit_options(bus.get_transport(conf, "rabbit://h", prefetch=7)).rabbit_qos_prefetch_count == 7
    url = "rabbit://h?rabbit_qos_prefetch_count=9"
    assert rabbit_options(bus.get_transport(conf, url, prefetch=7)).rabbit_qos_prefetch_count == 9
    assert bus.get_transport(conf, "fake://", prefetch=7) is not None


def test_the_configured_notification_transport_takes_precedence(conf: cfg.ConfigOpts) -> None:
    bus.get_transport(conf)
    conf.set_override("transport_url", "rabbit://general/v")
    assert bus.describe(conf) == "rabbit://general/v"
    conf.set_override(
        "transport_url", "rabbit://u:s3cret@own:5673,u:s3cret@two/v", "oslo_messaging_notifications"
    )
    assert bus.describe(conf) == "rabbit://own:5673,two/v"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nope://h", "driver cannot be loaded"),
        ("rabbit", "cannot be parsed"),
        ("rabbit://u:s3cret/word@h/", "cannot be parsed"),
        ("rabbit://h:99999/", "cannot be parsed"),
        ("rabbit://h/?no_such_option=1", "has no option no_such_option"),
        ("rabbit://h/?rabbit_qos_prefetch_count=many", "is not valid"),
    ],
)
def test_an_invalid_url_is_refused_without_its_password(conf: cfg.ConfigOpts, url: str, words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as caught:
        bus.get_transport(conf, url)
    assert caught.value.option == "transport_url"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name", "value", "words"),
    [
        ("rabbit://h", "polcy", "queue", "unknown"),
        ("rabbit://h", "rabbit_quorum_queue", "perhaps", "is not valid"),
        ("fake://", "rabbit_quorum_queue", "true", "has no options"),
    ],
)
def test_an_invalid_driver_option_is_named(
    conf: cfg.ConfigOpts, url: str, name: str, value: str, words: str
) -> None:
    with pytest.raises(InvalidOption, match=words) as caught:
        bus.get_transport(conf, url, options={name: value})
    assert caught.value.option == name


@pytest.fixture
def listener(conf: cfg.ConfigOpts) -> Iterator[TopicListener]:
    listener = TopicListener(bus.get_transport(conf, "fake://"), "bus_test", "bus_test_exchange")
    yield listener
    listener.close()


def test_a_message_looks_as_if_the_stock_notifier_had_sent_it(
    conf: cfg.ConfigOpts, listener: TopicListener
) -> None:
    """Guards the one call below oslo.messaging's public interface: a release that changes it breaks this."""
    conf.set_override("control_exchange", "bus_test_exchange")
    stock = oslo_messaging.Notifier(
        bus.get_transport(conf, "fake://"), "eventalarm", driver="messagingv2", topics=["bus_test"]
    )
    stock.sample({}, "e", [{"n": 1}])
    bus.send(
        bus.get_transport(conf, "fake://"),
        topic="bus_test",
        exchange="bus_test_exchange",
        event_type="e",
        payload=[{"n": 1}],
    )
    theirs, ours = listener.wait(2)
    assert theirs["metadata"].keys() == ours["metadata"].keys()
    assert len(theirs["metadata"]["timestamp"]) == len(ours["metadata"]["timestamp"])
    assert {k: v for k, v in theirs.items() if k != "metadata"} == {
        k: v for k, v in ours.items() if k != "metadata"
    }


class BrokenTransport:
    """Fails to send with the given error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def _send_notification(self, *args: object, **options: object) -> None:
        assert options["retry"] == 1, "with less a closed channel is never replaced"
        raise self.error


def send(error: Exception) -> None:
    bus.send(BrokenTransport(error), topic="t", exchange="x", event_type="e", payload=[])


def test_a_failure_to_send_raises_a_publish_error() -> None:
    with pytest.raises(PublishError, match=r"^refused$"):
        send(oslo_messaging.MessageDeliveryFailure("refused\nand more"))
    with pytest.raises(PublishError, match=r"^ConnectionResetError$"):
        send(ConnectionResetError())


@pytest.mark.parametrize(
    "text",
    [
        "Basic.publish: (406) PRECONDITION_FAILED - message size 20 is larger than configured max size 10",
        "PRECONDITION_FAILED - message size 20 is larger than max size 10",
        "KafkaError{code=MSG_SIZE_TOO_LARGE,val=10}",
    ],
)
def test_a_message_that_is_too_large_has_its_own_error(text: str) -> None:
    with pytest.raises(MessageTooLarge):
        send(oslo_messaging.MessageDeliveryFailure(text))


def test_a_queue_declared_otherwise_is_explained() -> None:
    text = "(406) PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'event_eval.sample'"
    with pytest.raises(PublishError, match="rabbit_quorum_queue"):
        send(Exception(text))


def test_defaults_are_those_of_aodh() -> None:
    before = cfg.ConfigOpts()
    oslo_messaging.TransportURL(before)
    bus.set_defaults()
    try:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[])
        oslo_messaging.TransportURL(conf)
        assert conf.control_exchange == "aodh"
    finally:
        oslo_messaging.set_transport_defaults("openstack")
