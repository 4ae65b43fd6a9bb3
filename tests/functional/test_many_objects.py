"""An alarm over very many managed objects costs no more than its limit, and its owner is notified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.evaluator.batch import BatchReport
from eventalarm.storage import alarm_counts, tables
from eventalarm.storage.database import Database
from tests.support.builders import event_body, rule
from tests.support.engine_harness import (
    ALARM_TABLE,
    EngineHarness,
    alarm_row,
    history,
    insert_alarms,
    occurrences,
    open_database,
    read_alarm,
    read_table,
    transitions,
)
from tests.support.timers import Listener, make_due, notification_alarm

RULE = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["request_id"],
}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


def say(engine: EngineHarness, state: str, objects: Sequence[str], moment: int) -> BatchReport:
    return engine.process(
        *(
            event_body(generated=f"2026-05-01T11:{moment:02}:00", request_id=name, state=state, x=1)
            for name in objects
        )
    )


def names(*numbers: int) -> list[str]:
    return [f"req-{number}" for number in range(*numbers)]


def raised(database: Database) -> set[str]:
    return {one["managed_object"] for one in occurrences(database) if one["raised"]}


def counted(database: Database) -> tuple[int, bool]:
    (row,) = read_table(database, tables.alarm_count)
    return row["raised"], row["is_full"]


def grouped(database: Database, **columns: Any) -> EngineHarness:
    insert_alarms(database, alarm_row("all", rule=RULE, type="notification", **columns))
    return EngineHarness(database, max_occurrences=10)


def test_objects_beyond_the_limit_are_not_kept_and_the_owner_is_notified(database: Database) -> None:
    """Fails when each request keeps an occurrence forever."""
    engine = grouped(database)
    report = say(engine, "error", names(25), 1)
    assert report.reasons == {"raised": 10, "too_many_objects": 15}
    assert raised(database) == set(names(10))
    assert counted(database) == (10, True)
    row = read_alarm(database, "all")
    assert row["state"] == "alarm"
    assert row["state_reason"].startswith("Raised on 10 managed objects, the maximum for one alarm")
    assert len(history(database, "all")) == 2
    # It is notified once, not with every batch.
    assert say(engine, "error", names(25, 30), 2).reasons == {"too_many_objects": 5}
    assert len(history(database, "all")) == 2
    # Objects that are not kept cannot clear, and do not block those that can.
    assert say(engine, "active", names(10, 25), 3).reasons == {"not_raised": 15}
    say(engine, "active", names(3), 4)
    assert counted(database) == (7, False)
    assert say(engine, "error", names(40, 44), 5).reasons == {"raised": 3, "too_many_objects": 1}
    assert read_alarm(database, "all")["state_reason"].startswith("Raised on 10 managed objects")
    say(engine, "active", [*names(3, 10), *names(40, 43)], 6)
    assert read_alarm(database, "all")["state"] == "ok"
    assert counted(database) == (0, False)


def test_an_alarm_with_repetition_still_calls_for_every_event(database: Database) -> None:
    """As Aodh would: only the occurrence, which could clear, is not kept."""
    insert_alarms(database, alarm_row("all", rule=rule("*", state="error"), repeat_actions=True))
    engine = EngineHarness(database, max_occurrences=3)
    bodies = [event_body(resource_id=f"vm-{number}", state="error") for number in range(8)]
    engine.process(*bodies)
    assert len(engine.sent) == 8
    assert len(raised(database)) == 3
    assert len(transitions(database)) == 8
    assert engine.process(bodies[-1]).reasons == {"duplicate": 1}


def test_a_reset_is_closed_in_transactions_of_bounded_size(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when one transaction closes all: no statement may touch more rows than a chunk has."""
    monkeypatch.setattr(alarm_counts, "CLOSE_AT_ONCE", 4)
    monkeypatch.setattr("eventalarm.storage.stored_state.CLOSE_AT_ONCE", 4)
    monkeypatch.setattr(alarm_counts.close_in_chunks, "__defaults__", (4,))
    engine = grouped(database)
    say(engine, "error", names(10), 1)
    with database.begin() as connection:
        connection.execute(sa.update(ALARM_TABLE).values(state="ok"))
    sizes: list[int] = []

    @sa.event.listens_for(database.engine, "after_cursor_execute")
    def count(_: object, cursor: Any, statement: str, *__: object) -> None:
        if statement.startswith("UPDATE eventalarm_occurrence SET raised"):
            sizes.append(cursor.rowcount)

    assert say(engine, "error", names(1), 2).reasons == {"raised": 1}
    assert sizes[:3] == [4, 4, 2]
    assert raised(database) == {"req-0"}
    assert counted(database) == (1, False)
    assert read_alarm(database, "all")["state"] == "alarm"


def test_a_batch_executes_no_count(database: Database) -> None:
    """Fails with COUNT over all raised objects: 195 ms for 300,000 of them, for every batch."""
    engine = grouped(database)
    say(engine, "error", names(3), 1)
    statements: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def keep(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement.lower())

    say(engine, "error", names(3, 5), 2)
    assert statements
    assert not [one for one in statements if "count(" in one]


HEARTBEAT = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "alive"}],
    "group_by": ["request_id"],
    "absence": {"after": 3600},
}


def awaited(database: Database) -> tuple[int, bool]:
    (row,) = read_table(database, tables.alarm_count)
    return row["awaited"], row["is_full_awaited"]


def waiting(database: Database) -> set[str]:
    return {row["managed_object"] for row in read_table(database, tables.timer) if row["due_at"] is not None}


def beats(listener: Listener, *numbers: int) -> BatchReport:
    bodies = [event_body(request_id=name, state="alive") for name in names(*numbers)]
    return listener.engine.process(*bodies)


def test_objects_beyond_the_limit_are_not_awaited_and_the_owner_is_notified(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails when an alarm grouped by a request id has a timer for each request."""
    listener = Listener(database, max_occurrences=10)
    alarm = notification_alarm(database, HEARTBEAT)
    listener.runner.run_once()
    assert awaited(database) == (1, False)
    assert beats(listener, 25).reasons == {"not_raised": 25, "not_awaited": 15}
    # The alarm itself is no longer awaited, since its first object is known.
    assert waiting(database) == set(names(10))
    assert awaited(database) == (10, True)
    assert read_alarm(database, alarm)["state_reason"].startswith(
        "This alarm awaits the absence of 10 managed objects"
    )
    assert len(history(database, alarm)) == 1
    # It is notified once, not with every batch, and objects that are awaited stay so.
    assert beats(listener, 25).reasons["not_awaited"] == 15
    assert beats(listener, 3).reasons == {"not_raised": 3}
    assert awaited(database) == (10, True)
    assert len(history(database, alarm)) == 1
    assert len([one for one in caplog.messages if "awaits the absence of" in one]) == 1
    # Objects whose absence fired make room.
    make_due(database, managed_object="req-0")
    make_due(database, managed_object="req-1")
    listener.runner.run_once()
    assert raised(database) == {"req-0", "req-1"}
    assert awaited(database) == (8, False)
    assert beats(listener, 30, 33).reasons == {"not_raised": 3, "not_awaited": 1}
    assert awaited(database) == (10, True)


def test_timers_of_an_edited_alarm_are_rewritten_in_transactions_of_bounded_size(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when one transaction removes all of them."""
    monkeypatch.setattr("eventalarm.evaluator.timer_arming.ARM_AT_ONCE", 4)
    listener = Listener(database)
    alarm = notification_alarm(database, HEARTBEAT)
    listener.runner.run_once()
    beats(listener, 10)
    assert awaited(database) == (10, False)
    sizes: list[int] = []

    @sa.event.listens_for(database.engine, "after_cursor_execute")
    def count(_: object, cursor: Any, statement: str, *__: object) -> None:
        if statement.startswith("DELETE FROM eventalarm_timer"):
            sizes.append(cursor.rowcount)

    with database.begin() as connection:
        connection.execute(sa.update(ALARM_TABLE).values(enabled=False))
    listener.runner.arm([alarm])
    assert sizes == [4, 4, 3]
    assert waiting(database) == set()
    assert awaited(database) == (0, False)
