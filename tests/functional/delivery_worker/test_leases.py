"""Leases of the delivery worker: takeover, stop, and loss (G1, G2)."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import sqlalchemy as sa

from eventalarm.model import DeliveryResult, DeliveryState
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import (
    NEVER,
    StartWorker,
    all_are,
    enqueue,
    received,
    send,
    states,
    workers,
)
from tests.support.helpers import WebhookSink, wait_until


def test_a_committed_delivery_that_was_not_submitted_is_found(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start(lease=0.5)
    enqueue(database, [make_delivery(webhook_sink.url("/"))], worker.owner)
    webhook_sink.wait(1)
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_successor_whose_predecessor_ended_elsewhere_is_found(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    start(lease=0.5)
    other = Outbox(database)
    other.register("other", "host-b", NEVER)
    items = [make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(2)]
    enqueue(database, items, "other")
    other.record("other", [DeliveryResult(items[0].delivery_id, DeliveryState.DELIVERED, 1, 200)])
    # "other" is alive, but never asks for successors.
    wait_until(lambda: all_are(database, "delivered"))
    assert received(webhook_sink) == [items[1].delivery_id]


def _bury(database: storage.Database) -> None:
    """End every lease; return once the worker has reclaimed its delivery under its next id."""
    owner = sa.select(tables.delivery.c.owner)
    with database.begin() as connection:
        before = connection.execute(owner).scalar()
        connection.execute(sa.delete(tables.worker))

    def after() -> str | None:
        with database.read() as connection:
            return connection.execute(owner).scalar()

    wait_until(lambda: after() not in {before, None})


def test_a_delivery_in_progress_when_its_lease_ends_is_not_sent_again(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start()
    release = webhook_sink.hang("/")
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    webhook_sink.wait(1)
    _bury(database)
    release()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


class Overtaken(Outbox):
    """A real outbox; the lease ends while the first results are on their way to it."""

    def __init__(self, database: storage.Database) -> None:
        super().__init__(database)
        self.bury = True

    def record(
        self, worker_id: str, results: Sequence[DeliveryResult], now_known_as: str | None = None
    ) -> None:
        if self.bury:
            self.bury = False
            _bury(self._database)
        super().record(worker_id, results, now_known_as)


def test_a_delivery_sent_when_its_lease_ends_is_not_sent_again(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start(Overtaken(database))
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_delivery_leased_under_an_old_worker_id_is_not_sent(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start(poll_interval=NEVER, lease=60.0)
    outbox = Outbox(database)
    outbox.register("gone", "host", NEVER)
    outbox.register("other", "host", NEVER)
    leased = enqueue(database, [make_delivery(webhook_sink.url("/theirs"))], "gone")
    assert len(outbox.claim("other", 10, ended={"gone": 0})) == 1
    worker.submit("gone", leased)
    send(worker, database, [make_delivery(webhook_sink.url("/ours"))])
    webhook_sink.wait(1, "/ours")
    assert webhook_sink.at("/theirs") == []
    with database.read() as connection:
        query = sa.select(tables.delivery.c.owner).order_by(tables.delivery.c.seq)
        assert connection.execute(query).scalars().first() == "other"


def test_a_clean_stop_finishes_current_deliveries_and_hands_back_the_rest(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    webhook_sink.behave("/", delay=0.5)
    worker = start(concurrency_per_destination=2)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(6)]
    send(worker, database, items)
    webhook_sink.wait(2)
    worker.stop(10.0)
    found = list(states(database).values())
    assert (found.count("delivered"), found.count("pending")) == (2, 4)
    assert workers(database) == set()
    assert worker.owner is None
    worker.submit("anybody", items)
    start()
    wait_until(lambda: all_are(database, "delivered"))
    assert sorted(received(webhook_sink)) == sorted(item.delivery_id for item in items)


def test_a_stop_waits_for_hung_deliveries_only_for_its_grace_period(
    database: storage.Database, start: StartWorker
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        worker = start(total_timeout=60.0)
        send(worker, database, [make_delivery(f"http://127.0.0.1:{hung.getsockname()[1]}/")])
        wait_until(lambda: worker._calls)
        before = time.monotonic()
        worker.stop(0.2)
        assert time.monotonic() - before < 3.0
        assert all_are(database, "pending")
