"""``rule test --since``: what it predicts is what the engine does, and nothing is written."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.model import UNKNOWN, UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.event_tables import recorded_event
from tests.property import examples
from tests.support.builders import event_body, fault, rule
from tests.support.delivery_rows import DeliveriesApi
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, read_table, transitions

START = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
NUMBERS = itertools.count(1)
FAULT = [{"field": "traits.state", "value": "error"}]
CLEAR = {"query": [{"field": "traits.state", "value": "active"}]}
SHOWN = ("kind", "managed_object", "message_id", "previous", "current", "severity")
EVENT_RULES = st.builds(
    lambda kind, ok: {"type": "event", "rule": rule(kind, state="error"), "ok_actions": ok},
    st.sampled_from(["compute.instance.update", "*"]),
    st.sampled_from([[], ["http://ok"]]),
)
NOTIFICATION_RULES = st.builds(
    lambda more, clear: {
        "type": "notification",
        "rule": {
            "event_type": "*",
            "query": FAULT,
            **more,
            **({"clear": CLEAR} if clear or "count" in more else {}),
        },
    },
    st.sampled_from(
        [
            {},
            {"group_by": ["host"]},
            {"severity_from": "severity"},
            {"resource_id": "vm-1"},
            {"count": {"at_least": 2, "within": 20}},
        ]
    ),
    st.booleans(),
)
COLUMNS = st.fixed_dictionaries({"repeat_actions": st.booleans()})
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["error", "error", "active", "other"]),
        st.sampled_from(["vm-1", "vm-2"]),
        st.sampled_from(["critical", "minor", None]),
        st.integers(0, 60),
    ),
    max_size=12,
)


@pytest.fixture
def api(lite_database: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(lite_database)
    yield one
    one.close()


def past(api: DeliveriesApi, project: str, **body: Any) -> dict[str, Any]:
    given = {"since": START.isoformat(), **body}
    answer = api.call("POST", "/v1/rules/test", given, project=project, roles="reader")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


@examples(20, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(alarm=st.one_of(EVENT_RULES, NOTIFICATION_RULES), columns=COLUMNS, events=EVENTS)
def test_a_test_over_past_events_predicts_what_the_engine_does(
    api: DeliveriesApi, alarm: dict[str, Any], columns: dict[str, Any], events: list[Any]
) -> None:
    """Red when the simulation decides by other code, dates events otherwise, or takes them out of order."""
    name = f"p{next(NUMBERS)}"
    columns = {"ok_actions": [], **alarm, **columns, "project_id": name, "state": UNKNOWN}
    now = START
    insert_alarms(api.database, alarm_row(name, **columns))
    engine = EngineHarness(api.database, record_matched=True, clock=lambda: now)
    for number, (state, vm, severity, second) in enumerate(events):
        now = START + datetime.timedelta(seconds=number + 1)
        traits = {"severity": severity} if severity else {}
        at = START + datetime.timedelta(seconds=second - 30)
        body = event_body(
            state=state,
            resource_id=vm,
            host="h",
            project=name,
            generated=at,
            message_id=f"m-{number}",
            **traits,
        )
        engine.process(body)
    done = [tuple(row[field] for field in SHOWN) for row in transitions(api.database, alarm_id=name)]
    found = past(api, name, alarm_id=name)
    assert [one["made_by"] for one in found["changes"]] == ["both"] * len(done)
    assert [tuple(one[field] for field in SHOWN) for one in found["changes"]] == done
    draft = past(api, name, rule=alarm["rule"], type=alarm["type"], alarm_id=name)
    assert draft["changes"] == found["changes"]


def test_the_difference_names_what_only_one_rule_did(api: DeliveriesApi) -> None:
    """Red when the test writes, or reads events of another project."""
    database = api.database
    insert_alarms(
        database,
        alarm_row("mine", rule=rule("*", state="error"), project_id="a", alarm_actions=["http://u:pw@hook/"]),
        alarm_row("theirs", rule=rule("*", state="error"), project_id="b"),
    )
    engine = EngineHarness(database, record_matched=True)
    for number, vm in enumerate(("vm-1", "vm-2")):
        engine.process(fault(project="a", resource_id=vm, message_id=f"m-{number}"))
    engine.process(fault(project="b", resource_id="vm-2", message_id="m-b"))
    before = [read_table(database, table) for table in tables.metadata.sorted_tables]
    draft = rule("*", state="error", resource_id="vm-2")
    found = past(api, "a", alarm_id="mine", rule=draft, type="event")
    made = [(one["made_by"], one["message_id"], one["webhooks"]) for one in found["changes"]]
    # The alarm was raised already when the second object failed, so that called nothing.
    assert made == [("present", "m-0", []), ("both", "m-1", ["http://***@hook/"])]
    assert found["text"][-1].endswith("calls http://***@hook/ (before: nothing)")
    assert (found["events"], found["matched"], found["complete"]) == (2, 1, True)
    assert [read_table(database, table) for table in tables.metadata.sorted_tables] == before
    assert len(read_table(database, recorded_event)) == 3

    limited = DeliveriesApi(database, max_tested_events=1)
    first = past(limited, "a", alarm_id="mine")
    assert (first["events"], first["complete"], len(first["changes"])) == (1, False, 1)
    limited.close()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"alarm_id": "theirs"}, 404, None),
        ({}, 400, ""),
        ({"rule": {"event_type": "*"}, "since": "soon"}, 400, "/since"),
        ({"rule": {"event_type": "*"}, "until": "2020-01-01T00:00:00Z"}, 400, "/since"),
        ({"rule": {"nope": 1}}, 400, "/rule/nope"),
    ],
)
def test_a_bad_request_names_the_field(api: DeliveriesApi, body: Any, status: int, field: str | None) -> None:
    insert_alarms(api.database, alarm_row("theirs", rule=rule(), project_id="b"))
    answer = api.call("POST", "/v1/rules/test", {"since": START.isoformat(), **body})
    assert answer.status_code == status, answer.text
    if field is not None:
        assert field in [one["field"] for one in answer.json["errors"]]
