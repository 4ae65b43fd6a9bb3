"""The order of the deliveries of one alarm and action (G7), and the bound of memory (G10)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import Delivery
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import (
    NEVER,
    Shaky,
    StartWorker,
    all_are,
    enqueue,
    make_worker,
    received,
    send,
    states,
    transition_row,
)
from tests.support.helpers import WebhookSink, wait_until


def test_the_deliveries_of_one_alarm_and_action_keep_their_order(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    statuses = [503, 200, 500, 503, 200, 200, 500, 200, 200, 200, 200]
    webhook_sink.behave("/a", statuses=statuses)
    first, second = start(), start()
    items = [make_delivery(webhook_sink.url("/a"), alarm_id="a") for _ in range(7)]
    send(first, database, items[:3])
    send(second, database, items[3:4])
    send(first, database, items[4:])
    wait_until(lambda: all_are(database, "delivered"))
    ids = [item.delivery_id for item in items]
    expected = [0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 6]
    assert received(webhook_sink) == [ids[n] for n in expected]


def test_a_successor_does_not_wait_for_the_poller(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start(poll_interval=NEVER)
    send(worker, database, [make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(4)])
    wait_until(lambda: all_are(database, "delivered"))


def test_a_delivery_committed_behind_one_that_just_ended_is_not_overlooked(
    our_postgresql_url: str, webhook_sink: WebhookSink, request: pytest.FixtureRequest
) -> None:
    """Fails if a key that is submitted while the worker claims its next delivery is then forgotten."""
    database = storage.connect(our_postgresql_url)
    request.addfinalizer(database.dispose)
    outbox = Outbox(database)
    claim_next = outbox.claim_next
    looked, submitted = threading.Event(), threading.Event()

    def claim_slowly(*given: Any) -> list[Delivery]:
        found = claim_next(*given)
        looked.set()
        submitted.wait(30)
        return found

    outbox.claim_next = claim_slowly  # type: ignore[method-assign,assignment]
    worker = make_worker(outbox, poll_interval=NEVER, lease=60.0)
    request.addfinalizer(lambda: worker.stop(1.0))
    worker.start()
    owner = wait_until(lambda: worker.owner)
    release = webhook_sink.hang("/")
    first, second = (make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(2))
    send(worker, database, [first])
    webhook_sink.wait(1)
    with database.begin() as connection:
        row = transition_row(second)
        connection.execute(sa.insert(tables.transition), row)
        assert Outbox(database).enqueue(connection, [second], [row["transition_id"]], owner) == []
        release()
        # The worker looks for successors, and cannot see this one yet.
        assert looked.wait(30)
    worker.submit(owner, [], {second.order_key})
    worker.call_soon(submitted.set)
    wait_until(lambda: all_are(database, "delivered"))


def test_memory_is_bounded_and_the_excess_is_sent_later(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    release = webhook_sink.hang("/slow")
    worker = start(max_in_memory=8, concurrency_per_destination=2)
    slow = [make_delivery(webhook_sink.url("/slow")) for _ in range(40)]
    send(worker, database, slow)
    wait_until(lambda: list(states(database).values()).count("pending") >= 32)
    # There is room for another destination, in memory and when polling.
    other = webhook_sink.url("/other", host="localhost")
    enqueue(database, [make_delivery(other)], None)
    webhook_sink.wait(1, "/other")
    assert len(webhook_sink.at("/slow")) == 2
    release()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(received(webhook_sink)) == 41
    assert len(set(received(webhook_sink))) == 41


def test_a_backlog_of_one_destination_hides_no_other_in_the_database(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    release = webhook_sink.hang("/slow")
    outbox = Shaky(database)
    enqueue(database, [make_delivery(webhook_sink.url("/slow")) for _ in range(400)], None)
    enqueue(database, [make_delivery(webhook_sink.url("/other", host="localhost"))], None)
    start(outbox, max_in_memory=8, concurrency_per_destination=2)
    webhook_sink.wait(1, "/other")
    # Four fit into each pass over the database: without a way around the backlog it takes a hundred passes.
    assert outbox.claims < 40
    release()
