"""What is kept of every attempt of a delivery, on each database."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
import sqlalchemy as sa

from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState
from eventalarm.storage import attempts, expire, tables
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_queries import DeliveryQueries
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.outbox import Outbox
from tests.support import outbox as rows
from tests.support.deliveries import make_delivery

KEPT = 3


@pytest.fixture
def outbox(opened: Database) -> Outbox:
    found = Outbox(opened, KEPT)
    found.register("me", "host", rows.LONG)
    return found


def failed(item: Delivery, latency: float | None = 0.25, retry: bool = True) -> DeliveryResult:
    made = dataclasses.replace(rows.again(item, 0.0, f"http_5xx: try {item.attempts + 1}"), latency=latency)
    if latency is None:
        made = dataclasses.replace(made, attempts=item.attempts)
    return made if retry else dataclasses.replace(made, state=DeliveryState.FAILED)


def claimed(outbox: Outbox) -> Delivery:
    (item,) = outbox.claim("me", 10, overlooked=True)
    return item


def stored(opened: Database, item: Delivery) -> list[tuple[int, float, str]]:
    with opened.read() as connection:
        found = attempts.of_delivery(connection, item.delivery_id)
    return [(one.number, one.latency, one.error.removeprefix("http_5xx: ")) for one in found]


def count(opened: Database) -> int:
    with opened.read() as connection:
        query = sa.select(sa.func.count()).select_from(tables.delivery_attempt)
        return int(connection.execute(query).scalar_one())


def test_every_attempt_of_a_delivery_is_kept(opened: Database, outbox: Outbox) -> None:
    """Red when an attempt that was not made, or was recorded twice, is shown."""
    (item,) = rows.enqueue(opened, outbox, [make_delivery()], "me")
    outbox.record("me", [failed(item, 0.5)])
    assert count(opened) == 0
    item = claimed(outbox)
    outbox.record("me", [failed(item, None)])
    item = claimed(outbox)
    result = failed(item, 1.5)
    outbox.record("me", [result])
    outbox.record("me", [result])
    item = claimed(outbox)
    outbox.record("me", [dataclasses.replace(rows.done(item, 3), latency=0.01)])
    assert stored(opened, item) == [(1, 0.5, "try 1"), (2, 1.5, "try 2"), (3, 0.01, "")]
    assert rows.rows(opened)[0]["destination"] == item.destination


def test_attempts_are_bounded_and_survive_a_retry_by_hand(opened: Database, outbox: Outbox) -> None:
    (item,) = rows.enqueue(opened, outbox, [make_delivery()], "me")
    queries = DeliveryQueries(opened, attempts_kept=KEPT)
    for _ in range(6):
        outbox.record("me", [failed(item)])
        item = claimed(outbox)
    outbox.record("me", [failed(item, retry=False)])
    assert [number for number, _, _ in stored(opened, item)] == [4, 5, 6, 7]
    assert queries.retry(Selection(delivery_ids=(item.delivery_id,))) == 1
    assert [number for number, _, _ in stored(opened, item)] == [5, 6, 7]
    item = claimed(outbox)
    outbox.record("me", [failed(item, 2.0, retry=False)])
    assert stored(opened, item)[-2:] == [(7, 0.25, "try 7"), (8, 2.0, "try 1")]
    assert queries.purge(Selection(delivery_ids=(item.delivery_id,))) == 1
    assert count(opened) == 0


def test_latencies_of_a_batch_are_those_of_its_deliveries(opened: Database, outbox: Outbox) -> None:
    """Red when the deliveries of a batch share a latency."""
    items = rows.enqueue(opened, outbox, [make_delivery() for _ in range(21)], "me")
    alike = [dataclasses.replace(rows.done(item), latency=0.125 * n) for n, item in enumerate(items[:9])]
    outbox.record("me", alike)
    mixed = [
        failed(item, 0.125 * n, retry=n % 2 > 0)
        if n % 3
        else dataclasses.replace(rows.done(item), latency=9.0)
        for n, item in enumerate(items[9:])
    ]
    outbox.record("me", mixed)
    assert [row["latency"] for row in rows.rows(opened)] == [one.latency for one in (*alike, *mixed)]


def test_attempts_expire_with_their_delivery(opened: Database, outbox: Outbox) -> None:
    kept, gone = rows.enqueue(opened, outbox, [make_delivery(), make_delivery()], "me")
    outbox.record("me", [failed(kept), failed(gone)])
    again = outbox.claim("me", 10, overlooked=True)
    outbox.record("me", [failed(item, retry=item.delivery_id == kept.delivery_id) for item in again])
    assert count(opened) == 2
    with opened.begin() as connection:
        old = datetime.datetime.now(UTC) - datetime.timedelta(days=2)
        connection.execute(sa.update(tables.delivery_attempt).values(ended_at=old))
        connection.execute(sa.update(tables.delivery).values(finished_at=old))
    removed = expire.expire(opened, datetime.timedelta(days=1), batch_size=10)
    assert removed["attempts of removed deliveries"] == 1
    assert [number for number, _, _ in stored(opened, kept)] == [1, 2]
