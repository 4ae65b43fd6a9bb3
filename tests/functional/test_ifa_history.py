"""The histories of the IFA API: the attributes of their entries, and resynchronisation without a gap."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from eventalarm.http.responses import encode_marker
from eventalarm.ifa_shim.project_history import HistoryMarker
from eventalarm.model import UTC
from eventalarm.storage import tables
from eventalarm.storage.history import HistoryPlace
from tests.support.builders import PROJECT
from tests.support.ifa_api import ADMIN, HISTORY, IFA, IfaApi, bound, fault

MARKER = "x-eventalarm-marker"
OTHER = "project-b"
SECOND = datetime.timedelta(seconds=1)
YEAR = datetime.timedelta(days=365)


def kinds(entries: list[Any]) -> list[tuple[str, str]]:
    return [(one["managedObjectId"], one["kind"]) for one in entries]


def following(api: IfaApi, marker: str, **how: Any) -> tuple[list[Any], str]:
    """Return what a consumer gets that continues at *marker*, and the marker of its next request."""
    found: list[Any] = []
    while True:
        answer = api.get(HISTORY, nextpage_opaque_marker=marker, **how)
        assert answer.status_code == 200, answer.text
        found += answer.json
        marker = answer.headers[MARKER]
        if "link" not in answer.headers:
            return found, marker


def test_entries_have_the_attributes_that_the_alarm_had_then(api: IfaApi) -> None:
    named: dict[str, Any] = {"name": "server failed", "severity": "critical", "ok_actions": ["http://ok"]}
    alarm_id = api.alarm(bound("vm-1"), repeat_actions=True, **named)
    api.engine.process(fault("vm-1"))
    api.engine.process(fault("vm-1"))
    api.engine.process(fault("vm-1", state="active"))
    api.put(alarm_id, name="renamed", severity="low", timestamp=datetime.datetime.now(UTC))
    path = f"{IFA}/{alarm_id}/history"
    raised, repeated, cleared = api.get(path).json
    for entry in (raised, repeated, cleared):
        assert (entry["managedObjectId"], entry["projectId"]) == ("vm-1", PROJECT)
        assert (entry["faultType"], entry["probableCause"], entry["eventType"]) == (
            "compute.instance.update",
            "underlyingResourceUnavailable",
            "PROCESSING_ERROR_ALARM",
        )
        assert entry["alarmRaisedTime"] == raised["time"]
        assert "aodh.alarm_name=server failed" in entry["faultDetails"]
        assert (entry["isRootCause"], entry["correlatedAlarmId"]) == (False, [])
    assert [one["state"] for one in (raised, repeated, cleared)] == ["FIRED", "FIRED", "CLEARED"]
    severities = [one["perceivedSeverity"] for one in (raised, repeated, cleared)]
    assert severities == ["CRITICAL", "CRITICAL", "CLEARED"]
    assert [one.get("alarmClearedTime") for one in (raised, repeated, cleared)] == [
        None,
        None,
        cleared["time"],
    ]
    assert [one["kind"] for one in api.get(path, kind="cleared,raised").json] == ["raised", "cleared"]
    assert api.get(path, severity="CRITICAL", state="CLEARED").json == []
    assert api.get(path, kind="ended").status_code == 400
    # Neither an edit to another resource nor the deletion of the alarm changes what was.
    api.put(alarm_id, rule=bound("vm-9"))
    assert [one["state"] for one in api.get(HISTORY).json] == ["FIRED", "FIRED", "CLEARED"]
    api.delete(alarm_id)
    after = api.get(HISTORY).json
    assert [one["perceivedSeverity"] for one in after] == severities
    assert {one["alarmId"] for one in after} == {alarm_id}


def test_the_history_of_a_project_continues_where_a_consumer_stopped(api: IfaApi) -> None:
    for server in ("vm-1", "vm-2", "vm-3"):
        api.alarm(bound(server), ok_actions=["http://ok"])
        api.engine.process(fault(server))
    api.alarm(bound("vm-9"), project_id=OTHER)
    api.engine.process(fault("vm-9", project=OTHER))
    api.engine.process(fault("vm-2", state="active"))
    expected = [("vm-1", "raised"), ("vm-2", "raised"), ("vm-3", "raised"), ("vm-2", "cleared")]
    first = api.get(HISTORY, limit=3)
    assert kinds(first.json) == expected[:3]
    rest, marker = following(api, first.headers[MARKER], limit=3)
    assert kinds(rest) == expected[3:]
    assert following(api, marker)[0] == []
    assert kinds(api.pages(HISTORY, limit=1)) == expected
    assert kinds(api.get(HISTORY, since=rest[0]["time"]).json) == expected[3:]
    assert kinds(api.get(HISTORY, managed_object="vm-2", kind="cleared").json) == expected[3:]
    api.engine.process(fault("vm-3", state="active"))
    assert kinds(following(api, marker)[0]) == [("vm-3", "cleared")]
    # Those of the other project are for itself and for administrators.
    assert kinds(api.get(HISTORY, project=OTHER).json) == [("vm-9", "raised")]
    assert kinds(following(api, marker, project=OTHER)[0]) == []
    assert api.get(HISTORY, all_projects="true").status_code == 403
    everything = api.get(HISTORY, all_projects="true", roles=ADMIN).json
    assert len(everything) == 6
    assert ("vm-9", "raised") in kinds(everything)


def test_a_transition_that_is_committed_late_is_not_missed(api: IfaApi) -> None:
    for server in ("vm-1", "vm-2", "vm-3"):
        api.alarm(bound(server))
    api.engine.process(fault("vm-1"))
    early = late_copy(api, "vm-2")
    with uncommitted(api, early) as commit:
        api.engine.process(fault("vm-3"))
        entries, marker = following(api, api.get(HISTORY, limit=1).headers[MARKER])
        assert kinds(entries) == [("vm-3", "raised")]
        assert following(api, marker)[0] == []
        commit()
    again, marker = following(api, marker)
    assert "late-1" in [one["id"] for one in again]
    known = {one["id"] for one in entries}
    assert {one["id"] for one in again} - known == {"late-1"} | {api.get(HISTORY).json[0]["id"]}
    assert following(api, marker)[0] == []


def test_a_history_is_read_from_its_beginning_but_not_continued_after_a_gap(api: IfaApi) -> None:
    for server in ("vm-1", "vm-2", "vm-3"):
        api.alarm(bound(server), ok_actions=["http://ok"])
        api.engine.process(fault(server))
    # The transitions of raised alarms are kept, whatever their age.
    column = tables.transition.c.recorded_at
    with api.database.engine.begin() as connection:
        (at, *_) = sorted(connection.execute(sa.select(column)).scalars())
        connection.execute(sa.update(tables.transition).where(column > at).values(recorded_at=at - YEAR))
    assert {server for server, _ in kinds(api.pages(HISTORY, limit=1))} == {"vm-1", "vm-2", "vm-3"}
    place = HistoryPlace(at - YEAR)
    old = HistoryMarker(place, place, 0, at - YEAR)
    refused = api.get(HISTORY, nextpage_opaque_marker=encode_marker(old.value))
    assert (refused.status_code, "read /ifa/v1/alarms" in refused.json["detail"]) == (400, True)


def late_copy(api: IfaApi, server: str) -> dict[str, Any]:
    """Return the row of a transition about *server* that was recorded just now."""
    with api.database.read() as connection:
        row = dict(connection.execute(sa.select(tables.transition)).mappings().one())
    changed = {"transition_id": "late-1", "occurrence_id": "late-1", "message_id": "late-1"}
    return row | changed | {"managed_object": server, "recorded_at": row["recorded_at"] + SECOND / 1000}


@contextlib.contextmanager
def uncommitted(api: IfaApi, row: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """Write a transition in a transaction that stays open until it is told to commit.

    On SQLite, where writers wait for each other, it is written only then.
    """
    write = sa.insert(tables.transition)
    with api.database.engine.connect() as connection:
        if api.database.dialect != "sqlite":
            connection.execute(write, row)

        def commit() -> None:
            if api.database.dialect == "sqlite":
                connection.execute(write, row)
            connection.commit()

        yield commit
