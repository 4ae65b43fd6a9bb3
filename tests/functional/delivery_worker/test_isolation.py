"""Hung destinations and dead names delay neither other destinations nor other projects (G7)."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Collection
from typing import Any

import pytest

from eventalarm.delivery.names import Names
from eventalarm.delivery.options import NameOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.storage import database as storage
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import StartWorker, options, rows, send
from tests.support.helpers import WebhookSink, wait_until

LOCAL = functools.partial(socket.getaddrinfo, "localhost")


def test_hung_destinations_do_not_delay_a_healthy_one(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(20)]
        worker = start(total_timeout=60.0, lease=10.0)
        items = [make_delivery(f"http://127.0.0.1:{s.getsockname()[1]}/") for s in hung for _ in range(60)]
        send(worker, database, items)
        wait_until(lambda: len(worker._calls) > 100)
        waits = []
        for number in range(1, 11):
            before = time.monotonic()
            send(worker, database, [make_delivery(webhook_sink.url("/"))])
            waits.append(webhook_sink.wait(number)[-1].tick - before)
        assert max(waits) < 1.0, waits
        worker.stop(0.0)


def test_a_hung_project_does_not_delay_another(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(200)]
        worker = start(total_timeout=60.0, lease=10.0, concurrency=40)
        items = [
            make_delivery(f"http://127.0.0.1:{s.getsockname()[1]}/", project_id="greedy")
            for s in hung
            for _ in range(3)
        ]
        send(worker, database, items)
        wait_until(lambda: len(worker._calls) == 15)
        # This destination has no record yet, and all calls of the greedy project hang.
        send(worker, database, [make_delivery(webhook_sink.url("/"), project_id="healthy")])
        webhook_sink.wait(1)
        wait_until(lambda: len(worker._calls) == 15)
        worker.stop(0.0)


def test_destinations_that_hang_at_the_same_moment_do_not_delay_another(
    database: storage.Database, webhook_sink: WebhookSink, request: pytest.FixtureRequest
) -> None:
    """They were prompt before, and hold every call. Fails if overdue calls are not set apart."""
    settings = options(total_timeout=60.0, lease=10.0, concurrency=8)
    names = Names(settings.names, getaddrinfo=lambda host, *args, **hints: LOCAL(*args, **hints))
    worker = DeliveryWorker(Outbox(database), HttpSender(settings, names=names), settings, host="test")
    request.addfinalizer(lambda: worker.stop(0.0))
    worker.start()
    wait_until(lambda: worker.owner)

    def deliver(*hosts: str) -> None:
        urls = [(host, webhook_sink.url(f"/{host}", host=f"{host}.example")) for host in hosts]
        send(worker, database, [make_delivery(url, project_id=host) for host, url in urls])

    hung = [f"h{number}" for number in range(12)]
    deliver("good", *hung)
    webhook_sink.wait(13)
    wait_until(lambda: not len(worker._calls))
    for host in hung:
        webhook_sink.hang(f"/{host}")
    deliver(*hung)
    wait_until(lambda: len(worker._calls) == 8)
    deliver("good")
    webhook_sink.wait(2, "/good")
    assert len(webhook_sink.at("/h0")) == 2
    wait_until(lambda: len(worker._calls) == 12)


def test_dead_names_of_a_project_do_not_delay_the_names_of_another(
    database: storage.Database, webhook_sink: WebhookSink, request: pytest.FixtureRequest
) -> None:
    ended = threading.Event()
    request.addfinalizer(ended.set)

    def getaddrinfo(host: str, *args: Any, **hints: Any) -> Any:
        if host.startswith("dead"):
            ended.wait(60.0)
        return socket.getaddrinfo("localhost", *args, **hints)

    settings = options(lease=10.0, names=NameOptions(timeout=0.2))
    names = Names(settings.names, getaddrinfo=getaddrinfo)
    outbox = Outbox(database)
    worker = DeliveryWorker(outbox, HttpSender(settings, names=names), settings, host="test")
    request.addfinalizer(lambda: worker.stop(0.0))
    worker.start()
    wait_until(lambda: worker.owner)
    dead = [make_delivery(f"http://dead{n}.example/", project_id="greedy") for n in range(150)]
    send(worker, database, dead)
    wait_until(lambda: len(worker._calls) > 100)
    good = [
        make_delivery(webhook_sink.url("/", host=f"h{n}.example"), project_id="healthy") for n in range(20)
    ]
    send(worker, database, good)
    webhook_sink.wait(20)
    wanted = {item.delivery_id for item in good}

    def attempts(ids: Collection[str]) -> list[tuple[str, int]]:
        found = rows(database, "delivery_id", "state", "attempts")
        return [tuple(row[1:]) for row in found if row[0] in ids]

    wait_until(lambda: attempts(wanted) == [("delivered", 1)] * 20)
