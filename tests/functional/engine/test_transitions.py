"""One transition per alarm, managed object and event (G2), the history, and what a batch costs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.evaluator.batch import BatchReport
from eventalarm.exceptions import Retryable
from eventalarm.storage.database import Database
from tests.support.builders import PROJECT, fault, rule
from tests.support.engine_harness import (
    AodhStorage,
    EngineHarness,
    alarm_row,
    history,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    transitions,
)

ERROR = rule("*", state="error")


def try_until_done(engine: EngineHarness, *events: dict[str, Any]) -> BatchReport:
    """Process as the listener does: again as long as the database reports a conflict."""
    for _ in range(50):
        try:
            return engine.process(*events)
        except Retryable:
            continue
    raise AssertionError("the database never let us")


@pytest.mark.parametrize("repeat_actions", [False, True])
def test_g2_the_same_event_twice_is_one_transition(
    engine: EngineHarness, aodh: AodhStorage, repeat_actions: bool
) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR, repeat_actions=repeat_actions))
    event = fault()
    engine.process(event, event)
    engine.process(event)
    again = EngineHarness(engine.database)
    assert again.process(event, event).reasons["duplicate"] == 2
    assert len(transitions(engine.database, alarm_id=alarm_id)) == 1
    assert [t.alarm_id for t in engine.sent] == [alarm_id]
    assert again.sent == []


def listen_at_once(url: str, batches_of: Callable[[int], list[list[dict[str, Any]]]]) -> list[str]:
    """Run four engines, each on its own connections, and return the alarms whose actions they called."""
    ready = threading.Barrier(4)
    sent: list[str] = []
    problems: list[BaseException] = []

    def listen(turn: int) -> None:
        try:
            with open_database(url) as opened:
                harness = EngineHarness(opened)
                ready.wait(60)
                for batch in batches_of(turn):
                    assert try_until_done(harness, *batch).reasons["refused"] == 0
                sent.extend(t.alarm_id for t in harness.sent)
        except BaseException as exc:  # noqa: BLE001 - reported by the test
            problems.append(exc)

    threads = [threading.Thread(target=listen, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    return sent


@pytest.mark.parametrize("repeat_actions", [False, True])
def test_g2_the_same_events_at_the_same_time(
    our_database_url: str, database: Database, repeat_actions: bool
) -> None:
    """Four listeners get the same messages, in different orders and batches."""
    alarms = [f"alarm-{n}" for n in range(20)]
    rules = [rule("*", state="error", resource_id=f"vm-{n}") for n in range(20)]
    rows = [alarm_row(a, rule=r, repeat_actions=repeat_actions) for a, r in zip(alarms, rules, strict=True)]
    insert_alarms(database, *rows)
    events = [fault(resource_id=f"vm-{n}", generated="2026-05-01T12:00:00") for n in range(20)]

    def batches_of(turn: int) -> list[list[dict[str, Any]]]:
        order, size = events[turn * 5 :] + events[: turn * 5], 5 + turn
        return [order[start : start + size] for start in range(0, 20, size)]

    sent = listen_at_once(our_database_url, batches_of)
    assert sorted(t["alarm_id"] for t in transitions(database)) == sorted(alarms)
    assert sorted(sent) == sorted(alarms), "each alarm's actions are called once"
    assert len(occurrences(database)) == 20
    assert all(len(history(database, a)) == 1 for a in alarms)


def test_g2_events_of_several_objects_at_the_same_time(our_database_url: str, database: Database) -> None:
    """Four listeners see four resources of one alarm fail: it goes into alarm once."""
    alarms = [f"alarm-{n}" for n in range(20)]
    rows = [alarm_row(a, rule=rule("*", state="error", host=f"host-{n}")) for n, a in enumerate(alarms)]
    insert_alarms(database, *rows)

    def batches_of(turn: int) -> list[list[dict[str, Any]]]:
        return [[fault(host=f"host-{n}", resource_id=f"vm-{n}-{turn}")] for n in range(20)]

    sent = listen_at_once(our_database_url, batches_of)
    assert sorted(sent) == sorted(alarms), "each alarm's actions are called once"
    assert len(occurrences(database, raised=True)) == 80
    assert all(len(history(database, a)) == 1 for a in alarms)


def test_the_api_shows_the_history(engine: EngineHarness, aodh: AodhStorage) -> None:
    alarm_id = aodh.create(
        alarm_row(rule=rule("*", state="error", resource_id="vm-1"), ok_actions=["http://ok"])
    )
    engine.process(fault())
    engine.process(fault(state="active"))
    first, second = aodh.changes(alarm_id, PROJECT)
    assert {first.type, second.type} == {"state transition"}
    assert [first.on_behalf_of, first.severity] == [PROJECT, "low"]
    assert [h["state"] for h in history(engine.database, alarm_id)] == ["alarm", "ok"]
    shown = aodh.get(alarm_id)
    assert shown.state == "ok"
    assert shown.state_reason == history(engine.database, alarm_id)[1]["transition_reason"]
    assert shown.state_timestamp == second.timestamp
    assert aodh.changes(alarm_id, "project-b") == []


def test_occurrences_of_several_managed_objects(engine: EngineHarness, aodh: AodhStorage) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR, ok_actions=["http://ok"]))
    engine.process(fault(resource_id="vm-1"), fault(resource_id="vm-2"))
    engine.process(fault(state="active", resource_id="vm-1"))
    assert read_alarm(engine.database, alarm_id)["state"] == "alarm"
    engine.process(fault(state="active", resource_id="vm-2"))
    assert read_alarm(engine.database, alarm_id)["state"] == "ok"
    assert [t.actions for t in engine.sent] == [("http://alarm",), ("http://ok",)]
    assert occurrences(engine.database, raised=True) == []


def statements_of(database: Database, work: Callable[[], Any]) -> list[str]:
    """Return the first words of the statements that *work* sends (SQLite also shows its BEGIN)."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *args: Any) -> None:
        seen.append(statement.split(maxsplit=1)[0])

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    return [word for word in seen if word != "BEGIN"]


def test_a_batch_costs_the_same_statements_for_one_alarm_and_for_many(engine: EngineHarness) -> None:
    database = engine.database
    costs = []
    for turn, count in enumerate((1, 200)):
        rows = [
            alarm_row(f"{turn}-{n}", rule=rule("*", state="error", host=f"{turn}-{n}")) for n in range(count)
        ]
        insert_alarms(database, *rows)
        engine.process(fault(state="warming up"))
        events = [fault(host=f"{turn}-{n}", resource_id=f"vm-{turn}-{n}") for n in range(count)]
        costs.append(statements_of(database, functools.partial(engine.process, *events)))
    assert len(engine.sent) == 201
    assert costs[0] == costs[1]


def test_a_batch_that_concerns_nobody_costs_one_look(engine: EngineHarness) -> None:
    insert_alarms(engine.database, alarm_row(rule=ERROR))
    engine.process(fault(state="warming up"))
    events = [fault(state="fine", resource_id=f"vm-{n}") for n in range(100)]
    assert statements_of(engine.database, lambda: engine.process(*events)) == ["SELECT"]
