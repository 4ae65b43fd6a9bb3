"""The bus of one process: prompt, in order, and empty after a clean end."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm.standalone import inprocess

TIMES = 20


class Bus:
    """A topic of its own, with a listener that collects what it is given."""

    def __init__(self) -> None:
        conf = cfg.ConfigOpts()
        conf([])
        self.transport = oslo_messaging.get_notification_transport(conf, inprocess.URL)
        self.other = oslo_messaging.get_notification_transport(conf, inprocess.URL)
        self.topic = uuid.uuid4().hex
        self.got: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.arrived = threading.Semaphore(0)
        self.refuse = 0
        self.server = oslo_messaging.get_batch_notification_listener(
            self.transport,
            [oslo_messaging.Target(topic=self.topic, exchange="test")],
            [self],
            executor="threading",
            allow_requeue=True,
            batch_size=1,
        )

    def sample(self, messages: list[dict[str, Any]]) -> oslo_messaging.NotificationResult:
        self.hold.wait(10)
        if self.refuse:
            self.refuse -= 1
            return oslo_messaging.NotificationResult.REQUEUE
        self.got.append(messages[0]["payload"])
        self.arrived.release()
        return oslo_messaging.NotificationResult.HANDLED

    def send(self, payload: int) -> None:
        target = oslo_messaging.Target(topic=f"{self.topic}.sample", exchange="test")
        message = {
            "message_id": str(payload),
            "publisher_id": "test",
            "event_type": "test",
            "priority": "SAMPLE",
            "payload": payload,
            "timestamp": "2026-11-21 08:00:00",
        }
        self.other._send_notification(target, {}, message, version=2.0, retry=0)


@pytest.fixture
def bus() -> Iterator[Bus]:
    one = Bus()
    one.server.start(override_pool_size=1)
    yield one
    one.hold.set()
    one.server.stop()
    one.server.wait()


def test_an_idle_listener_is_woken_and_does_not_poll(bus: Bus) -> None:
    taken = []
    for number in range(TIMES):
        start = time.monotonic()
        bus.send(number)
        assert bus.arrived.acquire(timeout=10)
        taken.append(time.monotonic() - start)

    # A listener that looks every 50 ms, or one that is only woken by its net of 250 ms, takes half of that.
    assert sorted(taken)[TIMES // 2] < 0.02


def test_the_order_is_kept_and_a_clean_end_loses_nothing() -> None:
    bus, many = Bus(), 2000
    for number in range(many):
        bus.send(number)

    # Stopped at once: most of it is still on the bus, not yet with the listener.
    bus.server.start(override_pool_size=1)
    bus.server.stop()
    bus.server.wait()

    assert bus.got == list(range(many))


def test_a_requeued_message_is_delivered_again(bus: Bus) -> None:
    bus.refuse = 2

    bus.send(1)

    assert bus.arrived.acquire(timeout=10)
    assert bus.got == [1]


def test_cleaning_up_one_transport_leaves_the_messages_of_the_others(bus: Bus) -> None:
    bus.hold.clear()
    bus.send(1)
    bus.send(2)

    bus.other.cleanup()
    bus.hold.set()

    assert bus.arrived.acquire(timeout=10)
    assert bus.arrived.acquire(timeout=10)
