"""The outbox on every database: order, and results of attempts (G1, G2)."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from eventalarm.delivery import retry
from eventalarm.model import DeliveryResult, DeliveryState
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import NOW, make_delivery
from tests.support.outbox import again, done, enqueue, ids, rows, states


def test_the_first_of_each_order_key_is_leased_and_the_others_wait_behind_it(
    database: Database, outbox: Outbox
) -> None:
    a1, a2 = make_delivery(alarm_id="a"), make_delivery(alarm_id="a")
    b1 = make_delivery(alarm_id="b")
    assert enqueue(database, outbox, [a1, a2, b1], "me") == [a1, b1]
    assert states(database) == [("leased", "me"), ("pending", None), ("leased", "me")]
    a3 = make_delivery(alarm_id="a")
    assert enqueue(database, outbox, [a3], "me") == []
    assert outbox.claim("me", 10, overlooked=True) == []

    outbox.record("me", [done(a1)])
    assert ids(outbox.claim_next("me", {a1.order_key})) == [a2.delivery_id]
    assert outbox.claim_next("me", {a1.order_key}) == []
    outbox.record("me", [done(a2)])
    assert ids(outbox.claim_next("me", {a1.order_key, "unknown"})) == [a3.delivery_id]


def test_a_thorough_pass_finds_forgotten_successors(database: Database, outbox: Outbox) -> None:
    first, second = make_delivery(alarm_id="a"), make_delivery(alarm_id="a")
    enqueue(database, outbox, [first, second], "me")
    outbox.record("me", [done(first)])
    assert outbox.claim("me", 10) == []
    assert ids(outbox.claim("me", 10, overlooked=True)) == [second.delivery_id]


def test_another_action_of_the_same_alarm_does_not_wait(database: Database, outbox: Outbox) -> None:
    one, two = make_delivery("http://one/", alarm_id="a"), make_delivery("http://two/", alarm_id="a")
    assert enqueue(database, outbox, [one, two], "me") == [one, two]


@pytest.mark.parametrize("project", ["p", ""])
def test_a_delivery_without_owner_may_be_claimed_by_any_worker(
    database: Database, outbox: Outbox, project: str
) -> None:
    for _ in range(2):
        item = make_delivery(project_id=project)
        assert enqueue(database, outbox, [item], None) == []
        assert ids(outbox.claim("me", 10)) == [item.delivery_id]


def test_a_claimed_delivery_says_the_same_as_the_original(database: Database, outbox: Outbox) -> None:
    item = make_delivery("http://h/?secret=%2F")
    enqueue(database, outbox, [item], None)
    (claimed,) = outbox.claim("me", 10)
    assert claimed.notification == item.notification
    assert claimed.notification.body() == item.notification.body()
    assert (claimed.action, claimed.order_key, claimed.attempts) == (item.action, item.order_key, 0)
    assert (claimed.created_at, claimed.seq > 0) == (item.created_at, True)


def test_a_waiting_retry_holds_its_successors(database: Database, outbox: Outbox) -> None:
    first, second = make_delivery(alarm_id="a"), make_delivery(alarm_id="a")
    enqueue(database, outbox, [first, second], "me")
    outbox.record("me", [again(first, retry_in=500.0)])
    assert outbox.claim_next("me", {first.order_key}) == []
    assert outbox.claim("me", 10, overlooked=True) == []
    outbox.record("me", [again(first, retry_in=0.0)])  # no longer ours: nothing happens
    assert outbox.claim("me", 10, overlooked=True) == []
    with database.begin() as connection:
        connection.execute(
            sa.update(tables.delivery).values(next_attempt_at=NOW - datetime.timedelta(days=999))
        )
    (claimed,) = outbox.claim("me", 10)
    assert (claimed.delivery_id, claimed.attempts) == (first.delivery_id, 1)


def test_credentials_of_an_action_leave_with_its_last_attempt(database: Database, outbox: Outbox) -> None:
    """Delivered rows are kept for a month without credentials; failed ones keep them, for a retry.

    Fails when only user information is removed: many consumers have a token in the path or the query.
    """
    secret = ("https://user:pa%40ss@consumer/x?y=a@b", "trust+http://trust-id:delete@consumer/")
    path = "https://chat/services/T0AB1/B0CD2/Xk3v9QpLm2Zr8TyWc5NbD4hs"
    items = [make_delivery(action=action) for action in (*secret, "http://consumer/a@b", secret[0])]
    items.insert(3, make_delivery(action=path))
    enqueue(database, outbox, items, "me")
    results = [retry.delivered(item, 200) for item in items[:4]]
    outbox.record("me", [*results, DeliveryResult(items[4].delivery_id, DeliveryState.FAILED, 7)])
    assert [row["action"] for row in rows(database)] == [
        "https://***@consumer/x?y=***",
        "trust+http://***@consumer/",
        "http://consumer/a@b",
        "https://chat/services/T0AB1/B0CD2/***",
        secret[0],
    ]
    assert [state for state, _ in states(database)] == ["delivered"] * 4 + ["failed"]


def test_results_are_kept_with_their_own_values(database: Database, outbox: Outbox) -> None:
    items = [make_delivery() for _ in range(5)]
    enqueue(database, outbox, items, "me")
    before = outbox._database.now()
    failed = DeliveryResult(items[1].delivery_id, DeliveryState.FAILED, 7, 410, "http_4xx: HTTP 410")
    odd = DeliveryResult(items[2].delivery_id, DeliveryState.FAILED, 1, None, "x\x00\ud800" + "y" * 5000)
    outbox.record(
        "me", [done(items[0]), failed, odd, again(items[3], 60.0), again(items[4], 120.0, "dns: no")]
    )
    first, second, third, fourth, fifth = rows(database)
    assert (first["state"], first["status"], first["attempts"], first["error"]) == ("delivered", 200, 1, None)
    assert (second["state"], second["status"], second["attempts"]) == ("failed", 410, 7)
    assert second["error"] == "http_4xx: HTTP 410"
    assert third["error"].startswith("x\ufffd")
    assert len(third["error"]) <= 500
    assert all(row["owner"] is None and row["finished_at"] >= before for row in (first, second, third))
    assert (fourth["state"], fourth["attempts"], fourth["finished_at"]) == ("pending", 1, None)
    for row, wait in ((fourth, 60), (fifth, 120)):
        assert 0 <= (row["next_attempt_at"] - before).total_seconds() - wait < 30
    assert fifth["error"] == "dns: no"
