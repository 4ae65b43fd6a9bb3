"""Every statement for a page of alarms uses an index, whatever the number of rows."""

from __future__ import annotations

import datetime
import json
import string
from collections.abc import Collection, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.support.builders import PROJECT, rule
from tests.support.engine_harness import ALARM_TABLE, alarm_row
from tests.support.ifa_api import ADMIN, IfaApi

WRITTEN = 1000
# PostgreSQL uses an index only if it reads far less than the whole table.
DOUBLINGS, MORE = 3, 6
LARGE = {"alarm", "eventalarm_occurrence"}
FEW = 10
NOW = datetime.datetime.now(UTC)
LISTED = {
    ALARM_TABLE: ("alarm_id",),
    tables.occurrence: ("occurrence_id", "alarm_id", "managed_object"),
    tables.transition: ("transition_id", "occurrence_id", "alarm_id", "managed_object", "message_id"),
    tables.alarm_history: ("event_id", "alarm_id"),
}
MYSQL = ("mysql", "mariadb")
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN"}


def fill(opened: storage.Database) -> str:
    """Store enough alarms of many projects for indexes to pay off; return one of ours."""
    rows = [_about(number) for number in range(WRITTEN)]
    with opened.engine.begin() as connection:
        for table, names in LISTED.items():
            connection.execute(sa.insert(table), [row[table] for row in rows])
            large = opened.dialect == "postgresql" and table.name in LARGE
            for statement in _copy(table, names, MORE if large else DOUBLINGS):
                connection.execute(statement)
        for table in LISTED if opened.dialect in MYSQL else ():
            connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()
    if opened.dialect not in MYSQL:
        with opened.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
    return "0".zfill(36)


def _about(number: int) -> dict[sa.Table, dict[str, Any]]:
    """Return the rows of one alarm, by table."""
    alarm_id, at = str(number).zfill(36), NOW - datetime.timedelta(seconds=number * 10)
    raised = number % 10 == 0
    project = PROJECT if number % 30 < 2 else f"project-{number % 50}"
    same = {"alarm_id": alarm_id, "project_id": project}
    occurrence = {**same, "managed_object": f"vm-{number:033}", "occurrence_id": alarm_id, "event_time": at}
    over = None if raised else at
    times = {"raised_at": at, "changed_at": over, "cleared_at": over}
    transition = {"kind": "raised", "message_id": alarm_id, "severity": "low", "recorded_at": at}
    texts = dict.fromkeys(("alarm_name", "previous", "current", "reason", "event_type"), "x")
    return {
        tables.occurrence: {**occurrence, **times, "raised": raised, "latest": True, "hits": 1},
        tables.transition: {
            **occurrence,
            **transition,
            **texts,
            "transition_id": alarm_id,
            "event": json.dumps({}),
        },
        tables.alarm_history: {
            **same,
            "event_id": alarm_id,
            "type": "creation",
            "timestamp": at,
            "detail": "{}",
        },
        ALARM_TABLE: alarm_row(
            alarm_id,
            rule=rule(instance_id=f"vm-{number:033}"),
            description="x" * 800,
            project_id=project,
            state="alarm" if raised else "ok",
            type="event" if number % 3 else "gnocchi_resources_threshold",
        ),
    }


def _copy(table: sa.Table, names: Collection[str], doublings: int) -> Iterator[sa.Insert]:
    """Double the rows repeatedly, with other *names*, inside the database."""
    for suffix in string.ascii_lowercase[:doublings]:
        copied = [
            sa.func.substr(c, 2).concat(suffix).label(c.name) if c.name in names else c for c in table.c
        ]
        chosen = sa.select(*copied)
        yield sa.insert(table).from_select([c.name for c in table.c], chosen, include_defaults=False)


def scans(opened: storage.Database, statement: str, parameters: Any) -> list[str]:
    """Return the tables that a statement scans completely, according to the database's own plan."""
    with opened.engine.connect() as connection:
        if opened.dialect == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return [row[3] for row in plan if row[3].startswith("SCAN") and _whole(row[3])]
        if opened.dialect == "postgresql":
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
            # An almost empty table is cheaper to scan.
            return [row[0] for row in plan if "Seq Scan" in row[0] and _whole(row[0])]
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
        whole = [row for row in rows if row["type"] == "ALL" and row["table"][0] != "<"]
        return [str(dict(row)) for row in whole if int(row["rows"] or 0) > FEW]


def _whole(plan_line: str) -> bool:
    return " USING " not in plan_line and any(table.name in plan_line.split() for table in LISTED)


@pytest.fixture
def opened(our_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(our_database_url)
    yield result
    result.dispose()


def asked_of(opened: storage.Database) -> list[tuple[str, Any]]:
    """Return a list to which each further SELECT on our tables is added, with its parameters."""
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        if arguments[2].startswith("SELECT") and "eventalarm" in arguments[2]:
            asked.append((arguments[2], arguments[3]))

    sa.event.listen(opened.engine, "before_cursor_execute", note)
    return asked


def test_no_page_reads_a_table_as_a_whole(opened: storage.Database) -> None:
    one = fill(opened)
    api = IfaApi(opened)
    asked = asked_of(opened)
    since = (NOW - datetime.timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    for everywhere in ({}, {"all_projects": "true", "roles": ADMIN}):
        for path in (
            "/ifa/v1/alarms",
            f"/ifa/v1/alarms?severity=CRITICAL,MAJOR&raised_after={since}",
            f"/ifa/v1/alarms?managed_object=vm-{30:033}",
            "/vnffm/v1/alarms",
            f"/vnffm/v1/alarms?filter=(eq,perceivedSeverity,CLEARED);(gte,alarmRaisedTime,{since})",
            f"/vnffm/v1/alarms?filter=(eq,id,{one})",
            "/vnffm/v1/alarms?filter=(eq,eventType,EQUIPMENT_ALARM);(eq,ackState,ACKNOWLEDGED)",
            "/ifa/v1/resources?limit=20",
            f"/ifa/v1/resources?managed_object=vm-{30:033}",
            "/ifa/v1/history?limit=20",
            f"/ifa/v1/history?since={since}&limit=5",
        ):
            answer = api.get(path, **everywhere)
            assert answer.status_code == 200
            if marker := answer.headers.get("x-eventalarm-marker"):
                follow = {"nextpage_opaque_marker": marker, "limit": 5, **everywhere}
                assert api.get("/ifa/v1/history", **follow).status_code == 200
    for name in (f"alarms/{one}", f"alarms/{one}/history", f"resources/vm-{30:033}"):
        path = f"/ifa/v1/{name}"
        assert api.get(path).status_code == 200
    asked = asked[:]
    assert len(asked) > 30
    whole = [(found, statement) for statement, values in asked for found in scans(opened, statement, values)]
    assert whole == []


def test_a_page_of_the_history_of_a_project_is_a_range_of_its_index(opened: storage.Database) -> None:
    fill(opened)
    api = IfaApi(opened)
    asked = asked_of(opened)
    since = (NOW - datetime.timedelta(minutes=50)).isoformat().replace("+00:00", "Z")
    assert api.get("/ifa/v1/history", since=since, limit=5).status_code == 200
    pages = [(text, values) for text, values in asked if "ORDER BY eventalarm_transition.recorded_at" in text]
    ((text, values),) = pages
    with opened.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"{EXPLAIN.get(opened.dialect, 'EXPLAIN')} {text}", values).all()
    assert "ix_eventalarm_transition_project" in str(plan)
