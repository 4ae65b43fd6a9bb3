"""The delivery worker on a real outbox and real sockets: what is sent, and how often (G1)."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from eventalarm.delivery.options import TlsOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.exceptions import InvalidOption
from eventalarm.metrics import Metrics
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import (
    NEVER,
    StartWorker,
    all_are,
    enqueue,
    make_worker,
    options,
    received,
    send,
    states,
)
from tests.support.helpers import WebhookSink, wait_until


def test_a_submitted_delivery_is_sent_at_once_and_recorded(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    worker = start(poll_interval=NEVER)
    items = [make_delivery(webhook_sink.url(f"/{n}")) for n in range(20)]
    before = time.monotonic()
    send(worker, database, items)
    requests = webhook_sink.wait(20)
    assert requests[0].tick - before < 1.0
    wait_until(lambda: all_are(database, "delivered"))
    assert sorted(received(webhook_sink)) == sorted(item.delivery_id for item in items)


def test_pending_deliveries_of_other_workers_are_found(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    enqueue(database, [make_delivery(webhook_sink.url("/"))], None)
    start()
    webhook_sink.wait(1)
    wait_until(lambda: all_are(database, "delivered"))


def test_a_failed_delivery_is_retried_with_the_same_id_and_then_given_up(
    database: storage.Database,
    start: StartWorker,
    webhook_sink: WebhookSink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook_sink.behave("/", statuses=[500])
    worker = start(max_attempts=3)
    item = make_delivery(webhook_sink.url("/"))
    send(worker, database, [item])
    wait_until(lambda: all_are(database, "failed"))
    assert received(webhook_sink) == [item.delivery_id] * 3
    with database.read() as connection:
        row = connection.execute(sa.select(tables.delivery)).one()
    assert (row.attempts, row.status, row.error) == (3, 500, "http_5xx: HTTP 500")
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"retry {item.delivery_id}" in line


def test_attempts_are_counted_by_result(database: storage.Database, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/", statuses=[503, 200])
    settings, metrics = options(), Metrics()
    worker = DeliveryWorker(Outbox(database), HttpSender(settings), settings, metrics=metrics)
    worker.start()
    wait_until(lambda: worker.owner)
    send(worker, database, [make_delivery(webhook_sink.url("/")), make_delivery("http://")])
    wait_until(lambda: set(states(database).values()) == {"delivered", "failed"})
    worker.stop(1.0)

    def count(result: str) -> float | None:
        return metrics.registry.get_sample_value("eventalarm_deliveries_total", {"result": result})

    assert (count("http_5xx"), count("delivered"), count("given_up")) == (1, 1, 1)


def test_invalid_options_are_an_error_at_start(database: storage.Database) -> None:
    with pytest.raises(InvalidOption, match="rest_notifier_certificate_file"):
        make_worker(Outbox(database), tls=TlsOptions(certificate="/none.pem"))
