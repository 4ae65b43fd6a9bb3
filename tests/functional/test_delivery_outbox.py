"""The outbox on every database: leases, order, takeover, results (G1, G2, G7)."""

from __future__ import annotations

import dataclasses
import datetime
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.database_url import with_driver
from eventalarm.delivery import retry
from eventalarm.exceptions import Retryable
from eventalarm.model import Delivery, DeliveryResult, DeliveryState
from eventalarm.storage import claims, tables
from eventalarm.storage import database as storage
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import metadata
from tests.support.deliveries import EVENT, NOW, make_delivery

LONG = 1000.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = storage.connect(with_driver(database_url))
    metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    outbox = Outbox(database)
    outbox.register("me", "host-a", LONG)
    return outbox


def enqueue(
    database: Database, outbox: Outbox, deliveries: Sequence[Delivery], owner: str | None
) -> list[Delivery]:
    with database.begin() as connection:
        for item in deliveries:
            connection.execute(sa.insert(tables.transition), _transition(item))
        return outbox.enqueue(connection, deliveries, [f"t-{d.delivery_id[:30]}" for d in deliveries], owner)


def _transition(item: Delivery) -> dict[str, Any]:
    return {
        "transition_id": f"t-{item.delivery_id[:30]}",
        "kind": "raised",
        "occurrence_id": "o",
        "alarm_id": item.alarm_id,
        "project_id": "p",
        "managed_object": "vm",
        "message_id": item.delivery_id,
        "alarm_name": item.notification.alarm_name,
        "severity": item.notification.severity,
        "previous": "ok",
        "current": "alarm",
        "reason": "because",
        "event_type": "e",
        "event_time": NOW,
        "recorded_at": NOW,
        "event": json.dumps(EVENT),
    }


def lose(outbox: Outbox, item: Delivery, taker: str) -> Delivery:
    """Let the process that holds *item* die; return what *taker* claims."""
    outbox.register(taker, "host", LONG)
    with outbox._database.begin() as connection:
        owner = sa.select(tables.delivery.c.owner).where(tables.delivery.c.delivery_id == item.delivery_id)
        name = connection.execute(owner).scalar_one()
        connection.execute(sa.delete(tables.worker).where(tables.worker.c.worker_id == name))
    return next(one for one in outbox.claim(taker, 100) if one.delivery_id == item.delivery_id)


def rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        found = connection.execute(sa.select(tables.delivery).order_by(tables.delivery.c.seq)).mappings()
        return [dict(row) for row in found]


def states(database: Database) -> list[tuple[str, str | None]]:
    return [(row["state"], row["owner"]) for row in rows(database)]


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    return [item.delivery_id for item in deliveries]


def done(item: Delivery, attempts: int = 1) -> DeliveryResult:
    return DeliveryResult(item.delivery_id, DeliveryState.DELIVERED, attempts, status=200)


def again(item: Delivery, retry_in: float, error: str = "timeout: no answer") -> DeliveryResult:
    return DeliveryResult(
        item.delivery_id, DeliveryState.PENDING, item.attempts + 1, error=error, retry_in=retry_in
    )


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


def test_deliveries_of_a_live_worker_are_not_taken_over(database: Database, outbox: Outbox) -> None:
    outbox.register("other", "host-b", LONG)
    item = make_delivery()
    enqueue(database, outbox, [item], "me")
    assert outbox.claim("other", 10) == []


def test_deliveries_of_a_dead_worker_are_taken_over(database: Database, outbox: Outbox) -> None:
    outbox.register("dead", "host-b", LONG)
    items = [make_delivery(alarm_id="a"), make_delivery(alarm_id="a"), make_delivery(alarm_id="b")]
    enqueue(database, outbox, items, "dead")
    ended = {"dead": outbox.leases()["dead"].renewals}
    assert outbox.claim("me", 10, orphans=False, ended=ended) == []
    assert ids(outbox.claim("me", 10, ended=ended)) == ids([items[0], items[2]])
    # The other worker notices when it comes back, and its results no longer count.
    assert outbox.renew("dead", LONG) is False
    outbox.record("dead", [done(items[0])])
    outbox.hand_back("dead", ids(items))
    outbox.release("dead")
    assert states(database) == [("leased", "me"), ("pending", None), ("leased", "me")]


def test_a_worker_that_renewed_its_lease_is_not_considered_dead(database: Database, outbox: Outbox) -> None:
    enqueue(database, outbox, [make_delivery()], "me")
    assert outbox.renew("me", LONG) is True
    outbox.register("other", "host-b", LONG)
    assert outbox.claim("other", 10, ended={"me": 0}) == [], "it renewed after it was looked at"
    assert outbox.renew("nobody", LONG) is False


def test_a_worker_without_a_row_claims_nothing(database: Database, outbox: Outbox) -> None:
    enqueue(database, outbox, [make_delivery()], None)
    assert outbox.claim("dead", 10) == []
    assert outbox.claim_next("gone", [make_delivery(alarm_id="x").order_key]) == []
    assert states(database) == [("pending", None)]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_step_does_not_end_a_lease(database: Database, outbox: Outbox, days: int) -> None:
    enqueue(database, outbox, [make_delivery()], "me")
    outbox.register("other", "host-b", LONG)
    with database.begin() as connection:
        # As if the database's clock had been stepped by a day.
        until = outbox._database.now() + datetime.timedelta(days=days)
        connection.execute(sa.update(tables.worker).values(expires_at=until))
    assert outbox.claim("other", 10, overlooked=True) == []
    assert outbox.renew("me", LONG) is True
    assert outbox.renew("other", LONG) is True


def test_a_worker_reports_how_far_the_clock_of_its_host_is_ahead(
    database: Database, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = time.time
    monkeypatch.setattr(time, "time", lambda: ahead() + 30.0)
    assert outbox.renew("me", LONG) is True
    with database.read() as connection:
        offset = connection.execute(sa.select(tables.worker.c.clock_offset)).scalar_one()
    assert 29.0 < offset < 31.0


def test_a_clean_stop_releases_all_deliveries_at_once(database: Database, outbox: Outbox) -> None:
    items = [make_delivery(), make_delivery()]
    enqueue(database, outbox, items, "me")
    outbox.record("me", [done(items[0])])
    outbox.release("me")
    assert states(database) == [("delivered", None), ("pending", None)]
    outbox.register("other", "host-b", LONG)
    assert ids(outbox.claim("other", 10)) == [items[1].delivery_id]


def test_handing_back_releases_the_named_deliveries(database: Database, outbox: Outbox) -> None:
    items = [make_delivery(), make_delivery(), make_delivery()]
    enqueue(database, outbox, items, "me")
    outbox.hand_back("me", [items[0].delivery_id])
    outbox.hand_back("me", [items[1].delivery_id], delay=500.0)
    assert [state for state, _ in states(database)] == ["pending", "pending", "leased"]
    assert ids(outbox.claim("me", 10)) == [items[0].delivery_id]
    assert outbox.leased_to("me") == {items[0].delivery_id, items[2].delivery_id}


def test_a_claim_takes_the_oldest_and_skips_avoided_destinations(database: Database, outbox: Outbox) -> None:
    slow = [make_delivery(f"http://slow:80/x_{n}") for n in range(3)]
    fast = [make_delivery("http://slow:8080/"), make_delivery("http://fast/")]
    enqueue(database, outbox, [*slow, *fast], None)
    assert ids(outbox.claim("me", 1)) == ids(slow[:1])
    assert ids(outbox.claim("me", 10, avoid=[("p", "http://slow:80/")])) == ids(fast)
    assert outbox.claim("me", 10, avoid=[("p", "http://slow:80/x_")]) == []
    assert ids(outbox.claim("me", 10, avoid=[("p", "http://slow:80/x%"), ("p", "http://_low:80/")])) == ids(
        slow[1:]
    )


def test_a_lost_transition_causes_no_empty_webhook_and_blocks_no_other(
    database: Database, outbox: Outbox
) -> None:
    items = [make_delivery(), make_delivery()]
    enqueue(database, outbox, items, None)
    with database.begin() as connection:
        connection.execute(
            sa.delete(tables.transition).where(tables.transition.c.message_id == items[0].delivery_id)
        )
    claimed = outbox.claim("me", 10)
    assert ids(claimed) == ids(items)
    assert [item.action for item in claimed] == ["", items[1].action]


def test_text_that_databases_refuse_is_sanitised(database: Database, outbox: Outbox) -> None:
    item = make_delivery("http://h/\x00\ud800")
    assert len(order_key("a", item.action)) == 64
    enqueue(database, outbox, [item], "me")
    assert rows(database)[0]["action"].startswith("http://h/\ufffd")


def test_several_claimers_never_share_a_delivery_and_keep_order(database: Database, outbox: Outbox) -> None:
    items = [make_delivery(alarm_id=f"a{n % 40}") for n in range(120)]
    enqueue(database, outbox, items, None)
    workers = [f"w{n}" for n in range(4)]
    sent: list[Delivery] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        left = 200
        while left and len(sent) < len(items):
            left -= 1
            try:
                taken = outbox.claim(name, 7, overlooked=True)
                with lock:
                    sent.extend(taken)
                outbox.record(name, [done(item) for item in taken])
            except Retryable:
                continue

    for name in workers:
        outbox.register(name, "host", LONG)
    threads = [threading.Thread(target=work, args=(name,)) for name in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ids(sent)) == sorted(ids(items))
    by_key: dict[str, list[int]] = {}
    for item in sent:
        by_key.setdefault(item.order_key, []).append(item.seq)
    assert all(seqs == sorted(seqs) for seqs in by_key.values())
    assert {row["state"] for row in rows(database)} == {"delivered"}


def test_a_batch_costs_a_constant_number_of_statements(database: Database, outbox: Outbox) -> None:
    def run(number: int) -> int:
        statements: list[str] = []

        def note(
            conn: object,
            cursor: object,
            statement: str,
            parameters: object,
            context: object,
            executemany: object,
        ) -> None:
            statements.append(statement)

        sa.event.listen(database.engine, "before_cursor_execute", note)
        try:
            items = [make_delivery() for _ in range(number)]
            with database.begin() as connection:
                outbox.enqueue(connection, items, ["t"] * number, "me")
            results = [again(item, 500.0 + n) if n % 2 else done(item) for n, item in enumerate(items)]
            outbox.record("me", results)
            outbox.claim_next("me", {item.order_key for item in items})
        finally:
            sa.event.remove(database.engine, "before_cursor_execute", note)
        return len(statements)

    outbox.record("me", [])  # the first look at the clock
    assert run(400) == run(4)


def test_a_rolled_back_transaction_leaves_no_delivery(database: Database, outbox: Outbox) -> None:
    def break_off() -> None:
        with database.begin() as connection:
            outbox.enqueue(connection, [make_delivery()], ["t"], "me")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert rows(database) == []
    with database.begin() as connection:
        assert outbox.enqueue(connection, [], [], "me") == []


# ---- fairness (G7)


def test_a_backlog_of_one_project_does_not_delay_others(database: Database, outbox: Outbox) -> None:
    greedy = [make_delivery(project_id="greedy") for _ in range(40)]
    others = [make_delivery(project_id=name) for name in ("", "c", "c", "zoo")]
    enqueue(database, outbox, greedy + others, None)
    first = outbox.claim("me", 8)
    assert set(ids(others)) <= set(ids(first))
    assert len(first) == 8
    # What the others leave belongs to the greedy project, oldest first.
    assert ids(outbox.claim("me", 30)) == ids(greedy[4:34])
    assert outbox.claim("me", 10, avoid_projects=["greedy"]) == []


def test_more_projects_than_one_claim_considers_all_get_their_turn(
    database: Database, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PROJECTS", 3)
    items = [make_delivery(project_id=f"p{number}") for number in range(7) for _ in range(5)]
    enqueue(database, outbox, items, None)
    found = [one for _ in range(3) for one in outbox.claim("me", 4)]
    assert {one.project_id for one in found} == {f"p{number}" for number in range(7)}


def test_takeovers_are_shared_between_projects_too(database: Database, outbox: Outbox) -> None:
    outbox.register("dead", "host-b", LONG)
    greedy = [make_delivery(project_id="greedy") for _ in range(40)]
    other = make_delivery(project_id="other")
    enqueue(database, outbox, [*greedy, other], "dead")
    assert other.delivery_id in ids(outbox.claim("me", 4, ended={"dead": 0}))


def test_a_claim_is_bounded_in_bytes(database: Database, outbox: Outbox) -> None:
    notification = dataclasses.replace(make_delivery().notification, event_json="x" * 1000)
    items = [make_delivery(alarm_id=f"a{n // 2}", notification=notification) for n in range(8)]
    enqueue(database, outbox, items, None)
    first = outbox.claim("me", 10, max_bytes=2500)
    assert ids(first) == ids(items[0:4:2])
    outbox.record("me", [done(one) for one in first])
    # There is room for one of their two successors; the other is due for any worker with room.
    keys = [one.order_key for one in first]
    assert ids(outbox.claim_next("me", keys, 1500)) == [items[1].delivery_id]
    assert items[3].delivery_id in ids(outbox.claim("me", 10))


# ---- what ends processes


def counted(database: Database) -> list[tuple[int, int, datetime.datetime | None]]:
    return [(row["losses"], row["attempts"], row["started"]) for row in rows(database)]


def test_deliveries_of_a_lost_process_become_suspect_without_an_attempt(
    database: Database, outbox: Outbox
) -> None:
    item = make_delivery()
    enqueue(database, outbox, [item], "me")
    assert lose(outbox, item, "b").losses == 1
    assert counted(database) == [(1, 0, None)]
    # Suspect, but not under way when the next one was lost.
    assert lose(outbox, item, "c").losses == 1
    assert counted(database) == [(1, 0, None)]


def test_a_process_lost_during_a_suspect_attempt_costs_an_attempt(database: Database, outbox: Outbox) -> None:
    item, other = make_delivery(), make_delivery()
    enqueue(database, outbox, [item, other], "me")
    lose(outbox, item, "b")
    assert outbox.begin("b", [item.delivery_id])
    again_held = lose(outbox, item, "c")
    assert (again_held.losses, again_held.attempts) == (2, 1)
    assert counted(database) == [(2, 1, None), (1, 0, None)]
    assert not outbox.begin("b", [item.delivery_id])
    assert not outbox.begin("c", [item.delivery_id, "unknown"])


def test_a_completed_attempt_clears_the_suspicion(database: Database, outbox: Outbox) -> None:
    item = make_delivery()
    enqueue(database, outbox, [item], "me")
    held = lose(outbox, item, "b")
    outbox.begin("b", [item.delivery_id])
    outbox.record("b", [again(held, 0.0)])
    assert counted(database) == [(0, 1, None)]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, "1" * 5000, "", "null", "[1]"])
def test_no_stored_event_stops_a_claim(database: Database, outbox: Outbox, text: str) -> None:
    hostile, other = make_delivery(), make_delivery()
    enqueue(database, outbox, [hostile, other], None)
    with database.begin() as connection:
        mine = tables.transition.c.message_id == hostile.delivery_id
        connection.execute(sa.update(tables.transition).where(mine).values(event=text))
    found = outbox.claim("me", 10)
    assert ids(found) == ids([hostile, other])
    assert all(json.loads(one.notification.encoded()) == one.notification.body() for one in found)
