"""What need not be sent, on every database: older states of a managed object of which a newer one is owed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from eventalarm.delivery import retry
from eventalarm.model import Delivery
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import NOW, make_change, make_delivery
from tests.support.delivery_worker import enqueue
from tests.support.outbox import done, ids, rows

HOOK = "http://hooks.example.org/a"


@pytest.fixture
def finding(database: Database, outbox: Outbox) -> Outbox:
    return Outbox(database, find_superseded=True)


def drain(outbox: Outbox) -> list[Delivery]:
    """Claim and finish everything that is owed; return what was sent."""
    sent: list[Delivery] = []
    found = outbox.claim("me", 100, overlooked=True)
    while found:
        sent += [one for one in found if not one.superseded_by]
        outbox.record("me", [retry.superseded(one) if one.superseded_by else done(one) for one in found])
        found = outbox.claim_next("me", {one.order_key for one in found})
    return sent


def test_only_the_last_state_of_each_object_is_sent_and_in_order(database: Database, finding: Outbox) -> None:
    """Red by alarm alone, by object alone, and when the last state can be skipped."""
    items = [
        make_change(HOOK, "vm-2"),
        make_change(HOOK, "vm-1"),
        make_change(HOOK, "vm-1", "cleared"),
        make_change(HOOK, "vm-3"),
        make_change(HOOK, "vm-1"),
        make_change(HOOK, "vm-3", "changed"),
        # Another URL, another alarm, and what is only late, make nothing unnecessary.
        make_change(f"{HOOK}/other", "vm-2", "cleared"),
        make_change(HOOK, "vm-2", "cleared", alarm_id="b"),
        make_change(HOOK, "vm-3", "late"),
    ]
    enqueue(database, items, None)
    assert sorted(ids(drain(finding))) == sorted(ids([items[0], *items[4:]]))
    found = {row["delivery_id"]: row for row in rows(database)}
    assert [found[one.delivery_id]["state"] for one in items[:4]] == [
        "delivered",
        "superseded",
        "superseded",
        "superseded",
    ]
    first = found[items[1].delivery_id]
    later = {items[2].delivery_id, items[4].delivery_id}
    assert first["error"] in {
        f"superseded: {name} about the same managed object was owed too" for name in later
    }
    assert (first["attempts"], first["owner"]) == (0, None)
    assert first["finished_at"] is not None


def test_nothing_is_skipped_unless_the_deployer_says_so(database: Database, outbox: Outbox) -> None:
    items = [make_change(HOOK, "vm-1"), make_change(HOOK, "vm-1", "cleared")]
    enqueue(database, items, None)
    assert ids(drain(outbox)) == ids(items)


def test_every_event_of_an_event_alarm_is_sent(database: Database, finding: Outbox) -> None:
    """Red when transitions without a number of raised objects count: each event is an incident by itself."""
    items = [make_delivery(HOOK, "e"), make_delivery(HOOK, "e")]
    enqueue(database, items, None)
    assert ids(drain(finding)) == ids(items)


def test_what_somebody_asked_for_is_sent_and_makes_nothing_unnecessary(
    database: Database, finding: Outbox
) -> None:
    """Red when a replay, which repeats old states, takes the place of what is owed."""
    retried, last, replayed = (make_change(HOOK, "vm-1", kind) for kind in ("raised", "cleared", "raised"))
    enqueue(database, [retried, last, replayed], None)
    for one, values in ((retried, {"retried_at": NOW}), (replayed, {"replay_id": "r"})):
        with database.begin() as connection:
            named = tables.delivery.c.delivery_id == one.delivery_id
            connection.execute(sa.update(tables.delivery).where(named).values(values))
    assert ids(drain(finding)) == ids([retried, last, replayed])


def test_what_is_sent_behind_others_in_one_batch_is_marked_too(database: Database, finding: Outbox) -> None:
    head, old, new = (
        make_change(HOOK, "vm-1"),
        make_change(HOOK, "vm-2"),
        make_change(HOOK, "vm-2", "cleared"),
    )
    enqueue(database, [head, old, new], "me")
    behind = finding.claim_behind("me", {head.order_key}, 10)
    assert [one.superseded_by for one in behind] == [new.delivery_id, ""]
    assert ids(behind) == ids([old, new])


def test_secrets_of_what_is_not_sent_are_removed(database: Database, finding: Outbox) -> None:
    url = "http://user:s3cret@hooks.example.org/a?token=s3cret"
    enqueue(database, [make_change(url, "vm-1"), make_change(url, "vm-1", "cleared")], None)
    drain(finding)
    assert "s3cret" not in rows(database)[0]["action"]
