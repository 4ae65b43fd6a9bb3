"""Definitions are as new as the batch (G3), and a user's edit always wins (G4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.builders import PROJECT, condition, fault, rule
from tests.support.engine_harness import (
    AodhStorage,
    EngineHarness,
    alarm_row,
    history,
    occurrences,
    read_alarm,
)

ERROR = rule("*", state="error")
OWNED_BY_US = {"state", "state_reason", "state_timestamp"}


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
