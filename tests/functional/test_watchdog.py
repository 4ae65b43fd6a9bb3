"""The watchdog on a real delivery worker and on real listener processes (the threads are in tests/unit)."""

from __future__ import annotations

import logging
import pathlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.storage import database as storage
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import metadata
from eventalarm.watchdog import Loop, Watchdog
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink, wait_until

LONG = 30.0


class StuckSender:
    """Blocks the event loop, which a sender must never do."""

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def destination(self, delivery: Any) -> Destination:
        return Destination("http", "host", 80, 1)

    async def send(self, delivery: Any) -> int:
        self._gate.wait(LONG)
        return 200

    async def close(self) -> None:
        pass


def test_a_worker_with_a_blocked_loop_is_reported_and_ended(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails without the watchdog: the worker stops sending without any message."""
    opened = storage.connect(f"sqlite:///{tmp_path / 'outbox.sqlite'}")
    metadata.create_all(opened.engine)
    gate, ended = threading.Event(), threading.Event()
    stalled: queue.Queue[str] = queue.Queue()
    options = DeliveryOptions(lease=1.0, poll_interval=0.05)
    worker = DeliveryWorker(Outbox(opened), StuckSender(gate), options, host="test")
    worker.start()
    owner = wait_until(lambda: worker.owner)
    dog = Watchdog(warn=0.2, exit_after=0.5, stalled=stalled.put, end=ended.set)
    loop = Loop(worker.call_soon)
    dog.watch("delivery loop", loop)
    dog.start()
    wait_until(lambda: loop.ident)
    with caplog.at_level(logging.WARNING, "eventalarm.watchdog"):
        worker.submit(owner, [make_delivery()])
        assert stalled.get(timeout=LONG) == "delivery loop"
        assert ended.wait(LONG)
    dog.stop()
    gate.set()
    worker.stop(1.0)
    opened.dispose()
    assert any("in send" in record.getMessage() for record in caplog.records)


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    watch = {"workers": 1, "watchdog_warn": 0.5, "watchdog_exit": 1.5}
    one = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm=watch)
    yield one
    one.close()


def test_a_listener_with_a_stuck_evaluator_is_restarted_and_loses_nothing(
    cloud: Cloud, webhook_sink: WebhookSink
) -> None:
    """Fails without the watchdog: the process is stuck, without a message, while the lock is held."""
    alarm = cloud.create_alarm([webhook_sink.url("/hook")], instance="vm-1")
    listener = cloud.start_listener()
    with cloud.database.begin() as connection:
        connection.execute(sa.text("SELECT alarm_id FROM alarm FOR UPDATE"))
        cloud.publish(make_event("vm-1"))
        listener.wait_for_log("The evaluator has been stalled", LONG)
        listener.wait_for_log("the process ends", LONG)
    (arrived,) = webhook_sink.wait(1, "/hook")
    assert arrived.json["alarm_id"] == alarm
    cloud.settle()
    assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised"]
