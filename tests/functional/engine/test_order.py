"""A late event never undoes a newer one (G9)."""

from __future__ import annotations

from eventalarm.storage.database import Database
from tests.support.builders import fault, rule
from tests.support.engine_harness import (
    AodhStorage,
    EngineHarness,
    alarm_row,
    history,
    insert_alarms,
    read_alarm,
    transitions,
)

ERROR = rule("*", state="error")


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
