"""The engine on every database, beside Aodh's own storage code: G2, G3, G4, G5, G9, history, cost."""

from __future__ import annotations

import datetime
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.evaluator.batch import BatchReport
from eventalarm.exceptions import Retryable
from eventalarm.model import UTC
from eventalarm.storage.database import Database
from tests.support.builders import PROJECT, condition, event_body, rule
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
OWNED_BY_US = {"state", "state_reason", "state_timestamp"}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def aodh(our_database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[AodhStorage]:
    storage = AodhStorage(our_database_url, monkeypatch)
    yield storage
    storage.close()


@pytest.fixture
def engine(database: Database) -> EngineHarness:
    """An engine whose cache is loaded, so that only later changes are new to it."""
    harness = EngineHarness(database)
    harness.process(event_body(state="warming up"))
    return harness


def fault(**fields: Any) -> dict[str, Any]:
    """An event that fires ERROR, generated now."""
    moment = datetime.datetime.now(UTC)
    return event_body(**{"state": "error", "resource_id": "vm-1", "generated": moment, **fields})


def between_look_and_lock(engine: EngineHarness, edit: Callable[[], None]) -> None:
    """Make *edit* happen once after the engine has matched or looked for edits, before it locks the rows."""
    refresh, look_along = engine.cache.refresh, engine.cache.look_along
    edits = [edit]

    def refresh_then_edit() -> bool:
        changed = refresh()
        while edits:
            edits.pop()()
        return changed

    def edit_then_look(connection: sa.Connection) -> Callable[[], bool]:
        while edits:
            edits.pop()()
        return look_along(connection)

    engine.cache.refresh = refresh_then_edit  # type: ignore[method-assign]
    engine.cache.look_along = edit_then_look  # type: ignore[method-assign]


def try_until_done(engine: EngineHarness, *events: dict[str, Any]) -> BatchReport:
    """Process as the listener does: again as long as the database reports a conflict."""
    for _ in range(50):
        try:
            return engine.process(*events)
        except Retryable:
            continue
    raise AssertionError("the database never let us")


# -- G2: one transition per alarm, managed object and event ----------------------------------------------


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


# -- G3: definitions as new as the batch ----------------------------------------------------------------


def test_g3_an_alarm_created_just_before_its_event_fires(engine: EngineHarness, aodh: AodhStorage) -> None:
    for _ in range(5):
        alarm_id = aodh.create(alarm_row(rule=ERROR))
        engine.process(fault())
        assert engine.sent[-1].alarm_id == alarm_id
        assert read_alarm(engine.database, alarm_id)["state"] == "alarm"


def test_g3_an_alarm_edited_just_before_its_event_fires_as_it_is_now(
    engine: EngineHarness, aodh: AodhStorage
) -> None:
    alarm_id = aodh.create(alarm_row(rule=rule("*", state="deleted"), enabled=False))
    assert engine.process(fault()).matches == 0
    aodh.edit(alarm_id, rule=ERROR)
    assert engine.process(fault()).matches == 0, "still disabled"
    aodh.edit(alarm_id, enabled=True)
    engine.process(fault())
    assert [t.alarm_id for t in engine.sent] == [alarm_id]


# -- G4: a user's edit always wins ------------------------------------------------------------------------


def test_g4_only_the_columns_of_the_evaluator_are_written(engine: EngineHarness, aodh: AodhStorage) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR, description="mine", ok_actions=["http://ok"]))
    before = read_alarm(engine.database, alarm_id)
    engine.process(fault())
    after = read_alarm(engine.database, alarm_id)
    assert {name for name in before if before[name] != after[name]} == OWNED_BY_US
    assert after["state"] == "alarm"
    assert after["state_timestamp"] > before["state_timestamp"]
    assert after["state_reason"].startswith("Event <id=")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"type": "composite"}, "disabled"),
        ({"rule": rule("*", state="deleted")}, "no_longer_matches"),
        ({"rule": rule("port.*", state="error")}, "no_longer_matches"),
        ({"rule": {"event_type": "*", "query": [condition("a", "x", "eq", "integer")]}}, "bad_rule"),
        ({"project_id": "project-b"}, "moved"),
        ({"project_id": "Project-A"}, "moved"),
        ({"state": "alarm"}, "raised"),  # set by hand: the occurrence follows, no action is called
        ({"time_constraints": [{"name": "n", "start": "0 0 30 2 *", "duration": 1, "timezone": ""}]}, None),
    ],
)
def test_g4_an_edit_between_look_and_lock_is_honoured(
    engine: EngineHarness, aodh: AodhStorage, edit: dict[str, Any], reason: str | None
) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR))
    between_look_and_lock(engine, lambda: aodh.edit(alarm_id, **edit))
    report = engine.process(fault())
    assert dict(report.reasons) == {reason or "outside_time_constraints": 1}
    assert engine.sent == []
    row = read_alarm(engine.database, alarm_id)
    assert {name: row[name] for name in edit} == edit
    assert row["state_reason"] == "Not evaluated yet"
    assert history(engine.database, alarm_id) == []


def test_g4_an_alarm_deleted_between_look_and_lock_stays_deleted(
    engine: EngineHarness, aodh: AodhStorage
) -> None:
    alarm_id, other = aodh.create(alarm_row(rule=ERROR)), aodh.create(alarm_row(rule=ERROR))
    between_look_and_lock(engine, lambda: aodh.delete(alarm_id))
    report = engine.process(fault())
    assert dict(report.reasons) == {"deleted": 1, "raised": 1}
    assert [t.alarm_id for t in engine.sent] == [other]
    assert aodh.connection.get_alarms(alarm_id=alarm_id) == []
    # It is not looked up any more.
    assert engine.process(fault(state="ok")).matches == 0
    assert engine.process(fault()).matches == 1


def test_g4_consumers_receive_what_the_row_says_now(engine: EngineHarness, aodh: AodhStorage) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR))
    edit = {"name": "renamed", "severity": "critical", "alarm_actions": ["http://new"], "description": "d"}
    between_look_and_lock(engine, lambda: aodh.edit(alarm_id, **edit))
    engine.process(fault())
    (sent,) = engine.sent
    assert (sent.alarm_name, sent.severity, sent.actions) == ("renamed", "critical", ("http://new",))
    row = read_alarm(engine.database, alarm_id)
    assert {name: row[name] for name in edit} == edit
    assert row["state"] == "alarm"
    (change,) = aodh.changes(alarm_id, PROJECT)
    assert change.severity == "critical"


def test_g4_an_edited_rule_that_matches_too_fires(engine: EngineHarness, aodh: AodhStorage) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR))
    new = rule("*", resource_id="vm-1")
    between_look_and_lock(engine, lambda: aodh.edit(alarm_id, rule=new))
    engine.process(fault())
    assert '"traits.resource_id"' in engine.sent[0].reason


def test_g4_a_put_that_writes_the_old_state_back_does_not_silence_the_alarm(
    engine: EngineHarness, aodh: AodhStorage
) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR))
    read_before = aodh.get(alarm_id)
    engine.process(fault())
    aodh.put(read_before, description="edited")
    assert read_alarm(engine.database, alarm_id)["state"] == "ok"
    engine.process(fault())
    row = read_alarm(engine.database, alarm_id)
    assert (row["state"], row["description"]) == ("alarm", "edited")
    assert [t.previous for t in engine.sent] == ["ok", "ok"]
    first, second = occurrences(engine.database, alarm_id=alarm_id)
    assert (first["raised"], second["raised"]) == (False, True)
    assert first["cleared_at"] is not None
    assert (first["latest"], second["latest"]) == (None, True)


@pytest.mark.parametrize("state", ["ok", "insufficient data"])
def test_g4_a_reset_by_hand_rearms_every_managed_object(
    engine: EngineHarness, aodh: AodhStorage, state: str
) -> None:
    alarm_id = aodh.create(alarm_row(rule=ERROR))
    engine.process(fault(), fault(resource_id="vm-2"))
    aodh.edit(alarm_id, state=state)
    engine.process(fault(resource_id="vm-2"))
    assert [(t.previous, t.managed_object) for t in engine.sent] == [("ok", "vm-1"), (state, "vm-2")]
    raised = {o["managed_object"] for o in occurrences(engine.database, alarm_id=alarm_id, raised=True)}
    assert raised == {"vm-2"}


# -- G5: tenants never see each other ---------------------------------------------------------------------


def test_g5_only_the_owners_alarms_fire(database: Database) -> None:
    projects = ["project-a", "project-b", "Project-A", "project-a ", "", None]
    insert_alarms(database, *(alarm_row(f"a{n}", rule=ERROR, project_id=p) for n, p in enumerate(projects)))
    engine = EngineHarness(database)
    for number, project in enumerate(projects[:4]):
        engine.process(fault(project=project))
        assert [t.alarm_id for t in engine.sent[number:]] == [f"a{number}"]
    engine.process(fault(project=None))
    assert {t.alarm_id for t in engine.sent[4:]} == {"a4", "a5"}


def test_g5_infrastructure_events_reach_infrastructure_projects_only(database: Database) -> None:
    projects = ["admin", "ops", "project-a"]
    insert_alarms(database, *(alarm_row(p, rule=ERROR, project_id=p) for p in projects))
    engine = EngineHarness(database, infrastructure_projects=["admin", "ops"])
    engine.process(fault(project="project-a"))
    assert [t.alarm_id for t in engine.sent] == ["project-a"], "an event of a tenant is not theirs"
    engine.process(fault(project=None))
    assert sorted(t.alarm_id for t in engine.sent[1:]) == ["admin", "ops"]


def test_g5_the_project_of_the_payload_counts_not_that_of_the_caller(database: Database) -> None:
    insert_alarms(database, *(alarm_row(p, rule=ERROR, project_id=p) for p in ("owner", "caller")))
    engine = EngineHarness(database)
    for traits in (
        [["tenant_id", 1, "caller"], ["project_id", 1, "owner"]],
        [["project_id", 1, "owner"], ["tenant_id", 1, "caller"]],
    ):
        engine.process(fault(project=None, traits=traits))
    assert [t.alarm_id for t in engine.sent] == ["owner"]
    assert transitions(database, alarm_id="caller") == []


def test_g5_a_resource_id_alone_crosses_nothing(database: Database) -> None:
    rules = rule("*", state="error", resource_id="vm-1")
    insert_alarms(database, *(alarm_row(p, rule=rules, project_id=p) for p in ("project-a", "project-b")))
    engine = EngineHarness(database)
    engine.process(fault(project="project-a"))
    assert [t.alarm_id for t in engine.sent] == ["project-a"]


# -- G9: late never undoes new ----------------------------------------------------------------------------


def moment(seconds: int) -> str:
    return f"2026-05-01T12:00:{seconds:02}"


def test_g9_a_late_event_is_recorded_and_changes_nothing(engine: EngineHarness, aodh: AodhStorage) -> None:
    clearing = rule("*", state="error", resource_id="vm-1")
    alarm_id = aodh.create(alarm_row(rule=clearing, ok_actions=["http://ok"]))
    engine.process(fault(generated=moment(10)))
    engine.process(fault(state="active", generated=moment(20)))
    engine.process(fault(generated=moment(15)))
    row = read_alarm(engine.database, alarm_id)
    assert row["state"] == "ok"
    assert [t.current for t in engine.sent] == ["alarm", "ok"]
    kinds = [t["kind"] for t in transitions(engine.database, alarm_id=alarm_id)]
    assert kinds == ["raised", "cleared", "late"]
    assert len(history(engine.database, alarm_id)) == 2
    # A newer event still takes effect, and the late one remains recorded.
    assert engine.process(fault(generated=moment(30))).reasons["raised"] == 1


def test_g9_the_order_holds_across_listeners(engine: EngineHarness, database: Database) -> None:
    """Two listeners share one queue, so a recovery can be evaluated before the fault that it ends.

    Fails when an event that changes nothing is not recorded: the alarm then stays in alarm forever.
    """
    clearing = rule("*", state="error", resource_id="vm-1")
    insert_alarms(database, alarm_row(alarm_id="a", rule=clearing, ok_actions=["http://ok"]))
    other = EngineHarness(database)
    other.process(fault(state="active", generated=moment(20)))
    engine.process(fault(generated=moment(10)))
    assert read_alarm(database, "a")["state"] != "alarm"
    engine.process(fault(generated=moment(30)))
    other.process(fault(generated=moment(50)))
    engine.process(fault(state="active", generated=moment(40)))
    assert read_alarm(database, "a")["state"] == "alarm"
    assert [t["kind"] for t in transitions(database, alarm_id="a")] == ["late", "raised", "late"]


def test_g9_a_batch_is_evaluated_in_the_order_of_its_events(engine: EngineHarness, aodh: AodhStorage) -> None:
    clearing = rule("*", state="error", resource_id="vm-1")
    alarm_id = aodh.create(alarm_row(rule=clearing, ok_actions=["http://ok"]))
    engine.process(fault(state="active", generated=moment(20)), fault(generated=moment(10)))
    assert [t.current for t in engine.sent] == ["alarm", "ok"]
    assert read_alarm(engine.database, alarm_id)["state"] == "ok"


def test_g9_a_fast_clock_makes_nobody_late(engine: EngineHarness, aodh: AodhStorage) -> None:
    aodh.create(alarm_row(rule=ERROR, repeat_actions=True))
    engine.process(fault(generated="2099-01-01T00:00:00"))
    engine.process(fault())
    assert len(engine.sent) == 2


# -- what Aodh's API reads --------------------------------------------------------------------------------


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


# -- what a batch costs -------------------------------------------------------------------------------------


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
