"""Recorded events: what the engine stores, what projects see of it, and what the expirer removes."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.evaluator.background_recorder import BackgroundRecorder, RecorderOptions
from eventalarm.http.responses import encode_marker
from eventalarm.metrics import Metrics
from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import expire_recorded, tables
from eventalarm.storage.event_tables import recorded_decision, recorded_event
from eventalarm.storage.recorded_event_pages import EventSelection, RecordedEventPages
from eventalarm.storage.recorded_events import record_id
from tests.support.builders import fault, rule
from tests.support.database_work import work_of
from tests.support.delivery_rows import DeliveriesApi
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, read_table

LIST = "/v1/events"
START = datetime.datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
RULE = rule("compute.instance.update", state="error")


@pytest.fixture
def lite(lite_database: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(lite_database)
    yield one
    one.close()


def event_row(project: str, number: int, **values: Any) -> dict[str, Any]:
    """Return the row of an event of a project that was recorded *number* seconds after START."""
    message = f"{project}-{uuid.uuid4()}"
    return {
        "record_id": record_id(project, message),
        "project_id": project,
        "message_id": message,
        "event_type": "e",
        "managed_object": f"vm-{number % 2}",
        "event_time": START,
        "recorded_at": START + number * SECOND,
        "size": 100,
        "body": '{"message_id": "m", "event_type": "e"}',
        **values,
    }


def put(database: storage.Database, rows: list[dict[str, Any]]) -> list[str]:
    with database.begin() as connection:
        connection.execute(sa.insert(recorded_event), rows)
    return [row["record_id"] for row in rows]


def listed(api: DeliveriesApi, path: str = LIST, **who: Any) -> list[str]:
    return [one["event_id"] for page in api.pages(path, **who) for one in page]


def test_matched_events_are_recorded_with_what_they_led_to(opened: storage.Database) -> None:
    """Red when the rows are not written by the transaction of the match, or a repeated event changes them."""
    insert_alarms(
        opened, alarm_row("fires", rule=RULE), alarm_row("late", rule=RULE, time_constraints=[NEVER_IN_TIME])
    )
    engine = EngineHarness(opened, record_matched=True)
    first, again = fault(message_id="m-1"), fault(message_id="m-2")
    engine.process(first, fault(message_id="other", state="active"), fault(message_id="b", project="b"))
    engine.process(again)
    before = read_table(opened, recorded_event)
    engine.process(first)
    assert read_table(opened, recorded_event) == before
    assert {row["message_id"] for row in before} == {"m-1", "m-2"}
    assert {row["record_id"] for row in before} == {record_id("project-a", one) for one in ("m-1", "m-2")}
    decisions = {
        (row["record_id"], row["alarm_id"]): (row["reason"], row["state"])
        for row in read_table(opened, recorded_decision)
    }
    outside = ("outside_time_constraints", "ok")
    assert decisions == {
        (record_id("project-a", "m-1"), "late"): outside,
        (record_id("project-a", "m-2"), "late"): outside,
        (record_id("project-a", "m-2"), "fires"): ("already_raised", "alarm"),
    }
    pages = RecordedEventPages(opened)
    page = pages.page(EventSelection("project-a"), None, 5)
    assert [dict(one.led_to) for one in page.entries] == [
        {"already_raised": 1, "outside_time_constraints": 1},
        {"raised": 1, "outside_time_constraints": 1},
    ]
    newest = page.entries[0]
    assert pages.get("m-2", "project-a") == pages.get(newest.record_id, None) == (newest, again)
    assert pages.get("m-2", "b") is pages.get(newest.record_id, "b") is None


# At midnight of the 30th of February.
NEVER_IN_TIME = {"name": "never", "start": "0 0 30 2 *", "duration": 1, "timezone": "UTC"}


def test_nothing_is_recorded_unless_the_option_says_so(lite_database: storage.Database) -> None:
    insert_alarms(lite_database, alarm_row("fires", rule=RULE))
    EngineHarness(lite_database).process(fault())
    assert read_table(lite_database, recorded_event) == read_table(lite_database, recorded_decision) == []


def test_pages_hold_every_event_of_the_project_once(opened: storage.Database) -> None:
    """Red when events of one moment fall between two pages, or a page shows another project's events."""
    api = DeliveriesApi(opened, page_size=3)
    rows = [event_row("a", n // 4) for n in range(11)]
    put(opened, rows)
    put(opened, [event_row("b", n) for n in range(3)])
    newest_first = [
        one["record_id"]
        for one in sorted(rows, key=lambda row: (row["recorded_at"], row["record_id"]), reverse=True)
    ]
    assert listed(api) == newest_first
    at = (START + SECOND).isoformat().replace("+", "%2B")
    assert listed(api, f"{LIST}?since={at}&until={at}") == newest_first[3:7]
    of_object = [one["record_id"] for one in rows if one["managed_object"] == "vm-1"]
    assert sorted(listed(api, f"{LIST}?managed_object=vm-1")) == sorted(of_object)
    assert listed(api, f"{LIST}?event_type=other") == []
    everything = listed(api, f"{LIST}?all_projects=true", roles="admin")
    assert sorted(everything) == sorted(newest_first + listed(api, project="b"))
    assert listed(api, f"{LIST}?project_id=b", roles="admin") == listed(api, project="b")
    api.close()


def test_a_page_takes_a_bounded_number_of_statements(opened: storage.Database) -> None:
    put(opened, [event_row("a", n) for n in range(20)])
    pages, seen = RecordedEventPages(opened, scan=8), []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        seen.append(statement)

    sa.event.listen(opened.engine, "before_cursor_execute", note)
    numbers = set()
    for wanted in (EventSelection("a"), EventSelection("a", managed_object="vm-1")):
        for limit in (1, 15):
            del seen[:]
            pages.page(wanted, None, limit)
            numbers.add(len([one for one in seen if one.startswith("SELECT")]))
    sa.event.remove(opened.engine, "before_cursor_execute", note)
    assert max(numbers) <= 4
    rare = pages.page(EventSelection("a", event_type="rare"), None, 5)
    assert (rare.entries, rare.reached) == ([], None)
    # No index bounds what is wanted of all projects.
    rare = pages.page(EventSelection(event_type="rare"), None, 5)
    assert (rare.entries, rare.reached is not None and rare.reached[0]) == ([], START + 12 * SECOND)


@pytest.mark.parametrize("wanted", [EventSelection("a", event_type="rare"), EventSelection("a", "", "vm-7")])
def test_a_filtered_page_costs_the_same_beside_ten_times_as_many_events(
    opened: storage.Database, wanted: EventSelection
) -> None:
    """Red when a filter examines the events of the project, with their bodies, instead of an index."""
    if opened.dialect == "postgresql":
        pytest.skip("PostgreSQL counts rows only once a transaction has ended, some time later")
    pages = RecordedEventPages(opened)
    put(opened, [event_row("a", n, event_type="rare", managed_object="vm-7") for n in range(0, 200, 50)])
    costs = []
    for first in (0, 150):
        put(opened, [event_row("a", n) for n in range(first, 10 * first + 150)])
        assert len(pages.page(wanted, None, 10).entries) == 4
        costs.append(work_of(opened, lambda: pages.page(wanted, None, 10)))
    # The height of an index differs by a few reads.
    assert costs[1] < 1.2 * costs[0] + 50, costs


def test_no_project_reads_anything_of_another(lite: DeliveriesApi) -> None:
    (mine,), (theirs,) = put(lite.database, [event_row("a", 0)]), put(lite.database, [event_row("b", 0)])
    insert_alarms(
        lite.database,
        alarm_row("of-a", rule=RULE, project_id="a"),
        alarm_row("of-b", rule=RULE, project_id="b"),
    )
    for path in (f"{LIST}/{theirs}", f"{LIST}/{theirs}/explain?alarm_id=of-b"):
        assert lite.call("GET", path).status_code == 404
        assert lite.call("GET", f"{path}{'&' if '?' in path else '?'}project_id=b").status_code == 403
        assert lite.call("GET", path, roles="admin").status_code == 200
    assert lite.call("GET", f"{LIST}/{mine}/explain?alarm_id=of-b").status_code == 404
    assert lite.call("GET", f"{LIST}/{mine}/explain?alarm_id=of-b", roles="admin").status_code == 404
    assert lite.call("GET", f"{LIST}?all_projects=true").status_code == 403
    assert lite.call("GET", LIST, roles="nothing").status_code == 403
    assert lite.call("GET", f"{LIST}/{mine}/explain").status_code == 400
    for marker in ("x", encode_marker([1, 2]), encode_marker(["x", "y"])):
        assert lite.call("GET", f"{LIST}?nextpage_opaque_marker={marker}").status_code == 400


def test_the_explanation_names_the_decision_and_each_condition(lite: DeliveriesApi) -> None:
    """Red when the reason is computed again instead of read, or an unsent change has no reason."""
    database = lite.database
    insert_alarms(
        database,
        *(alarm_row(name, rule=RULE, project_id="a") for name in ("fires", "off")),
        alarm_row("other", rule=rule("compute.instance.update", state="deleted"), project_id="a"),
    )
    engine = EngineHarness(database, record_matched=True)
    engine.process(fault(project="a", message_id="m-1"))
    engine.process(fault(project="a", message_id="m-2"))
    with database.begin() as connection:
        connection.execute(
            sa.update(tables.alarm).where(tables.alarm.c.alarm_id == "off").values(enabled=False)
        )

    def text(message: str, alarm_id: str) -> str:
        answer = lite.call("GET", f"{LIST}/{message}/explain?alarm_id={alarm_id}")
        assert answer.status_code == 200, answer.text
        return "\n".join(answer.json["text"])

    assert "raised of vm-1, ok to alarm" in text("m-1", "fires")
    assert "Nothing was sent" in text("m-1", "fires")
    assert "raised on the object already" in text("m-2", "fires")
    unmatched = text("m-2", "other")
    assert "was not evaluated against the alarm" in unmatched
    assert "no     traits.state eq 'deleted'   (event: 'error')" in unmatched
    shown = lite.call("GET", f"{LIST}/m-2").json
    assert [one["reason"] for one in shown["decisions"]] == ["already_raised"] * 2
    assert shown["event"]["message_id"] == "m-2"


def test_old_events_are_removed_and_the_oldest_of_projects_with_too_many(opened: storage.Database) -> None:
    now = opened.now()
    old, new = now - 8 * DAY, now - DAY
    put(opened, [event_row("a", 0, recorded_at=old), event_row("b", 0, recorded_at=old)])
    kept = put(opened, [event_row("a", 0, recorded_at=new)])
    many = put(opened, [event_row("b", 0, recorded_at=new + n * SECOND) for n in range(10)])
    names = [*kept, *many]
    with opened.begin() as connection:
        decisions = [
            {
                "record_id": name,
                "alarm_id": "alarm",
                "managed_object": "",
                "reason": "late",
                "state": "ok",
                "decided_at": new,
            }
            for name in names
        ]
        connection.execute(sa.insert(recorded_decision), decisions)
    removed = expire_recorded.expire_recorded(opened, 7 * DAY, 450, batch_size=4)
    assert {row["record_id"] for row in read_table(opened, recorded_event)} == {*kept, *many[-4:]}
    assert {row["record_id"] for row in read_table(opened, recorded_decision)} == {*kept, *many[-4:]}
    assert list(removed.values()) == [2, 6, 6]


def recorder(database: storage.Database, **options: Any) -> tuple[BackgroundRecorder, Metrics]:
    values: dict[str, Any] = {"everything": False, "backlog": 100, "max_event_size": 1024 * 1024, **options}
    metrics = Metrics()
    return BackgroundRecorder(database, RecorderOptions(("resource_id",), **values), metrics), metrics


def counted(metrics: Metrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("eventalarm_recorded_events_total", {"outcome": outcome})


@pytest.mark.parametrize(("everything", "infrastructure"), [(False, ()), (True, ()), (True, ("infra",))])
def test_other_events_are_recorded_beside(
    lite_database: storage.Database, everything: bool, infrastructure: tuple[str, ...]
) -> None:
    """Red when an event without an alarm is missing, a matched one is there twice, or others' are mixed."""
    insert_alarms(lite_database, alarm_row("fires", rule=RULE))
    beside, metrics = recorder(lite_database, everything=everything)
    engine = EngineHarness(
        lite_database, record_matched=True, recorder=beside, infrastructure_projects=infrastructure
    )
    engine.process(
        fault(message_id="matched"),
        fault(message_id="other", state="active"),
        fault(message_id="of-b", project="b"),
        fault(message_id="of-nobody", project=None),
    )
    beside.start()
    beside.stop()
    rows = {(row["project_id"], row["message_id"]) for row in read_table(lite_database, recorded_event)}
    nobodys = {(infrastructure[0] if infrastructure else "", "of-nobody")} if everything else set()
    assert rows == {("project-a", "matched"), ("project-a", "other"), ("b", "of-b")} | nobodys
    assert counted(metrics, "written") == len(rows) - 1


def test_events_beyond_the_backlog_are_dropped_and_counted(lite_database: storage.Database) -> None:
    beside, metrics = recorder(lite_database, backlog=2)
    engine = EngineHarness(lite_database, record_matched=True, recorder=beside)
    engine.process(*(fault(message_id=f"m-{number}") for number in range(5)))
    beside.start()
    beside.stop()
    assert len(read_table(lite_database, recorded_event)) == 2
    assert counted(metrics, "dropped") == 3
