"""The delivery worker while its database is down (G1, G2)."""

from __future__ import annotations

from eventalarm.storage import database as storage
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import (
    Shaky,
    StartWorker,
    all_are,
    enqueue,
    make_worker,
    received,
    send,
    states,
    workers,
)
from tests.support.helpers import WebhookSink, wait_until


def test_a_result_is_kept_until_the_database_accepts_it(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    outbox = Shaky(database)
    release = webhook_sink.hang("/")
    worker = start(outbox)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(3)]
    send(worker, database, items)
    webhook_sink.wait(3)
    outbox.up.clear()
    release()
    wait_until(lambda: outbox.refused > 3)
    assert set(states(database).values()) == {"leased"}
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 3


def test_without_a_lease_nothing_is_sent_and_nothing_is_lost(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    outbox = Shaky(database)
    worker = start(outbox)
    owner = wait_until(lambda: worker.owner)
    sent = make_delivery(webhook_sink.url("/sent"))
    release = webhook_sink.hang("/sent")
    send(worker, database, [sent])
    webhook_sink.wait(1)
    outbox.up.clear()
    release()
    wait_until(lambda: worker.owner is None)
    late = make_delivery(webhook_sink.url("/late"))
    worker.submit(owner, enqueue(database, [late], owner))
    refused = outbox.refused
    wait_until(lambda: outbox.refused > refused + 5)
    assert webhook_sink.at("/late") == []
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert received(webhook_sink) == [sent.delivery_id, late.delivery_id]
    assert worker.owner == owner, "nobody took over meanwhile"


def test_after_an_outage_workers_that_could_not_renew_are_not_considered_dead(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    theirs, ours = Shaky(database), Shaky(database)
    release = webhook_sink.hang("/")
    them, us = start(theirs, lease=2.0), start(ours, lease=2.0)
    send(them, database, [make_delivery(webhook_sink.url("/"))])
    webhook_sink.wait(1)
    theirs.up.clear()
    ours.up.clear()
    release()
    wait_until(lambda: them.owner is None)
    ours.up.set()
    # This worker is back and sees the other expired, which comes back a little later with its result.
    wait_until(lambda: us.owner is not None)
    claims = ours.claims
    wait_until(lambda: ours.claims > claims + 8)
    theirs.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_process_with_a_short_lease_does_not_take_over_from_one_with_a_long_lease(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    """Fails when a process judges others by its own lease: the other is renewed less often."""
    release = webhook_sink.hang("/")
    patient = start(lease=60.0, poll_interval=5.0, total_timeout=60.0)
    owner = patient.owner
    send(patient, database, [make_delivery(webhook_sink.url("/"))])
    webhook_sink.wait(1)
    ours = Shaky(database)
    start(ours, lease=0.5)
    claims = ours.claims
    wait_until(lambda: ours.claims > claims + 40)
    assert (patient.owner, owner in workers(database)) == (owner, True)
    release()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_worker_starts_while_the_database_is_down(
    database: storage.Database, webhook_sink: WebhookSink
) -> None:
    outbox = Shaky(database)
    outbox.up.clear()
    worker = make_worker(outbox)
    worker.start()
    wait_until(lambda: outbox.refused > 2)
    assert worker.owner is None
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    worker.stop(1.0)


def test_a_stop_while_the_database_is_down_ends_anyway(
    database: storage.Database, start: StartWorker
) -> None:
    outbox = Shaky(database)
    worker = start(outbox)
    outbox.up.clear()
    worker.stop(0.1)
    assert len(workers(database)) == 1
