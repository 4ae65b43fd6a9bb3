"""Dry runs of rules by the ingest API: they explain, and write nothing."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.http import openapi
from eventalarm.ingest import application
from eventalarm.storage import database as storage
from eventalarm.storage.tables import metadata
from tests.support.builders import PROJECT, event_body
from tests.support.engine_harness import alarm_row, insert_alarms, read_table
from tests.support.ingest_api import HOST_RULE, IngestApi, report
from tests.support.signing import new_key
from tests.support.timers import Listener, notification_alarm

GOOD = report("compute.host.down", hostname="compute0", status="down")
SCHEMAS = openapi.Schemas(openapi.load(application.DOCUMENT_FILE))


@pytest.fixture
def dry(our_sqlite_url: str) -> Iterator[tuple[IngestApi, storage.Database]]:
    opened = storage.connect(our_sqlite_url)
    group = {"infrastructure_projects": ["admins"]}
    one = IngestApi("fake://", lambda: opened, group=group, credentials_key=new_key())
    yield one, opened
    one.close()
    opened.dispose()


def test_a_dry_run_explains_and_writes_nothing(dry: tuple[IngestApi, storage.Database]) -> None:
    """Fails when alarms of others are shown, when owners are ignored, and when anything is written."""
    api, database = dry
    rows = [
        alarm_row("mine", rule=HOST_RULE, type="notification", project_id="a"),
        alarm_row("infra", rule=HOST_RULE, type="notification", project_id="admins", enabled=False),
        alarm_row("old", rule={"event_type": "compute.host.*", "query": []}, project_id="a"),
        alarm_row("other", rule={}, type="gnocchi_resources_threshold", project_id="a"),
    ]
    insert_alarms(database, *rows)
    before = [tuple(sorted(row.items(), key=str)) for row in dump(database)]

    def test(project: str = "a", status: str = "down", owner: str | None = "a", **body: Any) -> Any:
        details: dict[str, Any] = {"hostname": "compute0", "status": status} | (
            {"project_id": owner} if owner else {}
        )
        reported = report("compute.host.nic", **details)
        answer = api.post({"event": reported, **body}, "/v1/rules/test", "reader", project)
        assert answer.status_code != 200 or SCHEMAS.errors("Explanation", answer.json) == []
        return answer

    raised = test(rule=HOST_RULE).json
    assert (raised["verdict"], raised["managed_object"], raised["seen"]) == ("raises", "compute0", True)
    assert raised["raises"]["parts"][1] == {
        "asked": "traits.status eq 'down'",
        "holds": True,
        "seen": "'down'",
        "parts": [],
    }
    assert raised["text"][0] == "The event raises the alarm (managed object: compute0)."
    assert test(rule=HOST_RULE, status="up").json["verdict"] == "clears"
    assert test(rule=HOST_RULE, status="odd").json["verdict"] == "nothing"
    assert test(alarm_id="mine").json["alarm"] == {"enabled": True, "state": "ok"}
    assert test(alarm_id="old").json["verdict"] == "raises"
    unseen = test(alarm_id="mine", owner="b").json
    assert (unseen["seen"], unseen["owner"]) == (False, "b")
    assert "not evaluated against the alarm: it belongs to project b" in unseen["text"][0]
    assert test(alarm_id="mine", owner=None).json["seen"] is False
    infra = test("admins", alarm_id="infra", owner=None).json
    assert (infra["seen"], infra["alarm"]["enabled"]) == (True, False)
    for project, alarm_id in (("b", "mine"), ("a", "infra"), ("a", "none"), ("a", "MINE")):
        assert test(project, alarm_id=alarm_id).status_code == 404
    refused = test(alarm_id="other").json["errors"][0]
    assert (refused["field"], "not evaluated on events" in refused["problem"]) == ("/alarm_id", True)
    bad = test(rule={**HOST_RULE, "query": [{"field": "x", "op": "like"}]}).json["errors"][0]
    assert (bad["field"], "use one of eq" in bad["remedy"]) == ("/rule/query/0/op", True)
    assert test(rule=HOST_RULE, alarm_id="mine").status_code == 400
    assert test(rule=HOST_RULE, now="later").json["errors"][0]["field"] == "/now"
    assert api.post({"rule": HOST_RULE, "event": {"type": 5}}, "/v1/rules/test", "reader").status_code == 400
    assert api.post({"rule": HOST_RULE, "event": GOOD}, "/v1/rules/test", "stranger").status_code == 403
    assert [tuple(sorted(row.items(), key=str)) for row in dump(database)] == before


def test_a_dry_run_counts_the_objects_in_fault(dry: tuple[IngestApi, storage.Database]) -> None:
    """Fails when it ignores what listeners have tracked, or writes anything."""
    api, database = dry
    query = [{"field": "traits.status", "value": "down"}]
    clear = {"query": [{"field": "traits.status", "value": "up"}]}
    grouped = {"query": query, "clear": clear, "at_least": 3, "objects": "vm", "group_by": ["hostname"]}
    alarm = notification_alarm(database, grouped)
    down = {"status": "down", "hostname": "compute0"}
    Listener(database).engine.process(event_body(**down, vm="vm-1"), event_body(**down, vm="vm-2"))
    before = [tuple(sorted(row.items(), key=str)) for row in dump(database)]
    for host, number in (("compute0", "3 of 3"), ("compute1", "1 of 3")):
        reported = report("a.b", status="down", hostname=host, vm="vm-3", project_id=PROJECT)
        body = {"event": reported, "alarm_id": alarm}
        answer = api.post(body, "/v1/rules/test", "reader", PROJECT).json
        assert any(f"With the event, {number} objects are in fault" in line for line in answer["text"])
    assert [tuple(sorted(row.items(), key=str)) for row in dump(database)] == before


def test_a_dry_run_uses_the_clock_of_the_listeners(dry: tuple[IngestApi, storage.Database]) -> None:
    """Fails when ``now`` comes from the clock of the API's host."""
    api, database = dry
    recent = {"field": "generated", "type": "datetime", "op": "gt", "value": "now-30m"}
    rule = {"event_type": "*", "query": [recent]}
    insert_alarms(database, alarm_row("mine", rule=rule, type="notification", project_id="a"))
    body = {"event": report("a.b")}

    def verdicts(**more: Any) -> set[str]:
        asked = ({"rule": rule}, {"alarm_id": "mine"})
        answers = [api.post({**body, **one, **more}, "/v1/rules/test", "reader", "a") for one in asked]
        return {answer.json["verdict"] for answer in answers}

    assert verdicts() == {"raises"}
    # Make the database's clock seem an hour ahead of this host.
    ahead = database.now() + datetime.timedelta(hours=1)
    database.clock.observe(ahead, time.monotonic())
    assert verdicts() == {"nothing"}
    assert verdicts(now=datetime.datetime.now(datetime.UTC).isoformat()) == {"raises"}


def dump(database: storage.Database) -> list[dict[str, Any]]:

    return [row for table in metadata.sorted_tables for row in read_table(database, table)]
