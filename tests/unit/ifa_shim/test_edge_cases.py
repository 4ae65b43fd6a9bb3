"""The edge cases of mapping Aodh's alarms to ETSI's, each by its number in the list of decisions.

Those about subscriptions (15, 16) are in test_filter_match.py, those that need a server and a database (21,
22, 25, 28) in tests/functional/test_ifa_*.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from eventalarm.catalogue.fault_files import load
from eventalarm.ifa_shim import (
    AodhAlarm,
    Record,
    Severity,
    State,
    from_api,
    from_history,
    from_occurrence,
    read_records,
    rfc3339,
)
from eventalarm.ifa_shim.resource import is_root_cause
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.model import ALARM, OK, UNKNOWN, UTC, Event, Kind, object_alarm_id
from tests.support.builders import at, rule
from tests.unit.ifa_shim.parts import (
    SERVER,
    alarm,
    created,
    details,
    edited,
    evaluated,
    occurrence,
    put_state,
    raw,
    shown,
    threshold,
    transition,
)


def test_01_insufficient_data_at_first_is_no_alarm() -> None:
    assert from_history(threshold(UNKNOWN), [created(0)]) is None


@pytest.mark.parametrize(
    ("policy", "severity", "state"),
    [
        (InsufficientData.INDETERMINATE, Severity.INDETERMINATE, State.UPDATED),
        (InsufficientData.KEEP, Severity.CRITICAL, State.FIRED),
        (InsufficientData.CLEAR, Severity.CLEARED, State.CLEARED),
    ],
)
def test_01_insufficient_data_after_a_raise(
    policy: InsufficientData, severity: Severity, state: State
) -> None:
    found = shown(threshold(UNKNOWN), evaluated(ALARM, 1), evaluated(UNKNOWN, 2), insufficient_data=policy)
    assert (found.perceived_severity, found.state, found.raised_time) == (severity, state, at(1))


def test_01_a_recorded_occurrence_with_insufficient_data_stays_active() -> None:
    row = alarm(UNKNOWN, state_timestamp=at(9))
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER)], row)
    assert (found.perceived_severity, found.state, found.changed_time) == (
        Severity.INDETERMINATE,
        State.UPDATED,
        at(9),
    )


def test_02_a_repeated_hit_is_counted_and_changes_nothing() -> None:
    found = shown(alarm(repeat_actions=True), evaluated(ALARM, 1), evaluated(ALARM, 5))
    assert (found.state, found.changed_time) == (State.FIRED, None)
    assert details(found)["hits"] == "2"
    assert details(found)["last_event_time"] == rfc3339(at(5))


def test_02_a_deployer_may_call_it_a_change() -> None:
    found = shown(alarm(), evaluated(ALARM, 1), evaluated(ALARM, 5), repeat_is_change=True)
    assert (found.state, found.changed_time) == (State.UPDATED, at(5))


def test_02_a_repeated_hit_of_our_alarm() -> None:
    transitions = [transition(instance_id=SERVER), transition(Kind.CHANGED, 5, instance_id=SERVER)]
    found = from_occurrence(occurrence(hits=2, changed_at=at(5)), transitions, alarm())
    assert (found.state, details(found)["hits"], details(found)["last_event_time"]) == (
        State.FIRED,
        "2",
        rfc3339(at(5)),
    )


def test_03_an_event_alarm_that_never_clears_stays_fired() -> None:
    found = shown(alarm(state_timestamp=at(-1000)), evaluated(ALARM, 1))
    assert (found.state, found.cleared_time) == (State.FIRED, None)


def test_04_deleted_while_raised_is_cleared_under_the_same_id() -> None:
    query = '[{"field": "traits.instance_id", "op": "eq", "type": "string", "value": "' + SERVER + '"}]'
    reason = f"Event <id=m-1,event_type=compute.instance.update> hits the query <query={query}>."
    transitions = [transition(instance_id=SERVER, reason=reason)]
    before = from_occurrence(occurrence(), transitions, alarm())
    after = from_occurrence(occurrence(raised=False, cleared_at=at(7)), transitions, None)
    assert before.alarm_id == after.alarm_id == "alarm-1"
    assert (after.state, after.perceived_severity, after.cleared_time) == (
        State.CLEARED,
        Severity.CLEARED,
        at(7),
    )
    assert details(after)["deleted"] == "true"


def test_05_disabled_while_raised_stays_open() -> None:
    found = shown(alarm(enabled=False), evaluated(ALARM, 1), edited(2, enabled=False))
    assert (found.state, found.changed_time, details(found)["enabled"]) == (State.FIRED, None, "false")


FLAPS = [evaluated(ALARM, 1), evaluated(OK, 2), evaluated(ALARM, 3)]


def test_06_flapping_is_a_new_occurrence_each_time() -> None:
    found = shown(threshold(), *FLAPS)
    assert (found.raised_time, found.state) == (at(3), State.FIRED)


def test_06_hold_down_joins_them() -> None:
    found = shown(threshold(), *FLAPS, hold_down=5)
    assert (found.raised_time, found.changed_time, found.cleared_time, found.state) == (
        at(1),
        at(3),
        None,
        State.UPDATED,
    )


def test_07_records_in_any_order_give_the_same_answer() -> None:
    records = [created(0), evaluated(ALARM, 1), edited(2, severity="low"), evaluated(OK, 3)]
    assert shown(threshold(OK), *records) == shown(threshold(OK), *reversed(records))


@pytest.mark.parametrize(("state", "last"), [(ALARM, State.FIRED), (OK, State.CLEARED)])
def test_08_equal_times_end_with_the_state_of_the_row(state: str, last: State) -> None:
    pair = [evaluated(ALARM, 5), evaluated(OK, 5)]
    for records in (pair, pair[::-1]):
        found = shown(threshold(state), created(0), evaluated(ALARM, 1), *records)
        assert found.state is last
        assert {"raised_time", "cleared_time"}.isdisjoint(details(found))


@pytest.mark.parametrize("text", ["2026-05-01T12:00:05", "2026-05-01T12:00:05Z", "2026-05-01T14:00:05+02:00"])
def test_09_times_with_and_without_zone_are_the_same_instant(text: str) -> None:
    record = Record.parse(raw("state transition", 0, {"state": ALARM}) | {"timestamp": text})
    found = shown(threshold(), record)
    assert found.raised_time == at(5)
    assert found.raised_time.tzinfo is UTC
    assert rfc3339(found.raised_time) == "2026-05-01T12:00:05.000000Z"


def test_09_a_source_with_a_fast_clock_is_quoted_as_it_is() -> None:
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER, generated=at(60))], alarm())
    assert (found.event_time, found.raised_time) == (at(60), at(0))


def test_10_a_manual_reset_is_a_normal_clear_by_somebody() -> None:
    found = shown(threshold(OK), evaluated(ALARM, 1), put_state(OK, 4, user="u-7"))
    assert (found.state, found.cleared_time) == (State.CLEARED, at(4))
    assert (details(found)["manual"], details(found)["user_id"]) == ("true", "u-7")


def test_10_a_manual_reset_clears_a_recorded_occurrence() -> None:
    row = alarm(OK, state_timestamp=at(4), state_reason="Manually set via API")
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER)], row)
    assert (found.state, found.cleared_time, details(found)["manual"]) == (State.CLEARED, at(4), "true")


def test_11_resetting_twice_changes_nothing() -> None:
    once = shown(threshold(OK), evaluated(ALARM, 1), put_state(OK, 4))
    twice = shown(threshold(OK), evaluated(ALARM, 1), put_state(OK, 4), put_state(OK, 9))
    assert once == twice


def test_12_a_state_hidden_in_an_edit_is_a_transition() -> None:
    found = shown(threshold(OK), evaluated(ALARM, 1), edited(6, state=OK, state_reason="x"))
    assert (found.state, found.cleared_time) == (State.CLEARED, at(6))
    assert "cleared_time" not in details(found)


def test_13_an_edit_while_raised_is_a_change_of_the_same_object() -> None:
    found = shown(
        alarm(the_rule=rule(instance_id=SERVER, state="shutoff")),
        created(0),
        evaluated(ALARM, 1),
        edited(5, rule=rule(instance_id=SERVER, state="shutoff")),
    )
    assert (found.state, found.changed_time, found.managed_object_id) == (State.UPDATED, at(5), SERVER)


def test_13_a_rule_moved_to_another_object_clears_the_occurrence() -> None:
    moved = rule(instance_id="other")
    found = shown(alarm(the_rule=moved), created(0), evaluated(ALARM, 1), edited(5, rule=moved))
    assert (found.state, found.cleared_time, found.managed_object_id) == (State.CLEARED, at(5), SERVER)


def test_13_and_the_next_raise_is_of_the_new_object() -> None:
    moved = rule(instance_id="other")
    found = shown(
        alarm(the_rule=moved),
        created(0),
        evaluated(ALARM, 1),
        edited(5, rule=moved),
        evaluated(ALARM, 8),
    )
    assert (found.state, found.raised_time, found.managed_object_id) == (State.FIRED, at(8), "other")


def test_13_a_recorded_occurrence_is_cleared_too() -> None:
    row = alarm(the_rule=rule(instance_id="other"), timestamp=at(6))
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER)], row)
    assert (found.state, found.cleared_time, found.managed_object_id) == (State.CLEARED, at(6), SERVER)


def test_14_a_severity_edited_while_raised_is_a_change() -> None:
    found = shown(threshold(severity="low"), evaluated(ALARM, 1), edited(5, severity="low"))
    assert (found.state, found.changed_time, found.perceived_severity) == (
        State.UPDATED,
        at(5),
        Severity.WARNING,
    )


def test_14_a_severity_that_aodh_reverted_is_that_of_the_row() -> None:
    found = shown(threshold(severity="moderate"), evaluated(ALARM, 1), edited(5, severity="critical"))
    assert (found.perceived_severity, found.changed_time) == (Severity.MAJOR, at(5))


def test_14_an_edit_of_a_recorded_occurrence() -> None:
    edits = [edited(5, severity="low"), edited(-5, severity="moderate")]
    found = from_occurrence(
        occurrence(), [transition(instance_id=SERVER)], alarm(severity="low"), edits=edits
    )
    assert (found.state, found.changed_time, found.perceived_severity) == (
        State.UPDATED,
        at(5),
        Severity.WARNING,
    )


def test_14_an_edit_before_the_raise_is_no_change_of_it() -> None:
    row, edits = alarm(severity="low"), [edited(-5, severity="low")]
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER)], row, edits=edits)
    assert (found.state, found.changed_time) == (State.FIRED, None)


def test_07_a_clear_by_a_slow_clock_is_not_before_what_it_ends() -> None:
    transitions = [transition(instance_id=SERVER), transition(Kind.CHANGED, 8, instance_id=SERVER)]
    over = occurrence(raised=False, cleared_at=at(5), hits=2)
    found = from_occurrence(over, transitions, alarm(OK), Settings(repeat_is_change=True))
    assert (found.changed_time, found.cleared_time) == (at(8), at(8))


def test_17_one_definition_on_many_objects_is_one_alarm_each() -> None:
    row = alarm(the_rule=rule(state="error"))
    found = [
        from_occurrence(occurrence(server), [transition(instance_id=server)], row) for server in ("a", "b")
    ]
    assert [one.alarm_id for one in found] == [object_alarm_id("alarm-1", s) for s in ("a", "b")]
    over = dataclasses.replace(row, state=OK, state_timestamp=at(5))
    for server in ("a", "b"):
        after = from_occurrence(occurrence(server), [transition(instance_id=server)], over)
        assert after.state is State.CLEARED


def test_18_one_event_that_raises_many_correlates_them() -> None:
    found = from_occurrence(
        occurrence(), [transition(instance_id=SERVER)], alarm(), correlated=["other", "alarm-1"]
    )
    assert (found.correlated_alarm_ids, found.is_root_cause) == (("other",), False)
    traits: dict[str, Any] = {"is_root_cause": "true", "correlated_alarm_ids": "x,y"}
    notified = from_occurrence(occurrence(), [transition(instance_id=SERVER, **traits)], alarm())
    assert (notified.correlated_alarm_ids, notified.is_root_cause) == (("x", "y"), True)


@pytest.mark.parametrize(
    ("event_type", "traits", "expected"),
    [
        ("compute.host.down", {"hostname": "compute0"}, True),
        ("network.switch.down", {"switch": "leaf-1"}, True),
        # What the inspector, or an inspector of an older kind, says to the owner of one server.
        ("compute.host.down", {"instance_id": SERVER, "project_id": "p", "fault_id": "f"}, False),
        ("compute.host.down", {"hostname": "compute0", "is_root_cause": "False"}, False),
        ("compute.instance.update", {"instance_id": SERVER, "is_root_cause": "True"}, True),
        ("compute.instance.update", {"instance_id": SERVER}, False),
    ],
)
def test_18_the_fault_of_a_host_is_a_root_cause(
    event_type: str, traits: dict[str, str], expected: bool
) -> None:
    assert is_root_cause(made_event(event_type, traits), load().find(event_type, traits)) is expected


def made_event(event_type: str, traits: dict[str, str]) -> Event:
    listed = [[name, 1, value] for name, value in traits.items()]
    return Event.parse({"message_id": "m", "event_type": event_type, "traits": listed})


def test_19_an_alarm_bound_to_no_resource_stands_for_itself() -> None:
    row = alarm(type="prometheus", the_rule={"query": "up == 0"})
    found = shown(row, evaluated(ALARM, 1))
    assert (found.managed_object_id, found.faulty_resource) == ("alarm-1", None)
    assert details(found)["managed_object"] == "unresolved"


@pytest.mark.parametrize(
    ("kind", "the_rule", "managed_object"),
    [
        ("composite", {"or": [{"resource_id": "a"}, {"and": [{"resource_id": "a"}]}]}, "a"),
        ("composite", {"or": [{"resource_id": "a"}, {"resource_id": "b"}]}, "alarm-1"),
        ("loadbalancer_member_health", {"pool_id": "pool"}, "pool"),
        ("gnocchi_aggregation_by_resources_threshold", {"query": '{"=": {"id": "a"}}'}, "a"),
        ("gnocchi_aggregation_by_resources_threshold", {"query": '{"=": {"host": "a"}}'}, "alarm-1"),
        ("gnocchi_aggregation_by_resources_threshold", {"query": "not JSON"}, "alarm-1"),
    ],
)
def test_19_rules_that_name_exactly_one_resource(kind: str, the_rule: object, managed_object: str) -> None:
    found = shown(alarm(type=kind, the_rule=the_rule), evaluated(ALARM, 1))
    assert found.managed_object_id == managed_object


def test_20_no_history_at_all_gives_an_estimate_that_stays() -> None:
    first, second = shown(threshold(timestamp=at(2))), shown(threshold(timestamp=at(2)))
    assert (first.raised_time, details(first)["raised_time"]) == (at(2), "estimated")
    assert first == second
    later = shown(threshold(timestamp=at(2), state_timestamp=at(3)))
    assert later.raised_time == at(3)


def test_20_the_oldest_known_record_bounds_the_raise() -> None:
    found = shown(threshold(), edited(3, name="x"), edited(5, name="y"))
    assert (found.raised_time, details(found)["raised_time"]) == (at(3), "estimated")


def test_20_a_hole_at_the_end_is_closed_by_the_row() -> None:
    found = shown(threshold(OK), evaluated(ALARM, 1), edited(3, name="x"))
    assert (found.state, found.cleared_time, details(found)["cleared_time"]) == (
        State.CLEARED,
        at(3),
        "estimated",
    )
    again = shown(threshold(), evaluated(ALARM, 1), evaluated(OK, 2))
    assert (again.state, again.raised_time, details(again)["raised_time"]) == (
        State.FIRED,
        at(2),
        "estimated",
    )


def test_20_a_lost_raise_in_the_middle_makes_no_occurrence() -> None:
    found = shown(threshold(), created(0, OK), evaluated(OK, 4), evaluated(ALARM, 6))
    assert (found.raised_time, found.changed_time) == (at(6), None)


def test_23_outside_its_hours_an_alarm_is_no_clear() -> None:
    body = {
        "alarm_id": "a",
        "type": "gnocchi_resources_threshold",
        "state": ALARM,
        "time_constraints": [{"name": "night", "start": "0 0 * * *", "duration": 60}],
    }
    found = from_api(body, [raw("state transition", 1, {"state": ALARM})])
    assert found is not None
    assert found.active


def test_24_an_alarm_created_in_alarm_is_raised_then() -> None:
    found = shown(threshold(), created(2, ALARM))
    assert (found.raised_time, found.state) == (at(2), State.FIRED)
    assert "raised_time" not in details(found)


def test_29_ids_are_opaque() -> None:
    row = alarm(alarm_id="x" * 128)
    found = shown(row, evaluated(ALARM, 1))
    assert found.alarm_id == "x" * 128
    assert AodhAlarm.parse({"alarm_id": "not/a uuid", "state": ALARM}).alarm_id == "not/a uuid"


def test_30_what_cannot_be_read_is_counted_and_fails_nothing() -> None:
    good = raw("state transition", 1, {"state": ALARM, "unknown": 1})
    bad = [
        raw("state transition", 2, "{broken"),
        raw("state transition", 2, "[]"),
        raw("stop", 2, {}),
        raw("creation", 0, {"state": OK}) | {"timestamp": None},
        None,
    ]
    records, skipped = read_records([*bad, good, good])
    assert (len(records), skipped) == (1, 5)
    assert shown(threshold(), *records).raised_time == at(1)


def test_30_a_notification_of_the_api_holds_a_mapping() -> None:
    record = Record.parse(raw("state transition", 1, "") | {"detail": {"state": ALARM}})
    assert record.state == ALARM
