"""An event that is too large for the database is given up alone, and its neighbours fire (G6)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import sqlalchemy as sa

from eventalarm.backoff import Backoff
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.metrics import Metrics
from eventalarm.model import Event
from eventalarm.publisher.codec import decode
from eventalarm.storage.database import Database
from tests.support.builders import event_body, rule
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, open_database, transitions

PACKET = 1024 * 1024
# Each quote takes four bytes in a statement.
LARGE = '"' * (PACKET // 4 + 10_000)


@pytest.fixture
def database(our_mariadb_url: str) -> Iterator[Database]:
    """A server whose packet limit is hardly larger than the maximum of an event."""
    with open_database(our_mariadb_url) as opened:
        with opened.engine.connect() as connection:
            before = connection.exec_driver_sql("SELECT @@GLOBAL.max_allowed_packet").scalar_one()
            connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {PACKET}")
        opened.engine.dispose()
        insert_alarms(opened, alarm_row("watches-all", rule=rule("*", state="error")))
        try:
            yield opened
        finally:
            with opened.engine.connect() as connection:
                connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {before}")


def handler_of(database: Database, metrics: Metrics, stopping: threading.Event, **more: Any) -> BatchHandler:
    outage = DatabaseOutage(metrics, stopping, Backoff(0.01, 0.02), database)
    return BatchHandler(EngineHarness(database).engine, metrics, outage, **more)


def message(**fields: Any) -> dict[str, Any]:
    return {"payload": [event_body(state="error", **fields)]}


def given_up(metrics: Metrics) -> float:
    labels = {"outcome": "given_up", "reason": "database"}
    return metrics.registry.get_sample_value("eventalarm_events_total", labels) or 0.0


def test_an_oversized_event_is_given_up_and_its_neighbours_fire(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails without halving: "server has gone away", forever, for the whole batch."""
    metrics, stopping = Metrics(), threading.Event()
    batch = [message(resource_id=f"vm-{n}") for n in range(10)]
    batch[6] = message(resource_id="vm-6", raw={"big": LARGE}, message_id="too-large")
    with caplog.at_level(logging.ERROR, "eventalarm.evaluator.handler"):
        assert handler_of(database, metrics, stopping).handle(batch) == {}
    assert {row["managed_object"] for row in transitions(database)} == {
        f"vm-{n}" for n in range(10) if n != 6
    }
    assert given_up(metrics) == 1
    assert "too-large is given up" in caplog.text


def test_an_absent_database_is_awaited(database: Database) -> None:
    """Fails when every failure counts: events would be lost in an outage of the database."""
    metrics, stopping = Metrics(), threading.Event()
    tries = 0

    class Away:
        def process(self, events: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries == 20:
                stopping.set()
            with database.begin() as connection:
                connection.execute(sa.text("SELECT 1 FROM no_such_table"))

        def projects(self, event: Event) -> tuple[str, ...]:
            return ()

        def retry_locked(self) -> None:
            raise AssertionError("nothing is put off")

        def forget_unfinished(self) -> None:
            raise AssertionError("nothing is put off")

    outage = DatabaseOutage(metrics, stopping, Backoff(0.01, 0.02), database)
    handler = BatchHandler(cast(Engine, Away()), metrics, outage)
    assert handler.handle([message(resource_id="vm-1")]) is None
    assert tries == 20
    assert given_up(metrics) == 0


@pytest.mark.parametrize("name", ["message_id", "event_type"])
def test_keys_of_any_length_are_refused_when_they_are_read(name: str) -> None:
    """Fails with 17 MB in the id: the reason that quotes it was what the database failed with."""
    body = event_body() | {name: "x" * 17_000_000}
    events, (refused,) = decode([body, event_body()])
    assert len(events) == 1
    assert refused.reason == f"{name}_too_long"
    assert len(str(refused)) < 200
    assert len(refused.event_id) < 100
    assert Event.parse(body | {name: "x" * 1024})
