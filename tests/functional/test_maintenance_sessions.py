"""Maintenance sessions on a database: their servers, events that are published again, and overdue answers."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from eventalarm.inspector.sessions import SessionTracker
from eventalarm.metrics import Metrics
from eventalarm.model import Event, JSONDict, MaintenanceAnswer, Resource, ResourceKind, make_body
from eventalarm.owner import Owners
from eventalarm.storage import database as storage
from eventalarm.storage.maintenance_sessions import ANSWERS_KEPT, MaintenanceSessions
from eventalarm.storage.resource_map import ResourceMap

NOW = datetime.datetime(2026, 11, 27, 9, tzinfo=datetime.UTC)


class Killed(BaseException):
    """Ends the process after the broker has confirmed the events."""


class Tracked:
    """A tracker on a real database; what it publishes is kept here."""

    def __init__(self, database: storage.Database) -> None:
        self.published: list[JSONDict] = []
        self.killed = False
        self.sessions = MaintenanceSessions(database)
        resources = ResourceMap(database)
        owners = {"vm-1": "a", "vm-2": "a", "vm-3": "b"}
        hosts = {"vm-1": "c1", "vm-2": "c2", "vm-3": "c1"}
        resources.apply(
            Resource(ResourceKind.SERVER, name, NOW, project_id=owners[name], host=hosts[name], host_at=NOW)
            for name in owners
        )
        self.tracker = SessionTracker(
            resources,
            self.sessions,
            owners=Owners(["project_id", "tenant_id"]),
            publish=self._publish,
            metrics=Metrics(),
        )

    def _publish(self, events: Sequence[JSONDict]) -> None:
        self.published.extend(events)
        if self.killed:
            raise Killed

    def process(self, event_type: str, number: int, **traits: str) -> list[dict[str, Any]]:
        """Handle an event of minute *number*, and return the traits of what is published."""
        at = NOW + datetime.timedelta(minutes=number)
        body = make_body(
            f"m-{number}",
            event_type,
            at.replace(tzinfo=None).isoformat(),
            ((n, 1, v) for n, v in traits.items()),
        )
        before = len(self.published)
        self.tracker.process([Event.parse(body)], at)
        return [{name: value for name, _, value in one["traits"]} for one in self.published[before:]]

    def check(self, number: int) -> list[str]:
        """Look for overdue answers in minute *number*, and return the status of each event."""
        before = len(self.published)
        self.tracker.check_answers(NOW + datetime.timedelta(minutes=number))
        return [{t[0]: t[2] for t in one["traits"]}["status"] for one in self.published[before:]]

    def killed_while_checking(self, number: int) -> None:
        """Look for overdue answers, until SIGKILL after the first event."""
        self.killed = True
        with pytest.raises(Killed):
            self.check(number)
        self.killed = False


@pytest.fixture
def tracked(our_sqlite_url: str) -> Iterator[Tracked]:
    opened = storage.connect(our_sqlite_url)
    yield Tracked(opened)
    opened.dispose()


SCHEDULED = {"project_id": "a", "session_id": "s-1", "state": "MAINTENANCE", "reply_url": "http://tool/a"}
LINK = {**SCHEDULED, "instance_ids": "http://tool/a"}


def servers(published: list[dict[str, Any]]) -> list[str]:
    return sorted(one["resource_id"] for one in published)


def test_the_servers_of_a_session_are_those_named_or_those_on_its_hosts(tracked: Tracked) -> None:
    """Red when a tool can name a server of another project, and without the resource map."""
    named = {**SCHEDULED, "instance_ids": "['vm-2', 'vm-3', 'unknown']"}
    assert servers(tracked.process("maintenance.scheduled", 1, **named)) == ["unknown", "vm-2"]
    other = {**LINK, "session_id": "s-2"}
    assert servers(tracked.process("maintenance.scheduled", 2, **other)) == ["vm-1", "vm-2"]
    host = {"host": "c1", "state": "IN_MAINTENANCE", "session_id": "s-3"}
    assert servers(tracked.process("maintenance.host", 3, **host)) == ["vm-1", "vm-3"]
    on_host = {**LINK, "session_id": "s-3"}
    assert servers(tracked.process("maintenance.scheduled", 4, **on_host)) == ["vm-1"]
    copies = tracked.process("maintenance.host", 5, host="c9", state="IN_MAINTENANCE", project_id="admin")
    assert [(one["host"], one.get("project_id")) for one in copies] == [("c9", None)]


def test_a_report_that_is_delivered_again_publishes_the_same_events(tracked: Tracked) -> None:
    first = tracked.process("maintenance.scheduled", 1, **LINK)
    ids = [one["message_id"] for one in tracked.published]
    assert tracked.process("maintenance.scheduled", 1, **LINK) == first
    assert [one["message_id"] for one in tracked.published[len(ids) :]] == ids


def test_an_overdue_answer_is_reported_once_for_each_state(tracked: Tracked) -> None:
    """Red when a state without a deadline is overdue, when one is reported twice, and when none ends."""
    tracked.process("maintenance.scheduled", 1, **LINK, reply_at="2026-11-27 09:05:00")
    assert [tracked.check(number) for number in (4, 5, 6)] == [[], ["unanswered"], []]
    done = {**SCHEDULED, "state": "INSTANCE_ACTION_DONE", "instance_ids": "vm-1"}
    tracked.process("maintenance.scheduled", 7, **done)
    assert tracked.check(8) == []
    following = {**LINK, "state": "MAINTENANCE_COMPLETE", "actions_at": "2026-11-27 09:20:00"}
    tracked.process("maintenance.scheduled", 10, **following)
    assert [tracked.check(number) for number in (11, 12, 20, 21)] == [["answered"], [], ["unanswered"], []]
    overdue = [one for one in tracked.published if one["event_type"] == "maintenance.unanswered"]
    assert len({one["message_id"] for one in overdue}) == 3


def test_an_overdue_answer_ends_also_after_a_kill(tracked: Tracked) -> None:
    """SIGKILL between publishing and recording that. Fails if only recorded alarms are cleared."""
    tracked.process("maintenance.scheduled", 1, **LINK, reply_at="2026-11-27 09:05:00")
    tracked.killed_while_checking(6)
    session = tracked.sessions.get("s-1", "a")
    assert session is not None
    at = NOW + datetime.timedelta(minutes=7)
    tracked.sessions.record_answer(session, MaintenanceAnswer("ACK_MAINTENANCE", "u", at, 200))
    assert [tracked.check(number) for number in (8, 9)] == [["answered"], []]
    following = {**LINK, "state": "PLANNED_MAINTENANCE", "reply_at": "2026-11-27 09:15:00"}
    tracked.process("maintenance.scheduled", 10, **following)
    tracked.killed_while_checking(16)
    tracked.process("maintenance.scheduled", 17, **{**SCHEDULED, "state": "MAINTENANCE_COMPLETE"})
    assert [tracked.check(number) for number in (18, 19)] == [["answered"], []]
    overdue = [one for one in tracked.published if one["event_type"] == "maintenance.unanswered"]
    assert len({one["message_id"] for one in overdue}) == 4


def test_a_session_keeps_its_newest_answers(tracked: Tracked) -> None:
    tracked.process("maintenance.scheduled", 1, **LINK)
    session = tracked.sessions.get("s-1", "a")
    assert session is not None
    full = tuple(MaintenanceAnswer(f"ACK_{number}", "u", NOW, 200) for number in range(ANSWERS_KEPT))
    tracked.sessions.update("s-1", lambda known: [dataclasses.replace(session, answers=full)])
    tracked.sessions.record_answer(session, MaintenanceAnswer("NACK_MAINTENANCE", "u", NOW, 200))
    found = tracked.sessions.get("s-1", "a")
    assert found is not None
    assert [one.state for one in found.answers[-2:]] == ["ACK_99", "NACK_MAINTENANCE"]
    assert len(found.answers) == ANSWERS_KEPT


def test_sessions_that_lie_ahead_are_not_forgotten(tracked: Tracked) -> None:
    """Fails if one that was announced long before is forgotten: its end would clear nobody's alarm."""
    host = {"host": "c1", "session_id": "s-2", "starts_at": "2026-12-24 06:00:00"}
    tracked.process("maintenance.scheduled", 1, **LINK, actions_at="2026-12-24 06:00:00")
    tracked.process("maintenance.host", 2, **host, state="PLANNED_MAINTENANCE")
    month = datetime.timedelta(days=30)
    for later, known in ((NOW + datetime.timedelta(days=8), True), (NOW + month, False)):
        tracked.sessions.forget(later)
        found = [tracked.sessions.get(*one) for one in (("s-1", "a"), ("s-2", "a"), ("s-2", ""))]
        assert [one is not None for one in found] == [known] * 3
    tracked.process("maintenance.host", 3, **host, state="PLANNED_MAINTENANCE")
    tracked.process("maintenance.host", 4, **host, state="MAINTENANCE_COMPLETE")
    tracked.sessions.forget(NOW + datetime.timedelta(days=8))
    assert tracked.sessions.of_host("c1") == []
