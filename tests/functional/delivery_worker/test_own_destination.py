"""A worker and deliveries about the destination to which they go."""

from __future__ import annotations

import dataclasses

from eventalarm.delivery.action import destination
from eventalarm.delivery.loops import OWN_DESTINATION
from eventalarm.model import Delivery
from eventalarm.storage import database as storage
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import ID, StartWorker, enqueue, rows, states
from tests.support.helpers import WebhookSink, wait_until


def about(place: str, action: str) -> Delivery:
    made = make_delivery(action, alarm_id="a", destination=destination(action))
    traits = [["destination", 1, place], ["resource_id", 1, place]]
    event = {"message_id": "m", "event_type": "eventalarm.destination.failing", "traits": traits}
    data = {"type": "event", "event": event}
    return dataclasses.replace(made, notification=dataclasses.replace(made.notification, reason_data=data))


def test_what_is_retried_or_replayed_is_not_sent_to_its_own_destination(
    database: storage.Database, start: StartWorker, webhook_sink: WebhookSink
) -> None:
    """Red if only the evaluator refuses it; in a batch, if the others are not sent."""
    place = destination(webhook_sink.url())
    first, last = (about(place, webhook_sink.url("/hook")) for _ in range(2))
    other = about("https://other.example.org:443", webhook_sink.url("/hook"))
    enqueue(database, [first, other, last], None)
    start(pack_window=0.2, pack_limit=10)
    known = {first.delivery_id: "failed", last.delivery_id: "failed", other.delivery_id: "delivered"}
    wait_until(lambda: states(database) == known)
    assert [request.headers[ID] for request in webhook_sink.requests] == [other.delivery_id]
    recorded = {row.delivery_id: row for row in rows(database, "delivery_id", "error", "attempts")}
    for item in (first, last):
        row = recorded[item.delivery_id]
        assert (row.error, row.attempts) == (OWN_DESTINATION, 0)
