"""Poison hurts only itself (G6): whatever one event or alarm contains, the others in its batch still fire."""

from __future__ import annotations

import datetime
import json
import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.backoff import Backoff
from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import UTC, Delivery, Transition
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.errors import is_content_error
from eventalarm.storage.outbox import Outbox
from tests.support.builders import PROJECT, fault, rule
from tests.support.engine_harness import (
    ALARM_TABLE,
    AodhStorage,
    EngineHarness,
    RecordingEnqueuer,
    alarm_row,
    history,
    insert_alarms,
    occurrences,
    read_alarm,
    read_table,
    transitions,
)

ERROR = rule("*", state="error")
POISON = {
    "NUL in the event type": fault(event_type="a\x00b"),
    "NUL in a trait": fault(resource_id="a\x00b"),
    "NUL in the id": fault(message_id="a\x00b"),
    "NUL in raw": fault(raw={"a\x00": "\x00"}),
    "surrogate in the event type": fault(event_type="\ud800"),
    "surrogate in a trait": fault(resource_id="\udfff"),
    "surrogate in the id": fault(message_id="\ud800\ud800"),
    "surrogate in raw": fault(raw={"\ud800": "\ud800"}),
    "emoji in the event type": fault(event_type="💥.💥"),
    "emoji in a trait": fault(resource_id="💥" * 200),
    "emoji in the id": fault(message_id="💥"),
    "long event type": fault(event_type="x" * 1000),
    "long resource": fault(resource_id="x" * 300),
    "long id": fault(message_id="x" * 1000),
    "two megabytes": fault(raw={"a": "💥" * 500_000}),
    "two megabytes of traits": fault(traits=[["big", 1, "x" * 2_000_000]]),
    "many traits": fault(traits=[[f"t{n}", 2, n] for n in range(9_000)]),
    "a bad trait": fault(traits=[["count", 2, "many"], ["when", 4, "\ud800"], None, "abc", {}]),
    "a deep trait": fault(traits=[["deep", 1, {"a": [{"b": "c"}] * 100}]]),
    "no time": fault(generated="soon"),
    "time before all": fault(generated="0001-01-01T00:00:00"),
    "time after all": fault(generated="9999-12-31T23:59:59.999999"),
    "a number of another kind": fault(raw={"nan": float("nan")}),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_g6_an_event_with_poison_and_its_neighbours_fire(
    our_database_url: str, database: Database, poison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real deliveries, which carry the event too."""
    alarm_ids = ["watches-all", "watches-good"]
    insert_alarms(
        database,
        alarm_row("watches-all", rule=ERROR, repeat_actions=True),
        alarm_row("watches-good", rule=rule("*", state="error", host="good")),
    )
    engine = EngineHarness(database, enqueuer=OutboxEnqueuer(Outbox(database), Nobody()))
    before, after = fault(host="good", resource_id="b"), fault(host="good", resource_id="a")
    report = engine.process(before, poison, after)
    assert report.reasons["raised"] == 5
    assert report.reasons["refused"] == 0
    for alarm_id in alarm_ids:
        assert read_alarm(database, alarm_id)["state"] == "alarm"
    assert len(transitions(database, alarm_id="watches-all")) == 3
    assert len(read_table(database, tables.delivery, alarm_id="watches-all")) == 3
    # Aodh can read what was written for it.
    aodh = AodhStorage(our_database_url, monkeypatch)
    assert aodh.get("watches-all").state == "alarm"
    assert len(aodh.changes("watches-all", PROJECT)) == 3
    aodh.close()
    # Delivered again it is recognised, whatever its id was converted into.
    assert engine.process(poison).reasons == {"duplicate": 1}


class Nobody:
    """A delivery worker without a lease: enqueued deliveries wait for other workers."""

    owner = None

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Nothing is leased, so nothing is submitted."""


def test_g6_ids_that_differ_little_are_different_resources(database: Database) -> None:
    insert_alarms(database, alarm_row("a", rule=ERROR))
    engine = EngineHarness(database)
    names = ["vm", "VM", "vḿ", " vm", "vm\t", "x" * 300, "x" * 299 + "y"]
    engine.process(*(fault(resource_id=name) for name in names))
    found = [o["managed_object"] for o in occurrences(database)]
    # Databases disagree about trailing blanks only: they are stripped, so "vm " is "vm".
    assert len(found) == len(set(found)) == len({name.rstrip() for name in names})
    assert engine.process(fault(resource_id="vm ")).reasons["already_raised"] == 1


def test_g6_messages_that_differ_in_case_are_different_messages(database: Database) -> None:
    insert_alarms(database, alarm_row("a", rule=ERROR, repeat_actions=True))
    engine = EngineHarness(database)
    engine.process(fault(message_id="id-a"), fault(message_id="ID-A"), fault(message_id="id-á"))
    assert len(engine.sent) == 3


@pytest.mark.parametrize(
    ("column", "fires"),
    [
        ("rule", False),
        ("alarm_actions", True),
        ("ok_actions", True),
        ("insufficient_data_actions", True),
        ("time_constraints", True),
    ],
)
@pytest.mark.parametrize("torn", ['{"event_type": "*", "que', "", "null", "5", '["a", 5, null]', '"text"'])
def test_g6_a_corrupt_alarm_row_affects_no_other_alarm(
    database: Database, column: str, fires: bool, torn: str
) -> None:
    insert_alarms(database, alarm_row("good", rule=ERROR), alarm_row("torn", rule=ERROR))
    with database.begin() as connection:
        statement = sa.text(f"UPDATE alarm SET {column} = :torn WHERE alarm_id = 'torn'")
        connection.execute(statement, {"torn": torn})
    engine = EngineHarness(database)
    engine.process(fault())
    assert read_alarm_state(database, "good") == "alarm"
    assert read_alarm_state(database, "torn") == ("alarm" if fires else "ok")
    assert "good" in [t.alarm_id for t in engine.sent]
    assert engine.bad_rules == ([] if fires else [("torn", "rule")])


def read_alarm_state(database: Database, alarm_id: str) -> str:
    """Read without the corrupt column, on which Aodh's own type fails."""
    with database.read() as connection:
        query = sa.select(ALARM_TABLE.c.state).where(ALARM_TABLE.c.alarm_id == alarm_id)
        return str(connection.execute(query).scalar_one())


@pytest.mark.parametrize(("name", "length"), [("message_id", 70_000), ("event_type", 5000)])
@pytest.mark.parametrize("alone", [False, True], ids=["among others", "alone"])
def test_g6_an_overlong_key_affects_only_its_own_event(
    database: Database, name: str, length: int, alone: bool
) -> None:
    """Through the message handler: in one message with others, or in a separate message."""
    insert_alarms(database, alarm_row("good", rule=ERROR, repeat_actions=True))
    engine, metrics = EngineHarness(database), Metrics()
    handler = BatchHandler(
        engine.engine, metrics, DatabaseOutage(metrics, threading.Event(), Backoff(0.01, 0.02))
    )
    before, poison, after = fault(), fault() | {name: "x" * length}, fault(resource_id="vm-2")
    messages = [[before], [poison], [after]] if alone else [[before, poison, after]]
    assert handler.handle([{"payload": payload} for payload in messages]) == {}
    fired = [row["message_id"] for row in transitions(database, alarm_id="good")]
    assert sorted(fired) == sorted([before["message_id"], after["message_id"]])
    labels = {"outcome": "unreadable", "reason": f"{name}_too_long"}
    assert metrics.registry.get_sample_value("eventalarm_events_total", labels) == 1
    assert handler.handle([{"payload": [poison]}]) == {}, "acknowledged, although it was the only event"


@pytest.mark.parametrize("project", ["a\x00b", "\ud800", "💥", "x" * 5000, "project-a\x00"])
def test_g6_an_owner_that_no_database_can_store_affects_no_other_event(
    database: Database, project: str
) -> None:
    insert_alarms(database, alarm_row("good", rule=ERROR))
    engine = EngineHarness(database)
    engine.process(fault(project=project), fault())
    assert [t.alarm_id for t in engine.sent] == ["good"]
    assert len(transitions(database)) == 1


def test_g6_refused_values_are_content_errors(database: Database) -> None:
    """They are not an outage of the database, for which a batch is held: it would be held forever."""
    now = datetime.datetime.now(UTC)
    worker = {"worker_id": "w", "host": "h", "expires_at": now}
    occurrence = {
        "occurrence_id": "o",
        "alarm_id": "a",
        "project_id": "p",
        "managed_object": "m",
        "raised": True,
    }
    occurrence |= {"event_time": now, "raised_at": now, "hits": 1}
    refused = [
        (tables.worker, worker | {"host": None}),
        (tables.occurrence, occurrence | {"hits": 10**30}),
        (tables.occurrence, occurrence | {"event_time": "soon"}),
    ]
    if database.dialect != "sqlite":  # which holds any length
        refused.append((tables.worker, worker | {"host": "x" * 256}))
    for table, row in refused:
        error = refusal(database, table, row)
        assert not isinstance(error, Retryable), (table, error)
        assert is_content_error(error)


def refusal(database: Database, table: sa.Table, row: dict[str, Any]) -> BaseException:
    """Return the error of inserting an invalid row."""
    try:
        with database.begin() as connection:
            connection.execute(sa.insert(table), row)
    except Exception as exc:  # noqa: BLE001 - the test is about which one it is
        return exc
    raise AssertionError(f"{row} was taken")


def test_g6_the_earliest_possible_time_works_beside_a_stock_listener(database: Database) -> None:
    insert_alarms(database, alarm_row("a", rule=ERROR))
    engine = EngineHarness(database, beside_aodh_listener=True)
    assert engine.process(fault(generated="0001-01-01T00:00:00")).reasons == {"raised": 1}


def test_g6_null_columns_read_as_empty_values(database: Database) -> None:
    nulls = dict.fromkeys(
        ["name", "severity", "state", "repeat_actions", "time_constraints", "ok_actions", "description"]
    )
    insert_alarms(database, alarm_row("a", rule=ERROR, **nulls))
    engine = EngineHarness(database)
    engine.process(fault())
    assert (engine.sent[0].previous, engine.sent[0].alarm_name) == ("insufficient data", "")


class PickyEnqueuer(RecordingEnqueuer):
    """Refuses one event, as a database refuses a value that it cannot store."""

    def enqueue(
        self,
        connection: sa.Connection,
        transitions: Sequence[Transition],
        unfinished: Collection[str] | None,
        subscribed: datetime.datetime | None = None,
    ) -> list[Delivery]:
        if any(t.event.message_id == "poison" for t in transitions):
            raise ValueError("cannot write this")
        return super().enqueue(connection, transitions, unfinished, subscribed)


def test_g6_only_the_event_that_cannot_be_written_is_left_out(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    alarm_ids = [f"alarm-{n}" for n in range(50)]
    insert_alarms(database, *(alarm_row(a, rule=rule("*", state="error", host=a)) for a in alarm_ids))
    engine = EngineHarness(database, enqueuer=PickyEnqueuer())
    events = [
        fault(host=a, resource_id=a, message_id="poison" if n == 17 else "") for n, a in enumerate(alarm_ids)
    ]
    with caplog.at_level(logging.ERROR, logger="eventalarm"):
        report = engine.process(*events)
    assert report.reasons == {"raised": 49, "refused": 1}
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("eventalarm")]
    assert [message.split(" cannot")[0] for message in logged] == ["Event poison"]
    assert "alarm-17" in caplog.text
    assert len(engine.sent) == 49
    # The attempts that were rolled back have no effect.
    assert len(transitions(database)) == 49
    assert len(occurrences(database)) == 49
    assert all(len(history(database, a)) == (0 if n == 17 else 1) for n, a in enumerate(alarm_ids))
    assert read_alarm(database, "alarm-17")["state"] == "ok"


def test_aodh_does_not_fire_for_a_reason_with_an_emoji(
    our_database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the reason is sanitised: MySQL refuses the emoji, so that in Aodh the alarm does not fire."""
    insert_alarms(database, alarm_row("a", rule=ERROR))
    aodh = AodhStorage(our_database_url, monkeypatch)
    if database.dialect == "mysql":
        with pytest.raises(Exception, match="Incorrect string value"):
            aodh.edit("a", state_reason="💥")
    else:
        aodh.edit("a", state_reason="💥")
    aodh.close()
    engine = EngineHarness(database)
    engine.process(fault(event_type="💥"))
    assert json.dumps(read_alarm(database, "a")["state_reason"]).count("\\ufffd") == 1
    assert "💥" in engine.sent[0].reason
