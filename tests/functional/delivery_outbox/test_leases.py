"""The outbox on every database: leases, takeover, and what ends processes (G1, G2)."""

from __future__ import annotations

import datetime
import json
import time

import pytest
import sqlalchemy as sa

from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_delivery
from tests.support.outbox import LONG, again, done, enqueue, ids, leases, lose, rows, states


def test_deliveries_of_a_live_worker_are_not_taken_over(database: Database, outbox: Outbox) -> None:
    outbox.register("other", "host-b", LONG)
    item = make_delivery()
    enqueue(database, outbox, [item], "me")
    assert outbox.claim("other", 10) == []


def test_deliveries_of_a_dead_worker_are_taken_over(database: Database, outbox: Outbox) -> None:
    outbox.register("dead", "host-b", LONG)
    items = [make_delivery(alarm_id="a"), make_delivery(alarm_id="a"), make_delivery(alarm_id="b")]
    enqueue(database, outbox, items, "dead")
    ended = {"dead": leases(database)["dead"].renewals}
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
