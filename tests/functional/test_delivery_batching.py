"""Batching on a real outbox and real sockets: what is sent together, and the outcome of a batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.model import DeliveryState
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import ID, all_are, enqueue, make_worker, send, states
from tests.support.engine_harness import open_database
from tests.support.helpers import Received, WebhookSink, wait_until

WINDOW = 0.4


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def worker(database: Database) -> Iterator[DeliveryWorker]:
    one = make_worker(Outbox(database), pack_window=WINDOW, pack_limit=50)
    one.start()
    wait_until(lambda: one.owner)
    yield one
    one.stop(1.0)


def ids_of(request: Received) -> list[str]:
    """Return the ids of the deliveries that one POST carried."""
    body = json.loads(request.body)
    return [one["delivery_id"] for one in body["packed"]] if "packed" in body else [request.headers[ID]]


def test_a_storm_is_sent_in_batches(
    database: Database, worker: DeliveryWorker, webhook_sink: WebhookSink
) -> None:
    """Fails when deliveries behind a held one are not claimed for its batch, and when order is lost."""
    url = webhook_sink.url("/storm")
    first, *others = [make_delivery(url) for _ in range(10)]
    same = [make_delivery(url, alarm_id="one alarm") for _ in range(20)]
    send(worker, database, [first])
    webhook_sink.wait(1)
    send(worker, database, [*others, *same])
    wait_until(lambda: len(states(database)) == 30 and all_are(database, "delivered"))
    alone, *batches = webhook_sink.requests
    assert ids_of(alone) == [first.delivery_id]
    assert len(batches) == 1
    (body,) = [json.loads(one.body) for one in batches]
    assert body["packed"][0]["reason_data"] == first.notification.reason_data
    assert batches[0].headers[ID] not in states(database)
    carried = ids_of(batches[0])
    assert sorted(carried) == sorted(one.delivery_id for one in (*others, *same))
    assert [one for one in carried if one in {s.delivery_id for s in same}] == [s.delivery_id for s in same]


def test_a_batch_that_failed_is_retried_as_a_whole(
    database: Database, worker: DeliveryWorker, webhook_sink: WebhookSink
) -> None:
    """Fails when a failure is recorded for the first delivery only."""
    url = webhook_sink.url("/flaky")
    webhook_sink.behave("/flaky", statuses=[200, 503, 200])
    items = [make_delivery(url), *(make_delivery(url, alarm_id="one alarm") for _ in range(5))]
    send(worker, database, items)
    wait_until(lambda: len(states(database)) == 6 and all_are(database, "delivered"))
    received = [ids_of(one) for one in webhook_sink.requests]
    assert set(received[1]) == {one.delivery_id for one in items[1:]}
    again = [name for one in received[2:] for name in one]
    assert again == [one.delivery_id for one in items[1:]], "each once more, in order"
    assert Counter(_attempts(database)) == {1: 1, 2: 5}


def _attempts(database: Database) -> list[int]:
    with database.read() as connection:
        query = tables.delivery.select().with_only_columns(tables.delivery.c.attempts)
        return list(connection.execute(query).scalars())


def test_a_consumer_that_refuses_batches_gets_single_deliveries(
    database: Database, worker: DeliveryWorker, webhook_sink: WebhookSink
) -> None:
    """Fails when the refusal of a batch counts for its deliveries: they would all be given up."""
    url = webhook_sink.url("/strict")
    webhook_sink.behave("/strict", statuses=[200, 400, 200])
    items = [make_delivery(url), *(make_delivery(url, alarm_id=f"alarm {n % 2}") for n in range(6))]
    send(worker, database, items)
    wait_until(lambda: len(states(database)) == 7 and all_are(database, "delivered"))
    alone = [ids_of(one) for one in webhook_sink.requests[2:]]
    assert all(len(one) == 1 for one in alone)
    for number in range(2):
        mine = [one.delivery_id for one in items[1:] if one.alarm_id == f"alarm {number}"]
        assert [name for (name,) in alone if name in mine] == mine


def test_held_deliveries_of_a_stopped_process_are_sent_by_another(
    database: Database, webhook_sink: WebhookSink
) -> None:
    """Fails when held deliveries are forgotten at a stop."""
    url = webhook_sink.url("/left")
    one = make_worker(Outbox(database), pack_window=60.0)
    one.start()
    wait_until(lambda: one.owner)
    items = [make_delivery(url) for _ in range(5)]
    send(one, database, items)
    wait_until(lambda: Counter(states(database).values()) == {"delivered": 1, "leased": 4})
    one.stop(1.0)
    assert Counter(states(database).values()) == {"delivered": 1, "pending": 4}
    other = make_worker(Outbox(database))
    other.start()
    wait_until(lambda: all_are(database, "delivered"))
    other.stop(1.0)
    assert Counter(name for r in webhook_sink.requests for name in ids_of(r)) == Counter(
        item.delivery_id for item in items
    )


def test_held_deliveries_are_not_handed_back(database: Database, webhook_sink: WebhookSink) -> None:
    """Fails when deliveries that wait for their batch do not count as held: they are sent twice."""
    url = webhook_sink.url("/held")
    # Longer than two passes, one of which comes in each lease; no pause of the machine outlasts this lease.
    one = make_worker(Outbox(database), pack_window=4.5, lease=2.0)
    one.start()
    wait_until(lambda: one.owner)
    items = [make_delivery(url) for _ in range(5)]
    send(one, database, items)
    wait_until(lambda: all_are(database, "delivered"))
    one.stop(1.0)
    assert [len(ids_of(request)) for request in webhook_sink.requests] == [1, 4]


def test_deliveries_claimed_for_a_batch_have_one_owner(database: Database) -> None:
    """Without gaps, in order, bounded; fails when the holder of the first delivery is ignored."""
    outbox = Outbox(database)
    for name in ("me", "other"):
        outbox.register(name, "host", 60.0)
    mine = [make_delivery(alarm_id="a") for _ in range(4)]
    theirs = [make_delivery(alarm_id="b") for _ in range(2)]
    enqueue(database, mine, "me")
    enqueue(database, theirs, "other")
    keys = {mine[0].order_key, theirs[0].order_key}
    assert outbox.claim_behind("nobody", keys, 10) == []
    found = [one.delivery_id for one in outbox.claim_behind("me", keys, 2)]
    assert found == [one.delivery_id for one in mine[1:3]]
    found = [one.delivery_id for one in outbox.claim_behind("me", keys, 10)]
    assert found == [mine[3].delivery_id]
    held: dict[str, Any] = states(database)
    assert held[theirs[1].delivery_id] == DeliveryState.PENDING.value
