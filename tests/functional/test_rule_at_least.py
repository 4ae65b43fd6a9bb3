"""Rules with ``at_least`` on every database: all listeners share what is in fault, and edits take effect."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.ifa_shim.alarms import AlarmReader, Marker
from eventalarm.ifa_shim.queries import AlarmQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_filters import Wanted
from tests.support.engine_harness import (
    alarm_row,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    read_table,
    transitions,
)
from tests.support.timers import BY_HOST, Listener, make_due, notification_alarm, state_of, timers
from tests.support.timers import at as at_host

RULE: dict[str, Any] = {**BY_HOST, "objects": "resource_id", "at_least": 3}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


def at(second: int, vm: str, state: str = "error", host: str = "host-1", **fields: Any) -> dict[str, Any]:
    """Return an event about a server on a host, generated *second* seconds after START."""
    return at_host(second, state, host, resource_id=vm, **fields)


def edit(database: Database, alarm: str, **columns: Any) -> None:
    later = read_alarm(database, alarm)["timestamp"] + datetime.timedelta(seconds=1)
    change = tables.alarm.update().where(tables.alarm.c.alarm_id == alarm)
    with database.begin() as connection:
        connection.execute(change.values(timestamp=later, **columns))


def test_three_objects_raise_the_alarm_and_two_clear_it(database: Database) -> None:
    """Fails when the objects in fault are kept in the memory of a listener, or one counts twice."""
    alarm = notification_alarm(database, RULE)
    Listener(database).engine.process(at(0, "vm-1"), at(1, "vm-1"), at(2, "vm-9", host="host-2"))
    report = Listener(database).engine.process(at(3, "vm-2"), at(4, "vm-2"))
    assert report.reasons["counted"] == 2
    assert (occurrences(database), transitions(database, alarm_id=alarm)) == ([], [])
    last = Listener(database)
    last.engine.process(at(5, "vm-3"))
    assert state_of(database, alarm) == "alarm"
    (raised,) = transitions(database, alarm_id=alarm)
    assert (raised["kind"], raised["managed_object"]) == ("raised", "host-1")
    (sent,) = last.engine.sent
    assert (sent.raised_count, sent.objects) == (1, ("vm-1", "vm-2", "vm-3"))
    last.engine.process(at(6, "vm-4"), at(7, "vm-1", "active"))
    assert state_of(database, alarm) == "alarm"
    last.engine.process(at(8, "vm-2", "active"))
    assert state_of(database, alarm) == "ok"
    cleared = transitions(database, alarm_id=alarm)[1]
    assert (cleared["kind"], cleared["objects"]) == ("cleared", ["vm-3", "vm-4"])
    assert [one["raised"] for one in occurrences(database)] == [False]


def test_late_and_redelivered_events_change_nothing(database: Database) -> None:
    """Fails when the order of arrival decides, or the time of the group instead of that of the object."""
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    first = at(10, "vm-1", message_id="first")
    recovered = at(30, "vm-1", "active")
    report = listener.engine.process(first, recovered)
    report = Listener(database).engine.process(first, at(20, "vm-1"))
    assert report.reasons["late"] == 2
    # Older than what is known of another object, but the newest of its own.
    listener.engine.process(at(40, "vm-2"), at(41, "vm-3"))
    listener.engine.process(at(5, "vm-4"))
    assert state_of(database, alarm) == "alarm"
    report = listener.engine.process(at(4, "vm-4", "active"))
    assert (report.reasons["late"], state_of(database, alarm)) == (1, "alarm")
    listener.engine.process(at(6, "vm-4", "active"))
    assert state_of(database, alarm) == "ok"
    assert [row["kind"] for row in transitions(database, alarm_id=alarm)] == ["raised", "cleared"]


def test_listeners_at_the_same_time_do_not_miss_the_last_object(our_database_url: str) -> None:
    """Fails when the objects are read before the alarm is locked."""
    with open_database(our_database_url) as database:
        alarm = notification_alarm(database, {**RULE, "at_least": 40})
        batches = [[at(number, f"vm-{20 * half + number}") for number in range(20)] for half in range(2)]

        def run(events: list[dict[str, Any]]) -> None:
            listener = Listener(database)
            for one in events:
                listener.engine.process(one)

        threads = [threading.Thread(target=run, args=(batch,)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert state_of(database, alarm) == "alarm"
        assert [row["kind"] for row in transitions(database, alarm_id=alarm)] == ["raised"]


def test_another_number_takes_effect_without_an_event(database: Database) -> None:
    """Fails when an edit forgets the objects in fault, or waits for the next event."""
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    listener.engine.process(at(0, "vm-1"), at(1, "vm-2"))
    edit(database, alarm, rule={**RULE, "at_least": 2, "severity": "major"})
    listener.run_until(lambda: state_of(database, alarm) == "alarm")
    (sent,) = listener.enqueuer.sent
    assert (sent.event.event_type, sent.objects) == ("eventalarm.timer.objects", ("vm-1", "vm-2"))
    assert "reports that at_least is now 2 <query=" in sent.reason
    edit(database, alarm, rule=RULE)
    listener.run_until(lambda: state_of(database, alarm) == "ok")
    edit(database, alarm, rule={**RULE, "at_least": 2})
    # An event comes before the timers do.
    Listener(database).engine.process(at(2, "vm-1"))
    assert state_of(database, alarm) == "alarm"
    kinds = [row["kind"] for row in transitions(database, alarm_id=alarm)]
    assert kinds == ["raised", "cleared", "raised"]


def test_what_an_edit_keeps_and_what_it_forgets(database: Database) -> None:
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    listener.engine.process(at(0, "vm-1"), at(1, "vm-2"))
    edit(database, alarm, enabled=False)
    listener.runner.run_once()
    edit(database, alarm, enabled=True, severity="low")
    listener.runner.run_once()
    assert timers(database) == [("objects", "host-1", False)]
    listener.engine.process(at(2, "vm-3"))
    assert state_of(database, alarm) == "alarm"
    edit(database, alarm, rule={**RULE, "event_type": "compute.*"})
    listener.runner.run_once()
    assert timers(database) == []
    # As long as a fault is reported the alarm stays; a recovery clears it, since no object is known.
    listener.engine.process(at(3, "vm-1"))
    assert state_of(database, alarm) == "alarm"
    listener.engine.process(at(4, "vm-2", "active"))
    assert state_of(database, alarm) == "ok"


def test_hold_down_holds_while_too_few_are_in_fault(database: Database) -> None:
    """Fails when a match that leaves too few objects in fault drops the held clear."""
    alarm = notification_alarm(database, {**RULE, "at_least": 2, "hold_down": 60})
    listener = Listener(database)
    listener.engine.process(at(0, "vm-1"), at(1, "vm-2"), at(2, "vm-1", "active"))
    assert ("hold_down", "host-1", True) in timers(database)
    listener.engine.process(at(3, "vm-2"))
    assert ("hold_down", "host-1", True) in timers(database)
    listener.engine.process(at(4, "vm-3"))
    assert ("hold_down", "host-1", True) not in timers(database)
    listener.engine.process(at(5, "vm-3", "active"))
    make_due(database, kind="hold_down")
    listener.runner.run_once()
    assert state_of(database, alarm) == "ok"
    kinds = [row["kind"] for row in transitions(database, alarm_id=alarm)]
    assert kinds == ["raised", "changed", "cleared"]


def test_a_state_that_is_set_does_not_change_what_is_in_fault(database: Database) -> None:
    alarm, listener = notification_alarm(database, {**RULE, "at_least": 2}), Listener(database)
    listener.engine.process(at(0, "vm-1"), at(1, "vm-2"))
    with database.begin() as connection:
        connection.execute(
            tables.alarm.update().where(tables.alarm.c.alarm_id == alarm).values(state="ok", state_reason="x")
        )
    listener.engine.process(at(2, "vm-9", "active"))
    assert state_of(database, alarm) == "ok"
    listener.engine.process(at(3, "vm-2"))
    assert state_of(database, alarm) == "alarm"


def test_the_objects_are_bounded_and_expire(database: Database) -> None:
    alarm = notification_alarm(database, {**RULE, "group_by": None})
    listener = Listener(database, max_occurrences=2)
    listener.engine.process(*(at(n, f"vm-{n}", "active") for n in range(3)))
    (row,) = read_table(database, tables.timer)
    assert (row["kind"], row["managed_object"]) == ("objects", "")
    make_due(database)
    listener.runner.run_once()
    assert read_table(database, tables.timer) == []
    grouped = notification_alarm(database, RULE)
    report = listener.engine.process(*(at(n, f"vm-{n}", host=f"host-{n}") for n in range(3)))
    assert report.reasons["not_awaited"] == 1
    assert [one[1] for one in timers(database, alarm_id=grouped)] == ["host-0", "host-1"]
    assert "objects in fault in 2 groups, the limit" in read_alarm(database, grouped)["state_reason"]
    assert state_of(database, alarm) == "alarm"


def test_the_ifa_alarm_names_the_objects_in_fault_now(database: Database) -> None:
    alarm = notification_alarm(database, {**RULE, "at_least": 2})
    whole = notification_alarm(database, {**RULE, "at_least": 2, "group_by": None})
    listener = Listener(database)
    listener.engine.process(at(0, "vm-1"), at(1, "vm-2"), at(2, "vm-3"))
    query = AlarmQuery(Wanted(None), lambda one: True)
    page = AlarmReader(database, Settings()).page(query, Marker(), 10)
    shown = {one.aodh_alarm_id: one for one in page.alarms}
    assert {shown[one].managed_object_id for one in (alarm, whole)} == {"host-1", whole}
    for one in (alarm, whole):
        assert "objects=vm-1, vm-2, vm-3" in shown[one].fault_details


def test_other_alarms_have_no_rows(database: Database) -> None:
    insert_alarms(database, alarm_row(rule={"event_type": "*"}))
    notification_alarm(database, {k: v for k, v in RULE.items() if k not in ("at_least", "objects")})
    Listener(database).engine.process(at(0, "vm-1"))
    assert read_table(database, tables.timer) == []
