"""Rules with ``count`` on every database: all listeners share the count, and no message counts twice."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.storage import tables
from eventalarm.storage.database import Database
from tests.support.engine_harness import (
    alarm_row,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    read_table,
    transitions,
)
from tests.support.timers import BY_HOST, Listener, at, make_due, notification_alarm, state_of, timers

RULE: dict[str, Any] = {**BY_HOST, "count": {"at_least": 3, "within": 600}}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


def test_any_listener_continues_the_count(database: Database) -> None:
    """Fails when the count is kept in the memory of a listener, or when a message counts twice."""
    alarm = notification_alarm(database, RULE)
    Listener(database).engine.process(at(0, message_id="one"), at(0, host="host-2"))
    again = Listener(database)
    report = again.engine.process(at(0, message_id="one"))
    assert report.reasons["duplicate"] == 1
    report = again.engine.process(at(500, message_id="two"))
    assert report.reasons["counted"] == 1
    assert (occurrences(database), transitions(database, alarm_id=alarm)) == ([], [])
    last = Listener(database)
    last.engine.process(at(400, message_id="late"), at(300, "nothing"))
    assert state_of(database, alarm) == "alarm"
    (raised,) = transitions(database, alarm_id=alarm)
    assert (raised["kind"], raised["managed_object"], raised["message_id"]) == ("raised", "host-1", "late")
    (sent,) = last.engine.sent
    assert sent.raised_count == 1


def test_a_clear_starts_the_count_again(database: Database) -> None:
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    listener.engine.process(at(0), at(10), at(20, "active"), at(30), at(40))
    assert transitions(database, alarm_id=alarm) == []
    listener.engine.process(at(50))
    assert state_of(database, alarm) == "alarm"
    listener.engine.process(at(60, "active"), at(70))
    assert state_of(database, alarm) == "ok"
    listener.engine.process(at(80), at(90))
    kinds = [row["kind"] for row in transitions(database, alarm_id=alarm)]
    assert kinds == ["raised", "cleared", "raised"]


def test_after_clear_after_the_same_messages_do_not_count(database: Database) -> None:
    """Fails when the matches of an ended occurrence count again after a redelivery."""
    rule = {**{k: v for k, v in RULE.items() if k != "clear"}, "clear_after": 60, "hold_down": 60}
    alarm, listener = notification_alarm(database, rule), Listener(database)
    matches = [at(second) for second in (0, 10, 20)]
    listener.engine.process(*matches)
    for kind in ("clear_after", "hold_down"):
        assert (kind, "host-1", True) in timers(database)
        make_due(database, kind=kind)
        listener.runner.run_once()
    assert state_of(database, alarm) == "ok"
    Listener(database).engine.process(*matches, at(15))
    assert state_of(database, alarm) == "ok"
    assert [row["kind"] for row in transitions(database, alarm_id=alarm)] == ["raised", "cleared"]


def test_the_count_is_bounded_and_expires(database: Database) -> None:
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    listener.engine.process(*(at(700 * number) for number in range(5)))
    (row,) = read_table(database, tables.timer)
    assert (row["kind"], row["event"].count("T")) == ("count", 3)
    make_due(database)
    listener.runner.run_once()
    assert read_table(database, tables.timer) == []
    assert transitions(database, alarm_id=alarm) == []


def test_an_edit_starts_the_count_again(database: Database) -> None:
    alarm, listener = notification_alarm(database, RULE), Listener(database)
    listener.engine.process(at(0), at(10))
    with database.begin() as connection:
        later = read_alarm(database, alarm)["timestamp"] + datetime.timedelta(seconds=1)
        connection.execute(
            tables.alarm.update().where(tables.alarm.c.alarm_id == alarm).values(timestamp=later)
        )
    listener.engine.process(at(20))
    assert transitions(database, alarm_id=alarm) == []
    listener.engine.process(at(30), at(40))
    assert state_of(database, alarm) == "alarm"


def test_listeners_that_count_at_the_same_time_lose_nothing(our_database_url: str) -> None:
    """Fails when the count is read before the alarm is locked."""
    with open_database(our_database_url) as database:
        rule = {**RULE, "count": {"at_least": 40, "within": 600}}
        alarm = notification_alarm(database, rule)
        batches = [[at(20 * half + number) for number in range(20)] for half in range(2)]

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


def test_other_alarms_have_no_rows(database: Database) -> None:
    insert_alarms(database, alarm_row(rule={"event_type": "*"}))
    notification_alarm(database, {k: v for k, v in RULE.items() if k != "count"})
    Listener(database).engine.process(at(0))
    assert read_table(database, tables.timer) == []
