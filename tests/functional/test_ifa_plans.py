"""How the databases find a page of alarms: by an index, in every statement, however many rows there are."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import schema, tables
from tests.builders import PROJECT, rule
from tests.engine_harness import ALARM_TABLE, alarm_row
from tests.functional.ifa_api import ADMIN, IfaApi

ROWS = 3000
FEW = 10
NOW = datetime.datetime.now(UTC)
LISTED = (tables.occurrence.name, tables.transition.name, "alarm_history", "alarm")


def fill(opened: storage.Database) -> str:
    """Store many alarms of many projects, a tenth of them raised; return one of ours."""
    alarms, lives, transitions = [], [], []
    for number in range(ROWS):
        project = PROJECT if number % 3 == 0 else f"project-{number % 50}"
        state = "alarm" if number % 10 == 0 else "ok"
        alarms.append(alarm_row(rule=rule(instance_id=f"vm-{number}"), project_id=project, state=state))
        at = NOW - datetime.timedelta(seconds=number)
        same = {"alarm_id": alarms[-1]["alarm_id"], "project_id": project, "managed_object": f"vm-{number}"}
        same |= {"occurrence_id": str(uuid.uuid4()), "event_time": at}
        over = None if state == "alarm" else at
        times = {"raised_at": at, "changed_at": over, "cleared_at": over}
        lives.append({**same, **times, "raised": over is None, "latest": True, "hits": 1})
        told = {"kind": "raised", "message_id": same["occurrence_id"], "severity": "low", "recorded_at": at}
        texts = dict.fromkeys(("alarm_name", "previous", "current", "reason", "event_type"), "x")
        transitions.append(
            {**same, **told, **texts, "transition_id": str(uuid.uuid4()), "event": json.dumps({})}
        )
    with opened.engine.begin() as connection:
        connection.execute(sa.insert(ALARM_TABLE), alarms)
        connection.execute(sa.insert(tables.occurrence), lives)
        connection.execute(sa.insert(tables.transition), transitions)
        for name in LISTED if opened.dialect in ("mysql", "mariadb") else ():
            connection.exec_driver_sql(f"ANALYZE TABLE {name}").all()
        if opened.dialect not in ("mysql", "mariadb"):
            connection.exec_driver_sql("ANALYZE")
    return str(alarms[0]["alarm_id"])


def scans(opened: storage.Database, statement: str, parameters: Any) -> list[str]:
    """Return the tables that a statement reads as a whole, by the database's own word."""
    with opened.engine.connect() as connection:
        if opened.dialect == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return [row[3] for row in plan if row[3].startswith("SCAN") and _whole(row[3])]
        if opened.dialect == "postgresql":
            # A small table is cheaper to read as a whole; what counts is whether an index could serve.
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
            return [row[0] for row in plan if "Seq Scan" in row[0]]
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
        whole = [row for row in plan if row["type"] == "ALL" and row["table"][0] != "<"]
        # A table that is all but empty is cheaper to read as a whole.
        return [str(dict(row)) for row in whole if int(row["rows"] or 0) > FEW]


def _whole(step: str) -> bool:
    return " USING " not in step and any(name in step.split() for name in LISTED)


@pytest.fixture
def opened(aodh_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(aodh_database_url)
    schema.upgrade(result)
    yield result
    result.dispose()


def test_no_page_reads_a_table_as_a_whole(opened: storage.Database) -> None:
    one = fill(opened)
    api = IfaApi(opened)
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        if arguments[2].startswith("SELECT") and "eventalarm" in arguments[2]:
            asked.append((arguments[2], arguments[3]))

    sa.event.listen(opened.engine, "before_cursor_execute", note)
    since = (NOW - datetime.timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    for everywhere in ({}, {"all_projects": "true", "roles": ADMIN}):
        for path in (
            "/ifa/v1/alarms",
            f"/ifa/v1/alarms?severity=CRITICAL,MAJOR&raised_after={since}",
            "/ifa/v1/alarms?managed_object=vm-30",
            "/vnffm/v1/alarms",
            f"/vnffm/v1/alarms?filter=(eq,perceivedSeverity,CLEARED);(gte,alarmRaisedTime,{since})",
        ):
            assert api.get(path, **everywhere).status_code == 200
    for path in (f"/ifa/v1/alarms/{one}", f"/ifa/v1/alarms/{one}/history"):
        assert api.get(path).status_code == 200
    sa.event.remove(opened.engine, "before_cursor_execute", note)
    assert len(asked) > 30
    whole = [(found, statement) for statement, values in asked for found in scans(opened, statement, values)]
    assert whole == []
