"""Circuits on every database: one process at a time changes one; what waits costs other claims nothing."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import Circuit, CircuitState, Delivery
from eventalarm.storage import tables
from eventalarm.storage.circuits import CHUNK, CircuitStore
from eventalarm.storage.claims import AT_ONCE
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.database_work import work_of
from tests.support.deliveries import NOW, make_delivery
from tests.support.delivery_rows import delivery_row, put
from tests.support.outbox import enqueue, ids, rows, states

DEAD = "http://dead.example.org:80"
OPEN = Circuit(
    "p",
    DEAD,
    CircuitState.OPEN,
    failures=20,
    failing_since=NOW,
    failed_at=NOW,
    next_probe_at=NOW + datetime.timedelta(seconds=1),
    status=503,
    error="http_5xx: HTTP 503",
)
HALF_OPEN = dataclasses.replace(OPEN, state=CircuitState.HALF_OPEN, probes=1)


@pytest.fixture
def store(database: Database) -> CircuitStore:
    return CircuitStore(database)


def defer(database: Database, outbox: Outbox, number: int, **fields: Any) -> list[str]:
    """Enqueue deliveries to the dead destination, each of its own alarm, and defer them."""
    items = [make_delivery(f"{DEAD}/hook", **{"destination": DEAD, **fields}) for _ in range(number)]
    enqueue(database, outbox, items, "me")
    outbox.hand_back("me", ids(items), deferred=True)
    return ids(items)


def test_the_first_change_wins_and_both_learn_it(store: CircuitStore) -> None:
    stored = store.write(OPEN)
    assert stored == dataclasses.replace(OPEN, version=1)
    # Another process found it failing too, and one probed it by what it knew then.
    assert store.write(dataclasses.replace(OPEN, failures=21)) == stored
    probed = store.write(dataclasses.replace(HALF_OPEN, version=1))
    assert probed == dataclasses.replace(HALF_OPEN, version=2)
    assert store.write(dataclasses.replace(OPEN, version=1)) == probed
    closed = store.write(Circuit("p", DEAD, version=2))
    assert closed == Circuit("p", DEAD, version=3)
    # It opens again, without a version, in the row that is closed.
    assert store.write(OPEN) == dataclasses.replace(OPEN, version=4)
    assert store.write(dataclasses.replace(OPEN, destination="http://gone:80", version=4)) is None


def test_a_process_reads_what_others_changed(store: CircuitStore) -> None:
    assert store.read().circuits == ()
    store.write(OPEN)
    store.write(dataclasses.replace(OPEN, project_id="other"))
    found = store.read()
    assert {one.project_id for one in found.circuits} == {"p", "other"}
    store.write(Circuit("p", DEAD, version=1))
    (left,) = store.read().circuits
    assert left.project_id == "other"
    assert found.newest is not None
    changed = store.read(found.newest).circuits
    assert CircuitState.CLOSED in {one.state for one in changed}
    assert store.read(found.newest + datetime.timedelta(hours=1)).circuits == ()
    assert store.of_project("p") == {DEAD: Circuit("p", DEAD, version=2)}


def test_one_process_probes_with_the_delivery_that_waits_longest(
    database: Database, outbox: Outbox, store: CircuitStore
) -> None:
    """Red when a probe takes another project's delivery, or one that is not the first of its alarm."""
    defer(database, outbox, 1, project_id="other")
    first, second = defer(database, outbox, 2)
    known = store.write(OPEN)
    assert known is not None
    assert outbox.claim("me", 10, overlooked=True) == []
    probe = store.take_probe(known, HALF_OPEN)
    assert (probe.taken, probe.stored) == (True, dataclasses.replace(HALF_OPEN, version=2))
    assert probe.seq is not None
    assert outbox.claim_deferred("gone", probe.seq) == []
    assert ids(outbox.claim_deferred("me", probe.seq)) == [first]
    assert outbox.claim_deferred("me", probe.seq) == []
    late = store.take_probe(known, HALF_OPEN)
    assert (late.taken, late.stored, late.seq) == (False, probe.stored, None)
    # It fails, and waits behind the others.
    outbox.hand_back("me", [first], 0.001, deferred=True)
    assert probe.stored is not None
    again = store.take_probe(probe.stored, HALF_OPEN)
    assert again.seq is not None
    assert ids(outbox.claim_deferred("me", again.seq)) == [second]
    assert again.stored is not None
    left = store.take_probe(again.stored, HALF_OPEN)
    assert left.stored is not None
    outbox.claim_deferred("me", left.seq or 0)
    assert store.take_probe(left.stored, HALF_OPEN).seq is None


def test_what_waited_is_released_in_order_and_only_that(
    database: Database, outbox: Outbox, store: CircuitStore
) -> None:
    mine = defer(database, outbox, 3)
    defer(database, outbox, 1, project_id="other")
    defer(database, outbox, 1, destination="http://dead.example.org:8080")
    behind = make_delivery(f"{DEAD}/hook", destination=DEAD, alarm_id=rows(database)[0]["alarm_id"])
    assert enqueue(database, outbox, [behind], "me") == []
    assert store.release(OPEN) == 3
    assert store.release(OPEN) == 0
    assert ids(outbox.claim("me", 10)) == mine
    assert [state for state, _ in states(database)][3:] == ["deferred", "deferred", "pending"]


def test_what_was_deferred_in_vain_is_released(
    database: Database, outbox: Outbox, store: CircuitStore
) -> None:
    defer(database, outbox, 2)
    (stray,) = defer(database, outbox, 1, project_id="other")
    store.write(OPEN)
    assert store.release_stray() == 1
    assert ids(outbox.claim("me", 10)) == [stray]
    store.write(Circuit("p", DEAD, version=1))
    assert store.release_stray() == 2


def test_only_what_is_owed_for_too_long_is_given_up(
    database: Database, outbox: Outbox, store: CircuitStore
) -> None:
    day = datetime.timedelta(days=1)
    now = database.now()
    defer(database, outbox, 1, created_at=now - 2 * day)
    defer(database, outbox, 1, created_at=now)
    defer(database, outbox, 1, created_at=now - 2 * day, project_id="other")
    # Retried by hand a moment ago.
    (retried,) = defer(database, outbox, 1, created_at=now - 2 * day)
    with database.begin() as connection:
        again = sa.update(tables.delivery).where(tables.delivery.c.delivery_id == retried)
        connection.execute(again.values(retried_at=now))
    assert store.give_up(OPEN, "expired", now - day) == 1
    assert [state for state, _ in states(database)] == ["failed", "deferred", "deferred", "deferred"]
    assert rows(database)[0]["error"] == "expired"
    assert rows(database)[0]["finished_at"] is not None
    assert store.give_up(OPEN, "destination_disabled") == 2
    assert states(database)[2] == ("deferred", None)


def test_enabling_closes_only_the_named_circuit_of_the_project(store: CircuitStore) -> None:
    disabled = dataclasses.replace(OPEN, state=CircuitState.DISABLED, next_probe_at=None)
    store.write(disabled)
    theirs = dataclasses.replace(disabled, project_id="theirs")
    store.write(theirs)
    assert store.enable("other", DEAD) is None
    assert store.enable("p", DEAD.upper()) is None
    assert store.enable("p", DEAD) == Circuit("p", DEAD, version=2)
    assert store.read().circuits == (dataclasses.replace(theirs, version=1),)


def test_ten_thousand_deferred_deliveries_cost_other_claims_nothing(
    database: Database, outbox: Outbox
) -> None:
    """Red when a claim filters what waits for a circuit instead of not reading it."""
    if database.dialect == "postgresql":
        pytest.skip("PostgreSQL counts rows only once a transaction has ended, some time later")
    put(database, [delivery_row("other", number, "pending") for number in range(20)])
    claims = [None, {"overlooked": True}]
    without = [_cost(database, outbox, how or {}) for how in claims]
    owed = (delivery_row("dead", number, "deferred", next_attempt_at=AT_ONCE) for number in range(10_000))
    waiting = [{**one, "order_key": f"{number:064d}"} for number, one in enumerate(owed)]
    with database.begin() as connection:
        for start in range(0, len(waiting), CHUNK):
            connection.execute(sa.insert(tables.delivery), waiting[start : start + CHUNK])
    beside = [_cost(database, outbox, how or {}) for how in claims]
    assert min(without) > 0
    # Statistics and the height of an index differ by a few reads.
    assert max(b - w for b, w in zip(beside, without, strict=True)) < 100, (without, beside)


def _cost(database: Database, outbox: Outbox, how: dict[str, Any]) -> int:
    """Return what a claim cost; what it took is returned."""
    found: list[Delivery] = []
    cost = work_of(database, lambda: found.extend(outbox.claim("me", 100, **how)))
    outbox.hand_back("me", ids(found))
    return cost
