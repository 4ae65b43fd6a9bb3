"""One listener on one queue handles messages in the order of the queue, whatever it does to its consumer."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from kombu.connection import Connection
from oslo_config import cfg
from oslo_messaging._drivers import common

from eventalarm import bus
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import FIRST_PREFETCH, ListenerOptions
from tests.support.handlers import FakeHandler
from tests.support.helpers import wait_until

BACKLOG = 2500
STARTS = 3
KINDS = {"classic": "", "quorum": "rabbit_quorum_queue=true"}


class Line(FakeHandler):
    """A queue with numbered messages, and the numbers in the order in which a listener handled them."""

    def __init__(self, url: str, kind: str) -> None:
        self.url = url.partition("?")[0]
        self.topic = f"order-{uuid.uuid4()}"
        self.handled: list[int] = []
        self.refuse: Callable[[Sequence[int]], bool] = lambda numbers: False
        self.begun = True
        self._query = KINDS[kind]
        self._server: BatchServer | None = None

    def begin(self) -> None:
        """Start a listener with its own transport, as a process would have."""
        transport = bus.get_transport(cfg.ConfigOpts(), f"{self.url}?{self._query}", prefetch=1000)
        self._server = BatchServer(
            transport,
            ListenerOptions(topic=self.topic, exchange="order", batch_size=100),
            cast(BatchHandler, self),
        )
        self._server.begin()

    def end(self) -> None:
        """Stop the listener."""
        assert self._server is not None
        self._server.end()
        self._server.stop()
        self._server.wait()
        self._server.transport.cleanup()

    def prepare(self) -> None:
        """Let the server fetch first; at first a listener holds only its first batch."""
        if self._server is not None:
            self._server.suspect()

    def ready(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Block at the first messages, once."""
        server = self._server
        assert server is not None
        if not self.begun:
            wait_until(lambda: len(server._arrived) == FIRST_PREFETCH, what="the first messages")
        self.begun = True
        return True

    def fill(self, numbers: range) -> None:
        """Put messages on the queue, which a listener has declared and emptied."""
        with Connection(self.url.replace("rabbit://", "amqp://")) as connection:
            producer = connection.Producer()
            for number in numbers:
                body = {
                    "priority": "SAMPLE",
                    "payload": number,
                    "event_type": "event",
                    "publisher_id": "order",
                }
                producer.publish(
                    json.dumps(common.serialize_msg(body)),
                    exchange="order",
                    routing_key=f"{self.topic}.sample",
                    content_type="application/json",
                    content_encoding="utf-8",
                )
            # A channel that is closed too early takes the last messages to a quorum queue with it.
            queue = functools.partial(
                connection.default_channel.queue_declare, f"{self.topic}.sample", passive=True
            )
            wait_until(lambda: queue().message_count == len(numbers), what="the backlog")

    def handle(self, messages: Sequence[dict[str, Any]]) -> dict[int, str] | None:
        """Record the numbers, or refuse them."""
        numbers = [message["payload"] for message in messages]
        if self.refuse(numbers):
            return None
        self.handled += numbers
        return {}

    def overtaken(self) -> list[int]:
        """Return the messages before which a younger one was handled; repeated ones count once."""
        first = list(dict.fromkeys(self.handled))
        most = itertools.accumulate(first, max)
        return [number for number, highest in zip(first, most, strict=True) if number < highest]


@pytest.fixture(params=KINDS)
def line(request: pytest.FixtureRequest, rabbit_url: str) -> Line:
    """A queue of either kind, declared."""
    made = Line(rabbit_url, request.param)
    made.begin()
    made.end()
    return made


def test_a_listener_that_starts_on_a_backlog_keeps_its_order(
    line: Line, figure: Callable[[str], None]
) -> None:
    """Six times a listener begins with few unacknowledged messages and goes on with many."""
    overtaken = 0
    for start in range(STARTS):
        line.fill(range(start * BACKLOG, (start + 1) * BACKLOG))
        line.begun = False
        line.begin()
        wait_until(lambda: len(line.handled) >= (start + 1) * BACKLOG, 60, "handled")  # noqa: B023
        line.end()
        overtaken += len(line.overtaken())
    figure(f"{STARTS} starts on a backlog of {BACKLOG}: {overtaken} messages overtaken")
    assert sorted(set(line.handled)) == list(range(STARTS * BACKLOG))
    assert line.overtaken() == []


def test_a_requeued_batch_comes_before_younger_ones(line: Line) -> None:
    """Three times in the middle of a backlog a batch cannot be handled, and all that is held goes back."""
    refused = threading.Semaphore(3)
    line.refuse = lambda numbers: numbers[-1] > 1000 and refused.acquire(blocking=False)
    line.fill(range(BACKLOG))
    line.begin()
    wait_until(lambda: len(set(line.handled)) >= BACKLOG, 60, "handled")
    line.end()
    assert sorted(set(line.handled)) == list(range(BACKLOG))
    assert line.overtaken() == []
