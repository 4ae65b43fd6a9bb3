"""Timers on every database fire once, in time, and by the current definition of the alarm."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.storage import tables
from eventalarm.storage.database import Database
from tests.support.builders import UPDATE, event_body
from tests.support.engine_harness import (
    AodhStorage,
    RecordingEnqueuer,
    alarm_row,
    insert_alarms,
    occurrences,
    open_database,
    read_table,
    transitions,
)
from tests.support.helpers import wait_until
from tests.support.timers import HOUR, Listener, make_due, notification_alarm, state_of, timers

RULE: dict[str, Any] = {
    "event_type": "*",
    "query": [{"field": "traits.state", "op": "in", "value": ["error", "crashed"]}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
}
HEARTBEAT: dict[str, Any] = {"event_type": "*", "query": [{"field": "traits.state", "value": "alive"}]}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def listener(database: Database) -> Listener:
    return Listener(database)


@pytest.fixture
def aodh(our_database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[AodhStorage]:
    storage = AodhStorage(our_database_url, monkeypatch)
    yield storage
    storage.close()


def kinds(database: Database, alarm: str) -> list[tuple[str, str]]:
    return [(row["kind"], row["event_type"]) for row in transitions(database, alarm_id=alarm)]


def test_clear_after_the_latest_match(database: Database, listener: Listener) -> None:
    """Fails when a match without repetition does not re-arm the timer."""
    alarm = notification_alarm(database, {**RULE, "clear_after": HOUR})
    listener.tell("error")
    (first,) = read_table(database, tables.timer)
    make_due(database, ago=-60)
    listener.tell("error")
    (again,) = read_table(database, tables.timer)
    assert again["due_at"] >= first["due_at"]
    listener.runner.run_once()
    assert state_of(database, alarm) == "alarm"
    make_due(database)
    (occurrence,) = occurrences(database)
    listener.runner.run_once()
    assert kinds(database, alarm) == [("raised", UPDATE), ("cleared", "eventalarm.timer.clear_after")]
    assert state_of(database, alarm) == "ok"
    assert timers(database) == []
    (transition,) = listener.enqueuer.sent
    assert transition.actions == ("http://ok",)
    assert transition.reason.startswith(
        f"Event <id={transition.event.message_id},event_type=eventalarm.timer.clear_after>"
    )
    assert "no event matched for 3600 seconds" in transition.reason
    assert transition.event.trait("resource_id") == "vm-1"
    assert transition.raised_count == 0
    # A match that was in progress during the clear raises again.
    listener.tell("error", generated=occurrence["event_time"] + datetime.timedelta(milliseconds=1))
    assert state_of(database, alarm) == "alarm"


def test_a_clear_by_an_event_disarms_the_timer(database: Database, listener: Listener) -> None:
    alarm = notification_alarm(database, {**RULE, "clear_after": HOUR})
    listener.tell("error")
    assert timers(database) == [("clear_after", "vm-1", True)]
    listener.tell("active")
    assert timers(database) == []
    assert [kind for kind, _ in kinds(database, alarm)] == ["raised", "cleared"]


def test_an_event_committed_first_wins_over_the_timer(database: Database, listener: Listener) -> None:
    """Fails when a due timer is not checked again under the lock."""
    alarm = notification_alarm(database, {**RULE, "clear_after": HOUR})
    listener.tell("error")
    make_due(database)
    found = listener.runner._reader.due(database.now(), 10)
    assert len(found) == 1
    listener.tell("error")
    listener.runner.fire(found)
    assert kinds(database, alarm) == [("raised", UPDATE)]
    assert timers(database) == [("clear_after", "vm-1", True)]


def test_three_racing_listeners_fire_once_and_in_time(database: Database) -> None:
    """Prints how late they fire, which is well within the guaranteed second."""
    objects = [f"vm-{n}" for n in range(30)]
    alarm = notification_alarm(database, {**RULE, "clear_after": 1.5, "group_by": ["resource_id"]})
    three = [Listener(database) for _ in range(3)]
    for number, vm in enumerate(objects):
        three[number % 3].tell("error", vm)
    due = {row["managed_object"]: row["due_at"] for row in read_table(database, tables.timer)}
    with contextlib.ExitStack() as stack:
        for one in three:
            stack.enter_context(one.running())
        wait_until(lambda: state_of(database, alarm) == "ok", 20, "everything is cleared")
    found = Counter(row["managed_object"] for row in transitions(database, kind="cleared"))
    assert found == Counter(objects)
    assert sum(one.reasons["cleared"] for one in three) == len(objects)
    assert [t.current for one in three for t in one.enqueuer.sent if t.actions] == ["ok"]
    late = sorted(
        (row["recorded_at"] - due[row["managed_object"]]).total_seconds()
        for row in transitions(database, kind="cleared")
    )
    print(f"{database.dialect}: 30 timers, 3 listeners: late by p50 {late[15]:.3f} s, max {late[-1]:.3f} s")
    assert late[-1] < 1.0


def test_absence_of_a_named_resource_fires(database: Database, listener: Listener) -> None:
    """Fails when alarms that no event has armed are not found, or are not re-armed after an event."""
    rule = {**HEARTBEAT, "resource_id": "vm-1", "absence": {"after": HOUR}}
    listener.runner.run_once()
    alarm = notification_alarm(database, rule)
    listener.runner.run_once()
    assert timers(database) == [("absence", "vm-1", True)]
    make_due(database, ago=-60)
    listener.tell("alive")
    make_due(database, ago=-60)
    listener.runner.run_once()
    assert state_of(database, alarm) == "ok"
    make_due(database)
    listener.runner.run_once()
    listener.runner.run_once()
    assert state_of(database, alarm) == "alarm"
    assert timers(database) == [("absence", "vm-1", False)]
    (transition,) = listener.enqueuer.sent
    assert "no expected event arrived for" in transition.reason
    listener.tell("alive")
    assert state_of(database, alarm) == "ok"
    assert timers(database) == [("absence", "vm-1", True)]
    make_due(database)
    listener.runner.run_once()
    assert kinds(database, alarm) == [
        ("raised", "eventalarm.timer.absence"),
        ("cleared", UPDATE),
        ("raised", "eventalarm.timer.absence"),
    ]
    assert len(occurrences(database)) == 2


def test_absence_of_objects_that_have_appeared_fires(database: Database, listener: Listener) -> None:
    """Until the first object appears the alarm itself is awaited; fails when that occurrence never ends."""
    alarm = notification_alarm(database, {**HEARTBEAT, "absence": {"after": HOUR}})
    listener.runner.run_once()
    assert timers(database) == [("absence", "", True)]
    make_due(database)
    listener.runner.run_once()
    assert state_of(database, alarm) == "alarm"
    listener.tell("alive", "vm-1")
    assert state_of(database, alarm) == "ok"
    assert timers(database) == [("absence", "", False), ("absence", "vm-1", True)]
    listener.tell("alive", "vm-2")
    make_due(database, managed_object="vm-2")
    listener.runner.run_once()
    raised = [row["managed_object"] for row in occurrences(database, raised=True)]
    assert raised == ["vm-2"]


def test_the_first_object_disarms_the_alarm_itself(database: Database, listener: Listener) -> None:
    alarm = notification_alarm(database, {**HEARTBEAT, "absence": {"after": HOUR}})
    listener.runner.run_once()
    listener.tell("alive", "vm-1")
    assert timers(database) == [("absence", "", False), ("absence", "vm-1", True)]
    assert state_of(database, alarm) == "ok"


def test_a_held_clear_waits_and_is_cancelled_by_a_match(database: Database, listener: Listener) -> None:
    """Fails when the clear is not held, when a match does not cancel it, or when the occurrence changes."""
    alarm = notification_alarm(database, {**RULE, "hold_down": HOUR})
    held = [("hold_down", "vm-1", True)]
    for said, awaited in (("error", []), ("active", held), ("crashed", []), ("active", held)):
        listener.tell(said)
        assert (state_of(database, alarm), timers(database)) == ("alarm", awaited)
    make_due(database)
    listener.runner.run_once()
    assert [kind for kind, _ in kinds(database, alarm)] == ["raised", "changed", "cleared"]
    (occurrence,) = occurrences(database)
    assert (occurrence["raised"], occurrence["hits"]) == (False, 2)
    assert state_of(database, alarm) == "ok"
    # The notified clear is the held one, with its event.
    (transition,) = listener.enqueuer.sent
    assert transition.event.trait("state") == "active"
    assert transition.reason.split("> ", 1)[1].startswith("hits the clear query")
    assert [t.current for t in listener.engine.sent] == ["alarm"]


def test_a_late_match_does_not_cancel_a_held_clear(database: Database, listener: Listener) -> None:
    alarm = notification_alarm(database, {**RULE, "hold_down": HOUR})
    before = database.now() - datetime.timedelta(seconds=5)
    listener.tell("error", generated=before - datetime.timedelta(seconds=5))
    listener.tell("active")
    listener.tell("error", generated=before)
    assert timers(database) == [("hold_down", "vm-1", True)]
    assert [kind for kind, _ in kinds(database, alarm)] == ["raised", "late"]


def test_a_clear_after_is_held_too(database: Database, listener: Listener) -> None:
    alarm = notification_alarm(database, {**RULE, "hold_down": HOUR, "clear_after": HOUR})
    listener.tell("error")
    make_due(database)
    listener.runner.run_once()
    assert (state_of(database, alarm), timers(database)) == ("alarm", [("hold_down", "vm-1", True)])
    make_due(database)
    listener.runner.run_once()
    assert kinds(database, alarm)[1:] == [("cleared", "eventalarm.timer.clear_after")]
    assert timers(database) == []


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"enabled": False}, []),
        ({"rule": RULE}, []),
        ({"rule": {**RULE, "clear_after": 3 * HOUR}}, [("clear_after", "vm-1", True)]),
    ],
)
def test_an_edit_before_the_due_time_wins(
    database: Database, aodh: AodhStorage, change: dict[str, Any], left: list[Any]
) -> None:
    """Fails when a timer fires by the rule that it was armed for."""
    alarm = notification_alarm(database, {**RULE, "clear_after": HOUR})
    listener = Listener(database)
    listener.tell("error")
    make_due(database)
    aodh.edit(alarm, **change)
    listener.runner.fire(listener.runner._reader.due(database.now(), 10))
    assert [kind for kind, _ in kinds(database, alarm)] == ["raised"]
    assert timers(database) == left


def test_an_edit_applies_without_an_event(database: Database, aodh: AodhStorage) -> None:
    """Fails when only alarms with absence are checked."""
    alarm = notification_alarm(database, RULE)
    listener = Listener(database)
    listener.tell("error")
    listener.runner.run_once()
    assert timers(database) == []
    aodh.edit(alarm, rule={**RULE, "clear_after": HOUR})
    listener.runner.run_once()
    assert timers(database) == [("clear_after", "vm-1", True)]
    aodh.edit(alarm, rule={**RULE, "clear_after": 0.01})
    listener.run_until(lambda: state_of(database, alarm) == "ok")
    aodh.delete(alarm)


def test_absence_starts_anew_after_an_alarm_was_disabled(database: Database, aodh: AodhStorage) -> None:
    """Fails when an alarm counts the events as missed that came while it was disabled."""
    alarm = notification_alarm(database, {**HEARTBEAT, "resource_id": "vm-1", "absence": {"after": HOUR}})
    listener = Listener(database)
    listener.runner.run_once()
    make_due(database)
    aodh.edit(alarm, enabled=False)
    aodh.edit(alarm, enabled=True)
    listener.runner.run_once()
    assert (state_of(database, alarm), timers(database)) == ("ok", [("absence", "vm-1", True)])
    make_due(database)
    aodh.edit(alarm, enabled=False)
    listener.runner.run_once()
    assert (state_of(database, alarm), timers(database)) == ("ok", [])


def test_a_reset_and_a_deletion_disarm_timers(database: Database, aodh: AodhStorage) -> None:
    listener = Listener(database)
    reset = notification_alarm(database, {**RULE, "clear_after": HOUR}, name="reset")
    deleted = notification_alarm(database, {**RULE, "clear_after": HOUR}, name="deleted")
    listener.tell("error")
    make_due(database)
    aodh.edit(reset, state="ok")
    aodh.delete(deleted)
    listener.runner.run_once()
    assert timers(database) == []
    assert [kind for kind, _ in kinds(database, reset)] == ["raised"]
    assert [row["raised"] for row in occurrences(database, alarm_id=reset)] == [False]


def test_time_constraints_postpone_a_timer(database: Database, listener: Listener) -> None:
    never = {"name": "n", "start": "0 0 31 2 *", "duration": 1, "timezone": ""}
    alarm = notification_alarm(
        database,
        {**HEARTBEAT, "resource_id": "vm-1", "absence": {"after": HOUR}},
        time_constraints=[never],
    )
    listener.runner.run_once()
    make_due(database)
    listener.runner.run_once()
    assert (state_of(database, alarm), timers(database)) == ("ok", [("absence", "vm-1", True)])
    assert listener.reasons["outside_time_constraints"] == 1


class PickyEnqueuer(RecordingEnqueuer):
    """Breaks on transitions of one alarm, as a value that the database refuses would."""

    def __init__(self, bad: str) -> None:
        super().__init__()
        self.bad = bad

    def enqueue(self, connection: Any, transitions: Any, *others: Any) -> Any:
        if any(t.alarm_id == self.bad for t in transitions):
            raise ValueError("refused")
        return super().enqueue(connection, transitions, *others)


def test_a_timer_that_cannot_fire_affects_no_other(database: Database) -> None:
    """Fails when one refused value keeps the others from firing (G6), or is tried without a pause."""
    alarms = [notification_alarm(database, {**RULE, "clear_after": HOUR}) for _ in range(4)]
    listener = Listener(database, timer_enqueuer=PickyEnqueuer(alarms[1]))
    listener.tell("error")
    make_due(database)
    listener.runner.run_once()
    assert [state_of(database, alarm) for alarm in alarms] == ["ok", "alarm", "ok", "ok"]
    assert timers(database) == [("clear_after", "vm-1", True)]
    listener.runner.run_once()
    assert state_of(database, alarms[1]) == "alarm"
    (row,) = read_table(database, tables.timer)
    assert row["due_at"] > database.now() + datetime.timedelta(seconds=30)


# The table, and the database's clock as each database has it.
CLOCKS = ("SELECT strftime", "SELECT clock_timestamp", "SELECT UTC_TIMESTAMP")
ABOUT_TIMERS = ("eventalarm_timer", *CLOCKS)


def timer_statements(database: Database, *events: Any, listener: Listener) -> list[str]:
    """Return the first words of the statements on timers that a batch sends."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *args: Any) -> None:
        if any(word in statement for word in ABOUT_TIMERS):
            seen.append(statement.split(maxsplit=1)[0])

    sa.event.listen(database.engine, "before_cursor_execute", note)
    listener.engine.process(*events)
    sa.event.remove(database.engine, "before_cursor_execute", note)
    return seen


def test_timers_cost_a_batch_a_constant_number_of_statements(database: Database, listener: Listener) -> None:
    """Nothing for alarms without timers, the same for any number of others."""
    listener.tell("nothing")
    insert_alarms(database, alarm_row(rule={"event_type": "*"}))
    notification_alarm(database, {**RULE, "severity_from": "level"})
    batch = [event_body(state="error", resource_id=f"vm-{n}") for n in range(3)]
    assert timer_statements(database, *batch, listener=listener) == []
    notification_alarm(database, {**RULE, "clear_after": HOUR, "hold_down": HOUR}, project_id="other")
    for count in (1, 40):
        batch = [event_body(state="error", resource_id=f"vm-{n}", project="other") for n in range(count)]
        assert timer_statements(database, *batch, listener=listener) == ["SELECT", "INSERT"]
