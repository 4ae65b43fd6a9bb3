"""Alarms of hosts in maintenance, on every database: recorded, not notified, released at the end."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
import sqlalchemy as sa

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.release import InhibitionRelease
from eventalarm.model import ALARM, OK, UTC, Transition
from eventalarm.storage import inhibitions, tables
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction
from tests.support.builders import event_body, rule
from tests.support.engine_harness import (
    EngineHarness,
    RecordingEnqueuer,
    alarm_row,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    read_table,
    transitions,
)
from tests.support.maintenance import Maintenance
from tests.support.timers import Listener, make_due, notification_alarm

GROUPED: dict[str, Any] = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["resource_id", "agent"],
}


class Site:
    """One listener on a database, with hosts in maintenance."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.database = database
        self.maintenance = Maintenance(database)
        self.engine = EngineHarness(database, **options)
        self.enqueuer = RecordingEnqueuer()
        self.outcomes: list[dict[str, int]] = []
        self.release = self.another_release()

    def another_release(self) -> InhibitionRelease:
        """Return what another listener runs."""
        return InhibitionRelease(
            self.database,
            cast(OutboxEnqueuer, self.enqueuer),
            report=lambda outcomes: self.outcomes.append(dict(outcomes)),
            monotonic=lambda: 1e9 + len(self.outcomes),
        )

    def tell(self, state: str, vm: str = "vm-1", **traits: Any) -> None:
        moment = datetime.datetime.now(UTC)
        self.engine.process(event_body(state=state, resource_id=vm, generated=moment, **traits))

    def sent(self) -> list[tuple[str, str]]:
        """Return the (state, managed object) of what the engine notified."""
        return [(one.current, one.managed_object) for one in self.engine.sent]

    def released(self, *, times: int = 1) -> list[tuple[str, str]]:
        """Release what is due, and return the (state, managed object) of what was notified by that."""
        before = len(self.enqueuer.sent)
        for _ in range(times):
            self.release._next = 0.0
            self.release.run_once()
        return [(one.current, one.managed_object) for one in self.enqueuer.sent[before:]]


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def site(database: Database) -> Site:
    made = Site(database)
    made.maintenance.place("c0", ["vm-1", "vm-2"])
    return made


def on_vm(database: Database, vm: str = "vm-1", **columns: Any) -> str:
    row = alarm_row(rule=rule(resource_id=vm, state="error"), **{"ok_actions": ["http://ok"], **columns})
    insert_alarms(database, row)
    return str(row["alarm_id"])


def test_an_alarm_is_recorded_and_notified_at_the_end(site: Site, database: Database) -> None:
    """Fails if the raise is notified during the maintenance, or at its end never or twice."""
    alarm_id = on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    assert site.sent() == []
    (recorded,) = transitions(database)
    assert (recorded["kind"], recorded["inhibited_by"], recorded["current"]) == ("raised", "s-1", ALARM)
    assert read_alarm(database, alarm_id)["state"] == ALARM
    assert site.released() == []
    site.maintenance.end("c0")
    assert site.released(times=3) == [(ALARM, "vm-1")]
    (notified,) = site.enqueuer.sent
    assert notified.transition_id == recorded["transition_id"]
    assert (notified.previous, notified.actions, notified.inhibited_by) == (OK, ("http://alarm",), "s-1")
    (kept,) = occurrences(database)
    assert (kept["raised"], kept["inhibited_by"], kept["raise_inhibited"]) == (True, None, False)
    assert transitions(database)[0]["inhibited_by"] == "s-1"
    site.tell("active")
    assert site.sent() == [(OK, "vm-1")]


def test_what_cleared_meanwhile_is_never_notified(site: Site, database: Database) -> None:
    on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    site.tell("active")
    site.maintenance.end("c0")
    assert (site.sent(), site.released(times=2)) == ([], [])
    assert [row["inhibited_by"] for row in transitions(database)] == ["s-1", "s-1"]
    site.tell("error")
    assert site.sent() == [(ALARM, "vm-1")]


def test_the_clear_of_an_earlier_alarm_is_notified(site: Site, database: Database) -> None:
    on_vm(database)
    site.tell("error")
    site.maintenance.begin("c0")
    site.tell("active")
    assert site.sent() == [(ALARM, "vm-1"), (OK, "vm-1")]
    assert site.released() == []


def test_repetitions_are_held_back_and_notified_once(site: Site, database: Database) -> None:
    """Fails if a further match during the maintenance calls the actions, or the last one is lost."""
    on_vm(database, repeat_actions=True)
    site.tell("error")
    site.maintenance.begin("c0")
    site.tell("error")
    site.tell("error")
    assert site.sent() == [(ALARM, "vm-1")]
    site.maintenance.end("c0")
    assert site.released(times=2) == [(ALARM, "vm-1")]
    assert site.enqueuer.sent[0].transition_id == transitions(database)[-1]["transition_id"]
    site.tell("active")
    assert site.sent() == [(ALARM, "vm-1"), (OK, "vm-1")]


def test_servers_elsewhere_and_migrated_ones_are_notified(site: Site, database: Database) -> None:
    """Fails if a maintenance silences other hosts, or a server that has left its host."""
    site.maintenance.place("c1", ["vm-3"])
    for vm in ("vm-1", "vm-2", "vm-3"):
        on_vm(database, vm)
    site.maintenance.begin("c0")
    site.tell("error", "vm-1")
    site.tell("error", "vm-3")
    assert site.sent() == [(ALARM, "vm-3")]
    site.maintenance.place("c1", ["vm-1", "vm-2"])
    assert site.released() == [(ALARM, "vm-1")]
    site.tell("error", "vm-2")
    assert site.sent() == [(ALARM, "vm-3"), (ALARM, "vm-2")]


def test_another_session_keeps_the_inhibition(site: Site, database: Database) -> None:
    on_vm(database)
    site.maintenance.begin("c0")
    site.maintenance.begin("c0", "s-2")
    site.tell("error")
    site.maintenance.end("c0")
    assert site.released() == []
    site.maintenance.end("c0", "s-2")
    assert site.released() == [(ALARM, "vm-1")]


def test_a_maintenance_that_nobody_ends_expires(site: Site, database: Database) -> None:
    """Fails if alarms stay silent forever because the inspector is gone."""
    on_vm(database)
    on_vm(database, "vm-2")
    site.maintenance.begin("c0")
    site.tell("error")
    site.maintenance.expire()
    assert site.released() == [(ALARM, "vm-1")]
    site.tell("error", "vm-2")
    assert site.sent() == [(ALARM, "vm-2")]


def test_two_listeners_release_once(site: Site, database: Database) -> None:
    """Fails if a listener releases what another has released since it looked."""
    on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    site.maintenance.end("c0")
    with database.read() as connection:
        found = inhibitions.due(connection, "", 10)
    site.release.release(found)
    site.another_release().release(found)
    assert len(site.enqueuer.sent) == 1


def test_an_alarm_that_another_session_keeps_locked_delays_no_other(site: Site, database: Database) -> None:
    """Fails if a release waits for a row that belongs to an alarm which is locked elsewhere."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no row locks")
    first, second = on_vm(database), on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    site.maintenance.end("c0")
    with database.begin() as elsewhere:
        Transaction(elsewhere).lock([first])
        site.released()
    assert [one.alarm_id for one in site.enqueuer.sent] == [second]
    assert site.released() == [(ALARM, "vm-1")]


def test_an_alarm_that_cannot_be_released_delays_no_other(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if one alarm prevents all releases, and the timers behind them."""
    broken, whole = on_vm(database), on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    site.maintenance.end("c0")
    enqueue = site.enqueuer.enqueue

    def refuse(connection: sa.Connection, transitions: Sequence[Transition], *others: Any) -> list[Any]:
        if any(one.alarm_id == broken for one in transitions):
            raise ValueError(broken)
        return list(enqueue(connection, transitions, *others))

    monkeypatch.setattr(site.enqueuer, "enqueue", refuse)
    assert site.released() == [(ALARM, "vm-1")]
    assert [one.alarm_id for one in site.enqueuer.sent] == [whole]


def test_who_disabled_reset_or_deleted_the_alarm_is_not_notified(site: Site, database: Database) -> None:
    names = [on_vm(database) for _ in range(3)]
    site.maintenance.begin("c0")
    site.tell("error")
    table = tables.alarm
    with database.begin() as connection:
        connection.execute(table.update().where(table.c.alarm_id == names[0]).values(enabled=False))
        connection.execute(table.update().where(table.c.alarm_id == names[1]).values(state=OK))
        connection.execute(table.delete().where(table.c.alarm_id == names[2]))
    site.maintenance.end("c0")
    assert site.released(times=2) == []
    assert {row["inhibited_by"] for row in occurrences(database)} == {None}
    site.tell("error")
    assert site.sent() == [(ALARM, "vm-1")]


def test_a_group_by_alarm_notifies_of_the_objects_that_are_not_inhibited(
    site: Site, database: Database
) -> None:
    """Fails if an inhibited object hides the raise or the clear of another one of the same alarm."""
    site.maintenance.place("c1", ["vm-3"])
    notification_alarm(database, GROUPED)
    site.maintenance.begin("c0")
    site.tell("error", "vm-1", agent="a")
    assert site.sent() == []
    site.tell("error", "vm-3", agent="a")
    assert site.sent() == [(ALARM, "vm-3/a")]
    site.tell("active", "vm-3", agent="a")
    assert site.sent() == [(ALARM, "vm-3/a"), (OK, "vm-3/a")]
    (count,) = read_table(database, tables.alarm_count)
    assert (count["raised"], count["inhibited"]) == (1, 1)
    site.tell("error", "vm-2", agent="a")
    site.maintenance.end("c0")
    # Without repeat_actions, the alarm is notified once while it is raised on any object.
    assert site.released(times=2) == [(ALARM, "vm-1/a")]
    (count,) = read_table(database, tables.alarm_count)
    assert (count["raised"], count["inhibited"]) == (2, 0)
    site.tell("active", "vm-1", agent="a")
    site.tell("active", "vm-2", agent="a")
    assert site.sent()[2:] == [(OK, "vm-2/a")]


def test_every_object_is_released_with_repeat_actions(site: Site, database: Database) -> None:
    notification_alarm(database, GROUPED, repeat_actions=True)
    site.maintenance.begin("c0")
    for vm in ("vm-1", "vm-2"):
        site.tell("error", vm, agent="a")
    site.maintenance.end("c0")
    assert site.released(times=2) == [(ALARM, "vm-1/a"), (ALARM, "vm-2/a")]


def test_absence_of_a_server_in_maintenance_is_inhibited(site: Site, database: Database) -> None:
    """Fails if a timer calls the actions of an alarm that an event would not call."""
    listener = Listener(database)
    absence = {"absence": {"after": 3600}, "group_by": ["resource_id"]}
    alarm_id = notification_alarm(database, {"event_type": "compute.instance.update", **absence})
    listener.tell("active")
    site.maintenance.begin("c0")
    listener.run_until(lambda: bool(read_table(database, tables.timer, managed_object="vm-1")))
    make_due(database, alarm_id=alarm_id)
    listener.run_until(lambda: any(row["kind"] == "raised" for row in transitions(database)))
    assert [t for t in listener.enqueuer.sent if t.managed_object == "vm-1"] == []
    site.maintenance.end("c0")
    assert site.released() == [(ALARM, "vm-1")]


def test_what_announces_the_maintenance_is_notified(database: Database) -> None:
    site = Site(database, never_inhibited=lambda event_type: event_type == "maintenance.host")
    insert_alarms(database, alarm_row(rule={"event_type": "*", "query": []}, repeat_actions=True))
    site.maintenance.begin("c0")
    moment = datetime.datetime.now(UTC)
    for event_type in ("maintenance.host", "compute.host.down"):
        site.engine.process(event_body(event_type, resource_id="c0", generated=moment))
    assert [one.event.event_type for one in site.engine.sent] == ["maintenance.host"]


def test_a_release_waits_for_the_time_constraints_of_the_alarm(site: Site, database: Database) -> None:
    never = [{"name": "n", "start": "0 0 1 1 *", "duration": 1, "timezone": "", "description": ""}]
    alarm_id = on_vm(database)
    site.maintenance.begin("c0")
    site.tell("error")
    site.maintenance.end("c0")
    table = tables.alarm
    edit = table.update().where(table.c.alarm_id == alarm_id)
    with database.begin() as connection:
        connection.execute(edit.values(time_constraints=never))
    assert site.released() == []
    with database.begin() as connection:
        connection.execute(edit.values(time_constraints=[]))
    site.release._postponed.clear()
    assert site.released() == [(ALARM, "vm-1")]
