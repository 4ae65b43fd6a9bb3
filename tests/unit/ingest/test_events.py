"""What callers are told while the broker is away, and what reaches it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from eventalarm.exceptions import MessageTooLarge, PublishError
from eventalarm.ingest.events import Gateway, Refused
from eventalarm.publisher import codec
from eventalarm.publisher.sending import BrokerStatus
from tests.support.builders import event_body


class Broker:
    """Takes messages of at most *most* events unless it is away; *asked* is called before each answer."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.away = False
        self.taken: list[str] = []
        self.calls = 0
        self.asked: Any = lambda: None

    def __call__(self, bodies: list[dict[str, Any]]) -> None:
        self.calls += 1
        self.asked()
        if self.away:
            raise PublishError("no connection")
        if len(bodies) > self.most:
            raise MessageTooLarge("message size 9 is larger than")
        self.taken += [body["message_id"] for body in bodies]


def events(*ids: str) -> list[codec.Encoded]:
    return [codec.encode(event_body(message_id=one)) for one in ids]


def gateway(broker: Broker) -> Gateway:
    return Gateway(broker, 65536, BrokerStatus("test", lambda: 0.0))


def test_events_leave_in_order_in_one_message() -> None:
    broker = Broker()
    gateway(broker).publish(events("a", "b", "c"))
    assert (broker.taken, broker.calls) == (["a", "b", "c"], 1)


def test_events_too_large_together_are_sent_separately() -> None:
    broker = Broker(most=1)
    gateway(broker).publish(events("a", "b", "c"))
    assert broker.taken == ["a", "b", "c"]


def test_a_single_event_that_is_too_large_is_reported_not_dropped() -> None:
    with pytest.raises(Refused, match="event a is larger"):
        gateway(Broker(most=0)).publish(events("a"))


def test_only_one_caller_probes_for_the_broker() -> None:
    broker = Broker()
    way = gateway(broker)
    broker.away = True
    with pytest.raises(PublishError, match="no connection"):
        way.publish(events("a"))

    looking, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        looking.set()
        assert go_on.wait(10)
        broker.away = False

    broker.asked = wait
    first = threading.Thread(target=way.publish, args=(events("b"),))
    first.start()
    assert looking.wait(10)
    begun = time.monotonic()
    with pytest.raises(PublishError, match="the broker is unavailable"):
        way.publish(events("c"))
    assert time.monotonic() - begun < 1
    assert broker.calls == 2
    go_on.set()
    first.join()
    broker.asked = lambda: None
    way.publish(events("d"))
    assert broker.taken == ["b", "d"]
