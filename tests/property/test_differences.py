"""Where we answer otherwise than Aodh's event evaluator, on purpose: one test for each, with Aodh beside it.

The page "Differences from Aodh" lists them; the name of a test here is the anchor of its entry there.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.storage.database import Database, connect
from tests.property.aodh_oracle import Oracle
from tests.support.builders import event_body
from tests.support.builders import rule as make_rule
from tests.support.engine_harness import (
    ALARM_TABLE,
    EngineHarness,
    alarm_row,
    create_schemas,
    history,
    insert_alarms,
    read_alarm,
    transitions,
)

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "differences-from-aodh.rst"
NOW = datetime.datetime(2026, 5, 1, 12, 30, tzinfo=datetime.UTC)
ERROR = make_rule("*", state="error")


class Beside:
    """Our engine and Aodh's evaluator, told the same events about the same alarms."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ours = EngineHarness(database, clock=lambda: NOW)
        self.theirs: dict[str, Oracle] = {}
        self.rows: list[dict[str, Any]] = []

    def alarm(self, alarm_id: str = "alarm", rule: Any = None, **columns: Any) -> str:
        row = alarm_row(alarm_id, rule=ERROR if rule is None else rule, **columns)
        insert_alarms(self.database, row)
        self.rows.append(row)
        return alarm_id

    def tell(self, *events: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Return whom we called and whom Aodh called, as ``alarm state`` in order."""
        before = len(self.ours.sent)
        self.ours.process(*events)
        ours = [f"{t.alarm_id} {t.current}" for t in self.ours.sent[before:]]
        theirs: list[str] = []
        for row in self.rows:
            # The evaluator under the oracle is one object: told alarm after alarm, not event after event.
            oracle = Oracle(self.theirs[row["alarm_id"]].row if row["alarm_id"] in self.theirs else row)
            self.theirs[row["alarm_id"]] = oracle
            for event in events:
                theirs += [f"{n['alarm_id']} {n['current']}" for n in oracle.tell(event).notifications]
        return ours, theirs

    def tell_project(self, *events: dict[str, Any]) -> list[str]:
        """Return whom Aodh calls when all alarms are its, as in one project, and events come as one batch."""
        oracle = Oracle(self.rows[0])
        oracle.storage.rows |= {row["alarm_id"]: dict(row) for row in self.rows}
        try:
            oracle._evaluator.evaluate_events(list(events))
        except Exception:  # noqa: BLE001 - in Aodh the rest of the batch is lost
            return ["raised"]
        return [f"{n['alarm_id']} {n['current']}" for n in oracle.notifier.sent]


@pytest.fixture
def beside(tmp_path: pathlib.Path) -> Iterator[Beside]:
    database = connect(f"sqlite:///{tmp_path / 'aodh.sqlite'}", sqlite_synchronous=False)
    create_schemas(database)
    yield Beside(database)
    database.dispose()


@pytest.mark.parametrize("traits", [["project_id", "tenant_id"], ["tenant_id", "project_id"]])
def test_the_owner_is_the_first_present_trait_not_the_last(beside: Beside, traits: list[str]) -> None:
    beside.alarm("owner", project_id="project_id")
    beside.alarm("caller", project_id="tenant_id")
    event = event_body(project=None, state="error", traits=[[name, 1, name] for name in traits])
    ours, theirs = beside.tell(event)
    assert ours == ["owner alarm"]
    assert theirs == ["caller alarm" if traits[-1] == "tenant_id" else "owner alarm"]


def test_an_empty_owner_trait_is_no_owner(beside: Beside) -> None:
    beside.alarm("a", project_id="project-a")
    event = event_body(
        project=None, state="error", traits=[["tenant_id", 1, "project-a"], ["project_id", 1, ""]]
    )
    assert beside.tell(event) == (["a alarm"], [])


def test_an_alarm_without_a_project_may_be_null(beside: Beside) -> None:
    beside.alarm("empty", project_id="")
    beside.alarm("null", project_id=None)
    ours, theirs = beside.tell(event_body(project=None, state="error"))
    assert (sorted(ours), theirs) == (["empty alarm", "null alarm"], ["empty alarm"])


def test_time_constraints_are_honoured(beside: Beside) -> None:
    never = {"name": "night", "start": "0 0 * * *", "duration": 3600, "timezone": ""}
    beside.alarm("night", time_constraints=[never])
    beside.alarm("lunch", time_constraints=[never | {"start": "0 12 * * *"}])
    ours, theirs = beside.tell(event_body(state="error"))
    assert (ours, theirs) == (["lunch alarm"], ["night alarm", "lunch alarm"])


def test_alarms_with_ok_actions_recover(beside: Beside) -> None:
    rule = make_rule("*", state="error", resource_id="vm")
    beside.alarm("clears", rule, ok_actions=["http://ok"])
    beside.alarm("latched", rule)
    beside.tell(event_body(state="error", resource_id="vm"))
    assert beside.tell(event_body(state="active", resource_id="vm")) == (["clears ok"], [])
    assert read_alarm(beside.database, "latched")["state"] == "alarm"
    # So it can fire again without anybody's help.
    assert beside.tell(event_body(state="error", resource_id="vm")) == (["clears alarm"], [])


def test_a_bad_trait_drops_only_that_trait(beside: Beside) -> None:
    beside.alarm("a")
    beside.alarm("asks", make_rule("*", {"field": "traits.count", "op": "ne", "type": "integer", "value": 1}))
    bad = event_body(state="error", traits=[["count", 2, "many"]])
    ours, theirs = beside.tell(bad)
    assert (sorted(ours), theirs) == (["a alarm", "asks alarm"], [])
    assert beside.tell_project(bad, event_body(state="error")) == ["raised"], "the next event is lost too"


def test_a_bad_rule_stops_only_its_alarm(beside: Beside) -> None:
    beside.alarm("good")
    beside.alarm(
        "bad", make_rule("*", {"field": "traits.count", "op": "eq", "type": "integer", "value": "many"})
    )
    event = event_body(state="error")
    assert beside.tell(event)[0] == ["good alarm"]
    assert beside.tell_project(event) == ["raised"]
    assert beside.ours.bad_rules == [("bad", "query[0].value")]


def test_boolean_conditions_work(beside: Beside) -> None:
    beside.alarm(
        "a", make_rule("*", {"field": "traits.down", "op": "eq", "type": "boolean", "value": "true"})
    )
    assert beside.tell(event_body(down="True")) == (["a alarm"], [])


def test_fields_outside_the_traits_work(beside: Beside) -> None:
    beside.alarm("a", make_rule("*", {"field": "raw.n", "op": "gt", "type": "integer", "value": 1}))
    assert beside.tell(event_body(raw={"n": 2})) == (["a alarm"], [])


@pytest.mark.parametrize("op", ["lt", "le", "gt", "ge"])
def test_a_comparison_that_cannot_be_made_is_false(beside: Beside, op: str) -> None:
    beside.alarm("a", make_rule("*", {"field": "traits.count", "op": op, "type": "integer", "value": 1}))
    for traits in ({}, {"count": "text"}):
        assert beside.tell(event_body(**traits)) == ([], [])


def test_missing_parts_of_a_rule_have_the_defaults_of_the_api(beside: Beside) -> None:
    beside.alarm("no-query", {"event_type": "*"})
    beside.alarm("no-type", {"query": ERROR["query"]})
    beside.alarm("null-op", {"event_type": "*", "query": [ERROR["query"][0] | {"op": None}]})
    ours, theirs = beside.tell(event_body(state="error"))
    assert (sorted(ours), theirs) == (["no-query alarm", "no-type alarm", "null-op alarm"], [])


def test_an_unreadable_rule_matches_nothing(beside: Beside) -> None:
    beside.alarm("good")
    beside.alarm("torn")
    with beside.database.begin() as connection:
        connection.execute(sa.text("UPDATE alarm SET rule = '{\"event_type' WHERE alarm_id = 'torn'"))
    beside.ours.process(event_body(state="error"))
    assert [t.alarm_id for t in beside.ours.sent] == ["good"]
    with beside.database.read() as connection, pytest.raises(json.JSONDecodeError):
        connection.execute(sa.select(ALARM_TABLE)).all()  # what Aodh does for the whole project


def test_one_event_counts_once(beside: Beside) -> None:
    beside.alarm("a", repeat_actions=True)
    event = event_body(state="error")
    assert beside.tell(event, event) == (["a alarm"], ["a alarm", "a alarm"])


def test_late_events_change_nothing(beside: Beside) -> None:
    beside.alarm("a", repeat_actions=True)
    beside.tell(event_body(state="error", generated="2026-05-01T12:00:10"))
    late = event_body(state="error", generated="2026-05-01T12:00:05")
    assert beside.tell(late) == ([], ["a alarm"])
    assert [t["kind"] for t in transitions(beside.database)] == ["raised", "late"]


def test_a_time_in_the_future_is_now(beside: Beside) -> None:
    beside.alarm("a", repeat_actions=True)
    beside.tell(event_body(state="error", generated="2036-01-01T00:00:00"))
    assert beside.tell(event_body(state="error", generated=NOW.isoformat()))[0] == ["a alarm"]


def test_state_timestamp_follows_the_state(beside: Beside) -> None:
    old = datetime.datetime(2020, 1, 1)
    beside.alarm("a", state_timestamp=old)
    beside.tell(event_body(state="error"))
    assert read_alarm(beside.database, "a")["state_timestamp"] == NOW.replace(tzinfo=None)
    assert beside.theirs["a"].row["state_timestamp"] == old


def test_definitions_are_as_fresh_as_the_batch(beside: Beside) -> None:
    beside.alarm("a")
    oracle = Oracle(beside.rows[0], cache_ttl=60)
    oracle.tell(event_body())
    beside.ours.process(event_body())
    beside.alarm("new")
    oracle.storage.rows["new"] = beside.rows[1]
    oracle.tell(event_body(state="error"))
    beside.ours.process(event_body(state="error"))
    assert [n["alarm_id"] for n in oracle.notifier.sent] == ["a"]
    assert sorted(t.alarm_id for t in beside.ours.sent) == ["a", "new"]


def test_an_edit_between_look_and_firing_survives(beside: Beside) -> None:
    beside.alarm("a")
    oracle = Oracle(beside.rows[0], cache_ttl=60)
    oracle.tell(event_body())
    oracle.storage.rows["a"] |= {"name": "renamed", "enabled": False}
    oracle.tell(event_body(state="error"))
    assert oracle.row["name"] == "an alarm", "Aodh wrote the whole row back"
    beside.ours.process(event_body())
    with beside.database.begin() as connection:
        connection.execute(sa.update(ALARM_TABLE).values(name="renamed", severity="critical"))
    beside.ours.process(event_body(state="error"))
    row = read_alarm(beside.database, "a")
    assert (row["name"], row["state"]) == ("renamed", "alarm")
    assert (beside.ours.sent[0].alarm_name, beside.ours.sent[0].severity) == ("renamed", "critical")


def test_history_names_no_service_user(beside: Beside) -> None:
    beside.alarm("a")
    beside.tell(event_body(state="error"))
    (theirs,) = beside.theirs["a"].storage.changes
    assert history(beside.database, "a") == [json.loads(theirs["detail"])]
    with beside.database.read() as connection:
        row = connection.execute(sa.text("SELECT user_id, project_id, on_behalf_of FROM alarm_history")).one()
    assert tuple(row) == (None, None, theirs["on_behalf_of"])
    assert theirs["user_id"] == "service"


def test_stored_reasons_fit_every_database(beside: Beside) -> None:
    long = "x" * 10_000
    beside.alarm("a", make_rule("*", long=long))
    beside.tell(event_body("💥" + "x" * 900, long=long))
    kept = read_alarm(beside.database, "a")["state_reason"]
    assert len(kept) == 8000
    assert "💥" not in kept
    assert "💥" in beside.ours.sent[0].reason, "the consumer is told everything"
    assert "💥" in beside.theirs["a"].row["state_reason"]


def test_the_same_action_twice_is_called_once(beside: Beside) -> None:
    from eventalarm.delivery.enqueue import to_deliveries  # noqa: PLC0415

    beside.alarm("a", alarm_actions=["http://a", "http://a"])
    beside.tell(event_body(state="error"))
    assert [d.action for d in to_deliveries(beside.ours.sent[0], lambda: "id")] == ["http://a"]
    assert beside.theirs["a"].notifier.sent[0]["actions"] == ["http://a", "http://a"]


def test_ids_must_be_text(beside: Beside) -> None:
    from eventalarm.exceptions import InvalidEvent  # noqa: PLC0415

    beside.alarm("a")
    event = event_body(state="error") | {"message_id": 5}
    with pytest.raises(InvalidEvent, match="no_message_id"):
        beside.tell(event)
    assert Oracle(beside.rows[0]).tell(event).notifications


def test_a_trait_that_is_a_text_is_no_trait(beside: Beside) -> None:
    beside.alarm("a", make_rule("*", {"field": "traits.a", "op": "eq", "value": "c"}))
    assert beside.tell(event_body(traits=["abc"])) == ([], ["a alarm"])


def test_ordinal_dates_are_iso_dates(beside: Beside) -> None:
    """Aodh reads the ordinal date 2026-121, the first of May, as the 21st of January."""
    beside.alarm(
        "a", make_rule("*", {"field": "traits.d", "op": "eq", "type": "datetime", "value": "2026-05-01"})
    )
    assert beside.tell(event_body(traits=[["d", 4, "2026-121"]])) == (["a alarm"], [])


def test_every_difference_is_on_the_page() -> None:
    named: list[Callable[..., None]] = [
        f for name, f in globals().items() if name.startswith("test_") and "on_the_page" not in name
    ]
    listed = set(re.findall(r"``(test_\w+)``", PAGE.read_text()))
    assert listed == {f.__name__ for f in named}
