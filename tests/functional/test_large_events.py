"""A large event costs its size once, however many alarms it fires: in the transaction, and in memory."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.model import Delivery
from eventalarm.storage import expire, tables
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.outbox import Outbox
from tests.support.builders import event_body, rule
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, open_database, read_table

SIZE = 200_000
ALARMS = 30


class Nobody:
    """A delivery worker without a lease: enqueued deliveries wait for other workers."""

    owner = None

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Nothing is leased, so nothing is submitted."""


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        rows = (alarm_row(f"alarm-{n}", rule=rule("*", state="error")) for n in range(ALARMS))
        insert_alarms(opened, *rows)
        yield opened


def _length(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_length, value))
    return len(value) if isinstance(value, str) else 0


def large(**traits: Any) -> dict[str, Any]:
    return event_body(resource_id="vm-1", state="error", raw={"big": "x" * SIZE}, **traits)


def test_an_event_is_written_and_read_once_for_all_its_alarms(database: Database) -> None:
    """Fails when each transition carries the event: 30 times its size."""
    written = 0

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def count(_: object, __: object, ___: str, parameters: Any, *____: object) -> None:
        nonlocal written
        written += _length(parameters)

    outbox = Outbox(database)
    engine = EngineHarness(database, enqueuer=OutboxEnqueuer(outbox, Nobody()))
    body = large()
    assert engine.process(body).reasons == {"raised": ALARMS}
    assert SIZE < written < 3 * SIZE
    outbox.register("me", "host", 60.0)
    claimed = outbox.claim("me", 100)
    assert len(claimed) == ALARMS
    assert all(one.notification.reason_data["event"] == body for one in claimed)
    assert len({id(one.notification.reason_data["event"]) for one in claimed}) == 1


def test_an_event_of_one_alarm_needs_no_separate_row(database: Database) -> None:
    insert_alarms(database, alarm_row("alone", rule=rule("*", state="lost")))
    EngineHarness(database).process(event_body(resource_id="vm-2", state="lost"))
    assert not read_table(database, tables.event)
    assert read_table(database, tables.transition)[0]["event_id"] is None


def test_northbound_reads_find_the_event(database: Database) -> None:
    EngineHarness(database).process(large())
    occurrence_ids = [row["occurrence_id"] for row in read_table(database, tables.occurrence)]
    found = OccurrenceDetails(database).turning_points(occurrence_ids)
    assert len(found) == ALARMS
    assert all(len(json.dumps(one.event.body)) > SIZE for one in found)


def test_an_event_is_removed_with_the_last_of_its_transitions(database: Database) -> None:
    EngineHarness(database).process(event_body(resource_id="vm-1", state="error"))
    with database.begin() as connection:
        old = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        connection.execute(sa.update(tables.event).values(recorded_at=old))
        connection.execute(sa.update(tables.occurrence).values(raised=False, cleared_at=old))
        some = tables.transition.c.alarm_id != "alarm-0"
        connection.execute(sa.update(tables.transition).where(some).values(recorded_at=old))
    keep = datetime.timedelta(days=1)
    assert expire.expire(database, keep, batch_size=100)["events"] == 0
    with database.begin() as connection:
        connection.execute(sa.update(tables.transition).values(recorded_at=old))
    assert expire.expire(database, keep, batch_size=100)["events"] == 1
    assert not read_table(database, tables.event)


def test_a_transaction_is_bounded_by_bytes(database: Database) -> None:
    """Fails when only the number of alarms bounds it: ten events of 200 kB in one transaction."""
    engine = EngineHarness(database, max_transaction_size=3 * SIZE)
    sizes: list[int] = []
    written = 0

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def count(_: object, __: object, ___: str, parameters: Any, *____: object) -> None:
        nonlocal written
        written += _length(parameters)

    @sa.event.listens_for(database.engine, "commit")
    def end(_: object) -> None:
        nonlocal written
        sizes.append(written)
        written = 0

    events = [large(number=n) for n in range(10)]
    for n, body in enumerate(events):
        body["traits"][0][2] = f"vm-{n}"
    assert engine.process(*events).reasons == {"raised": 10 * ALARMS}
    large_ones = [size for size in sizes if size > SIZE]
    assert len(large_ones) >= 3
    assert max(large_ones) < 5 * SIZE


def test_delivered_and_stored_events_have_the_same_size(database: Database) -> None:
    """Fails when the consumer receives megabytes at first, and a truncated event at the second attempt."""
    engine = EngineHarness(database, max_event_size=SIZE // 2)
    engine.process(large())
    assert {len(str(sent.event.body)) < SIZE // 2 for sent in engine.sent} == {True}
    assert engine.sent[0].event.body["truncated"] == ["raw"]
