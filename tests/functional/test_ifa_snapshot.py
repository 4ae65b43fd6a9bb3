"""Every response of the IFA API shows one moment, although alarms change between its statements."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import ALARM, UNKNOWN, UTC
from eventalarm.storage import database as storage
from tests.support.builders import event_body, rule
from tests.support.ifa_api import IfaApi

IFA = "/ifa/v1/alarms"
EVERY_STATE = "?state=FIRED,UPDATED,CLEARED"
FAULTS = "/vnffm/v1/alarms"
SERVERS = ("vm-1", "vm-2", "vm-3")
FLIPS = 40


@pytest.fixture
def opened(our_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    if our_database_url.startswith("sqlite"):
        # As in eventalarm-standalone: readers and the writer do not wait for each other.
        with contextlib.closing(sqlite3.connect(our_database_url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    result = storage.connect(our_database_url)
    yield result
    result.dispose()


class World:
    """Servers that fail and recover at every read."""

    def __init__(self, database: storage.Database) -> None:
        self.api = IfaApi(database)
        self.database = database
        self.failed = dict.fromkeys(SERVERS, False)
        self.alarm_ids = {
            server: self.api.alarm(
                rule(instance_id=server, state="error"),
                severity="critical",
                state=UNKNOWN,
                ok_actions=["http://ok"],
            )
            for server in SERVERS
        }

    def flip(self, *servers: str) -> None:
        """Let every working server fail, and every failed one recover."""
        for server in servers or SERVERS:
            self.failed[server] = not self.failed[server]
            now = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
            state = "error" if self.failed[server] else "active"
            self.api.engine.process(event_body(instance_id=server, generated=now, state=state))


@contextlib.contextmanager
def between_statements(database: storage.Database, act: Callable[[], None]) -> Iterator[None]:
    """Call *act* before every statement that the block reads with."""
    thread, acting = threading.get_ident(), False

    def before(*arguments: Any) -> None:
        nonlocal acting
        if acting or threading.get_ident() != thread or not arguments[2].startswith("SELECT"):
            return
        acting = True
        try:
            act()
        finally:
            acting = False

    sa.event.listen(database.engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", before)


def assert_was_so(alarm: dict[str, Any]) -> None:
    """Fail unless the alarm is shown as raised or as cleared."""
    if alarm["perceivedSeverity"] == "CLEARED":
        assert alarm["alarmRaisedTime"] < alarm["alarmClearedTime"] == alarm["alarmChangedTime"]
    else:
        assert alarm["perceivedSeverity"] == "CRITICAL"
        assert "alarmChangedTime" not in alarm
        assert alarm.get("state", "FIRED") == "FIRED"


@pytest.mark.parametrize("path", [IFA, FAULTS])
def test_one_alarm_is_shown_only_in_states_that_existed(opened: storage.Database, path: str) -> None:
    world = World(opened)
    alarm_id = world.alarm_ids["vm-1"]
    seen = set()
    with between_statements(opened, lambda: world.flip("vm-1")):
        for _ in range(6):
            answer = world.api.get(f"{path}/{alarm_id}")
            if answer.status_code == 200:
                assert_was_so(answer.json)
                seen.add(answer.json["perceivedSeverity"])
    assert seen


@pytest.mark.parametrize("path", [IFA + EVERY_STATE, FAULTS])
def test_a_listing_holds_every_alarm_once(opened: storage.Database, path: str) -> None:
    world = World(opened)
    world.flip()
    with between_statements(opened, world.flip):
        for _ in range(4):
            found = world.api.get(path).json
            assert sorted(one["managedObjectId"] for one in found) == sorted(SERVERS)
            for one in found:
                assert_was_so(one)


def test_a_history_has_no_gaps(opened: storage.Database) -> None:
    world = World(opened)
    alarm_id = world.alarm_ids["vm-1"]
    world.flip("vm-1")
    with between_statements(opened, lambda: world.flip("vm-1")):
        for _ in range(4):
            entries = world.api.get(f"{IFA}/{alarm_id}/history").json
            kinds = [entry["kind"] for entry in entries]
            assert kinds == (["raised", "cleared"] * len(kinds))[: len(kinds)]


def test_alarms_that_aodh_evaluates_are_read_at_one_moment(opened: storage.Database) -> None:
    world = World(opened)
    rule_of_threshold = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-t"}
    kind = "gnocchi_resources_threshold"
    alarm_id = world.api.alarm(rule_of_threshold, type=kind, state=UNKNOWN, severity="critical")

    def change() -> None:
        # In one transaction, so that no reader can see half of it.
        state = "ok" if world.failed["vm-1"] else ALARM
        world.failed["vm-1"] = not world.failed["vm-1"]
        with opened.begin() as connection:
            now = datetime.datetime.now(UTC)
            world.api.write_state(connection, alarm_id, state, now)

    with between_statements(opened, change):
        for _ in range(6):
            answer = world.api.get(f"{FAULTS}/{alarm_id}")
            if answer.status_code == 200:
                assert_was_so(answer.json)
            found = [one for one in world.api.get(FAULTS).json if one["id"] == alarm_id]
            assert len(found) == 1
            assert_was_so(found[0])


def test_pollers_see_only_states_that_existed(opened: storage.Database) -> None:
    world = World(opened)
    world.flip()
    stop = threading.Event()
    wrong: list[Any] = []

    def poll(path: str) -> None:
        try:
            while not stop.is_set():
                found = world.api.get(path).json
                assert sorted(one["managedObjectId"] for one in found) == sorted(SERVERS)
                for one in found:
                    assert_was_so(one)
        except AssertionError as exc:
            wrong.append(exc)
        finally:
            opened.leave()

    threads = [threading.Thread(target=poll, args=(path,)) for path in (IFA + EVERY_STATE, FAULTS)]
    for thread in threads:
        thread.start()
    for _ in range(FLIPS):
        world.flip()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
