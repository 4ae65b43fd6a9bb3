"""Tenants never see each other (G5)."""

from __future__ import annotations

from eventalarm.storage.database import Database
from tests.support.builders import fault, rule
from tests.support.engine_harness import (
    EngineHarness,
    alarm_row,
    insert_alarms,
    transitions,
)

ERROR = rule("*", state="error")


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
