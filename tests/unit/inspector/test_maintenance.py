"""What admin tools report of planned maintenance, and which servers each report affects: by table."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eventalarm.catalogue import fault_files
from eventalarm.inspector import maintenance_events
from eventalarm.inspector.maintenance import (
    SessionReport,
    apply_host,
    apply_session,
    read_host,
    read_list,
    read_session,
)
from eventalarm.model import UTC, Event, MaintenanceSession, Resource, ResourceKind
from eventalarm.model.maintenance import HostReport

RECEIVED = datetime.datetime(2026, 11, 27, 10, tzinfo=UTC)
AT = datetime.datetime(2026, 11, 27, 9, tzinfo=UTC)
LINK = "http://0.0.0.0:12347/v1/maintenance/s-1/p"
MINUTE = datetime.timedelta(minutes=1)


def event(event_type: str, minutes: int = 0, message_id: str = "", **traits: Any) -> Event:
    return Event.parse(
        {
            "message_id": message_id or f"m-{minutes}",
            "event_type": event_type,
            "generated": (AT + minutes * MINUTE).replace(tzinfo=None).isoformat(),
            "traits": [[name, 1, value] for name, value in traits.items()],
        }
    )


def session(state: str, minutes: int = 0, ids: str = LINK, **traits: Any) -> SessionReport:
    values = {"session_id": "s-1", "state": state, "reply_url": LINK, "instance_ids": ids, **traits}
    found = read_session(event("maintenance.scheduled", minutes, **values), "p", RECEIVED)
    assert found is not None
    return found


def server(name: str, host: str = "c0", project: str = "p") -> Resource:
    return Resource(ResourceKind.SERVER, name, AT, project_id=project, host=host, host_at=AT)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['vm-1', 'vm-2']", ("vm-1", "vm-2")),
        ("[u'vm-1']", ("vm-1",)),
        ('["vm-1", "vm-2"]', ("vm-1", "vm-2")),
        ("vm-1", ("vm-1",)),
        ("[]", ()),
        ("", ()),
        # Ceilometer cuts texts at 255 characters.
        ("['vm-1', 'vm-2', 'v", None),
    ],
)
def test_lists(text: str, items: tuple[str, ...] | None) -> None:
    assert read_list(text) == items


@pytest.mark.parametrize(
    ("reply_at", "actions_at", "due"),
    [
        ("2026-11-27 09:05:00", "2026-11-27 12:00:00", 5),
        (None, "2026-11-27 09:02:00", 2),
        # Fenix computes the deadline backwards.
        ("2026-11-27 08:58:00", "2026-11-27 12:00:00", 2),
        ("2026-11-01 00:00:00", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_deadlines(reply_at: str | None, actions_at: str | None, due: int | None) -> None:
    """Fails when a deadline that Fenix put into the past is taken literally: all were overdue."""
    traits: dict[str, Any] = {"reply_at": reply_at, "actions_at": actions_at}
    found = session("MAINTENANCE", **{name: text for name, text in traits.items() if text})
    assert found.due_at == (None if due is None else AT + due * MINUTE)


def test_a_report_about_a_server_expects_no_answer() -> None:
    found = session("INSTANCE_ACTION_DONE", ids="vm-1", actions_at="2026-11-27 09:02:00")
    assert (found.due_at, found.reply_url, found.instance_ids) == (None, "", ("vm-1",))


def play(*reports: tuple[SessionReport, list[Resource]]) -> MaintenanceSession:
    found: MaintenanceSession | None = None
    for report, servers in reports:
        found = apply_session(report, found, servers)
    assert found is not None
    return found


def statuses(found: MaintenanceSession) -> dict[str, str]:
    return {one.instance_id: one.status.value for one in found.instances}


def test_a_session_from_its_announcement_to_its_end() -> None:
    everything = [server("vm-1"), server("vm-2")]
    announced = session("MAINTENANCE", 0, actions_at="2026-11-27 12:00:00")
    planned = session("PLANNED_MAINTENANCE", 1)
    done = session("INSTANCE_ACTION_DONE", 2, ids="vm-1")
    reports = [(announced, everything), (planned, everything), (done, [server("vm-1", "c1")])]
    found = play(*reports)
    assert statuses(found) == {"vm-1": "complete", "vm-2": "planned"}
    assert found.state == "PLANNED_MAINTENANCE", "the report about a server is no state of the session"
    # vm-1 is taken up again only if a report names it.
    assert statuses(play(*reports, (session("PLANNED_MAINTENANCE", 3), everything)))["vm-1"] == "complete"
    named = session("PLANNED_MAINTENANCE", 3, ids="['vm-1']")
    assert statuses(play(*reports, (named, [server("vm-1")])))["vm-1"] == "planned"
    over = session("MAINTENANCE_COMPLETE", 4)
    found = play(*reports, (over, everything))
    assert statuses(found) == {"vm-1": "complete", "vm-2": "complete"}
    (event_of_end,) = maintenance_events.instance_events(found, over.message_id)
    traits = {name: value for name, _, value in event_of_end["traits"]}
    assert (traits["resource_id"], traits["status"]) == ("vm-2", "complete")
    assert traits["anticipated_time"] == "2026-11-27T12:00:00"
    assert found.expected_answers == ("ACK_MAINTENANCE_COMPLETE", "NACK_MAINTENANCE_COMPLETE")


def test_repeated_and_late_reports_change_nothing() -> None:
    first, second = session("MAINTENANCE", 0), session("MAINTENANCE_COMPLETE", 1)
    servers = [server("vm-1")]
    once = play((first, servers), (second, servers))
    assert play((first, servers), (second, servers), (second, servers)) == once
    assert play((first, servers), (second, servers), (first, servers)) == once
    (end,) = maintenance_events.instance_events(once, second.message_id)
    assert end["generated"] == "2026-11-27T09:01:00"


def test_an_end_that_arrives_first_leaves_no_server_planned() -> None:
    """As when two inspectors handle both reports. Fails if the older report plans servers: no end follows."""
    begin, end = session("MAINTENANCE", 0), session("MAINTENANCE_COMPLETE", 1)
    assert statuses(play((end, []), (begin, [server("vm-1")]))) == {}
    again = session("MAINTENANCE", 2)
    assert statuses(play((end, []), (again, [server("vm-1")]))) == {"vm-1": "planned"}


def host_report(state: str, minutes: int, host: str = "c0", **traits: str) -> HostReport:
    one = event("maintenance.host", minutes, host=host, state=state, session_id="s-1", **traits)
    found = read_host(one, RECEIVED)
    assert found is not None
    return found


def test_the_end_of_a_host_that_arrives_first_leaves_no_server_planned() -> None:
    servers = [server("vm-1")]
    known = {"": apply_host(host_report("MAINTENANCE_COMPLETE", 1), {}, servers)[0]}
    assert [one.project_id for one in apply_host(host_report("IN_MAINTENANCE", 0), known, servers)] == [""]
    _, of_project = apply_host(host_report("IN_MAINTENANCE", 2), known, servers)
    assert statuses(of_project) == {"vm-1": "planned"}


def test_a_host_affects_the_owners_of_its_servers() -> None:
    servers = [server("vm-1"), server("vm-2", project="q")]
    report = host_report
    known: dict[str, MaintenanceSession] = {}
    for said in (
        report("PLANNED_MAINTENANCE", 0, starts_at="2026-11-27T12:00:00"),
        report("IN_MAINTENANCE", 1),
    ):
        known |= {one.project_id: one for one in apply_host(said, known, servers)}
    assert {name: one.state for name, one in known.items()} == dict.fromkeys(("", "p", "q"), "IN_MAINTENANCE")
    assert statuses(known["q"]) == {"vm-2": "planned"}
    # The end of another host of the session changes no project; this one ends it, wherever the servers are.
    assert [one.project_id for one in apply_host(report("MAINTENANCE_COMPLETE", 2, "c9"), known, [])] == [""]
    known |= {
        one.project_id: one for one in apply_host(report("MAINTENANCE_COMPLETE", 3), known, [server("vm-9")])
    }
    assert statuses(known["p"]) == {"vm-1": "complete"}
    assert known["p"].state == "MAINTENANCE_COMPLETE"
    late = apply_host(report("IN_MAINTENANCE", 2), known, servers)
    assert {one.project_id: statuses(one) for one in late if one.project_id} == {
        "p": {"vm-1": "complete"},
        "q": {"vm-2": "complete"},
    }


def test_the_copy_for_administrators_has_no_project() -> None:
    """Fenix names its own project, by its name."""
    body = event("maintenance.host", host="c0", state="IN_MAINTENANCE", project_id="admin").body
    copy = maintenance_events.unowned_copy(body)
    assert {name for name, *_ in copy["traits"]} == {"host", "state"}
    assert copy["message_id"] != body["message_id"]


@pytest.mark.parametrize("event_type", ["maintenance.instance", "maintenance.unanswered"])
def test_what_announces_a_maintenance_is_not_inhibited_by_it(event_type: str) -> None:
    fault = fault_files.load().find(event_type)
    assert fault is not None
    assert fault.never_inhibited
