"""Batches: a backlog is gathered into large batches, a single message is not delayed."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import FEW, ListenerOptions
from eventalarm.evaluator.outage import LOCKED
from eventalarm.standalone import inprocess
from tests.support.handlers import FakeHandler

TIMEOUT = 20.0


class Taken(FakeHandler):
    """A server on a bus of this process; ``batches`` are the sizes of what it took."""

    def __init__(self, dense: float) -> None:
        conf = cfg.ConfigOpts()
        conf([])
        self._transport = oslo_messaging.get_notification_transport(conf, inprocess.URL)
        self._topic = uuid.uuid4().hex
        self._more = threading.Condition()
        self.go = threading.Event()
        self.batches: list[int] = []
        self.server = BatchServer(
            self._transport,
            ListenerOptions(self._topic, "test", FEW, dense=dense, gather=TIMEOUT),
            cast(BatchHandler, self),
        )
        self.server.begin()

    def handle(self, messages: Sequence[dict[str, Any]]) -> dict[int, str]:
        """Record the size of the batch."""
        with self._more:
            self.batches.append(len(messages))
            self._more.notify_all()
        assert self.go.wait(TIMEOUT)
        return {}

    def send(self, count: int) -> None:
        for _ in range(count):
            bus.send(self._transport, topic=self._topic, exchange="test", event_type="x", payload=[])

    def wait(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.batches) >= count, TIMEOUT / 2), self.batches

    def backlog(self) -> None:
        """Let a batch be taken that arrived while another one was handled."""
        self.send(1)
        self.wait(1)
        self.send(FEW)
        # All of them are here before the first batch ends.
        assert self.server._enough.wait(TIMEOUT)
        self.go.set()
        self.wait(2)


@pytest.fixture
def dense() -> float:
    """The rate in messages per second that counts as a backlog: any."""
    return 0.0


@pytest.fixture
def taken(dense: float) -> Iterator[Taken]:
    one = Taken(dense)
    yield one
    one.go.set()
    # No further message can end the gathering.
    one.server._enough.set()
    one.server.stop()
    one.server.wait()


def test_a_single_message_is_not_delayed(taken: Taken) -> None:
    taken.go.set()
    for number in range(1, 4):
        taken.send(1)
        taken.wait(number)
    assert taken.batches == [1, 1, 1]


def test_what_is_resumed_after_the_end_is_left_to_the_broker(taken: Taken) -> None:
    """Fails if the timer that retries locked alarms, or the loader of projects, gets an error at the end."""
    taken.go.set()
    taken.send(1)
    taken.wait(1)
    taken.server.end()
    taken.server.stop()
    taken.server.wait()
    taken.server.resume(LOCKED)
    taken.server.suspect()
    assert taken.batches == [1]


def test_after_a_dense_batch_the_next_one_is_gathered(taken: Taken) -> None:
    taken.backlog()
    for _ in range(FEW):
        taken.send(1)
    taken.wait(3)
    assert taken.batches == [1, FEW, FEW]


@pytest.mark.parametrize("dense", [math.inf])
def test_messages_at_a_moderate_rate_are_not_delayed(taken: Taken) -> None:
    """Whatever the number of messages that arrived during the previous batch."""
    taken.backlog()
    taken.send(1)
    taken.wait(3)
    assert taken.batches == [1, FEW, 1]
