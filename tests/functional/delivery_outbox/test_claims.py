"""The outbox on every database: what a claim takes, what it costs, and fairness (G7)."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import sqlalchemy as sa

from eventalarm.exceptions import Retryable
from eventalarm.model import Delivery
from eventalarm.storage import pending_projects, tables
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.outbox import LONG, again, done, enqueue, ids, rows


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
    monkeypatch.setattr(pending_projects, "PROJECTS", 3)
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
