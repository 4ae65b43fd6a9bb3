"""Notification rules: parsed, rejected with the field and the remedy, evaluated, and indexed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from eventalarm.evaluator.compiled_rule import Timers
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, WITH_OK_ACTIONS, clears
from eventalarm.evaluator.event_rule import Verdict, compile_rule, reason
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.evaluator.match_count import Threshold
from eventalarm.evaluator.notification_rule import compile_definition, compile_notification, parse
from eventalarm.evaluator.options import RuleLimits
from eventalarm.exceptions import InvalidRule
from tests.support.builders import NOW, RESOURCE_TRAITS, UPDATE, definition, event
from tests.unit.evaluator.test_conditions import on

ERROR, ACTIVE = on("state", "error"), on("state", "active")
WHOLE = {
    "event_type": ["compute.*", UPDATE, "compute.*"],
    "query": {"or": [ERROR, on("state", "crashed")]},
    "resource_id": "vm-1",
    "clear": {"event_type": "compute.instance.*", "query": [ACTIVE]},
    "clear_after": 600,
    "group_by": ["traits.port_id", "host"],
    "severity": "Minor",
    "severity_from": "severity",
    "hold_down": 1.5,
}


def compiled(**document: Any) -> Any:
    return compile_notification(parse(document), RESOURCE_TRAITS)


def test_every_field() -> None:
    rule = parse(WHOLE, RuleLimits(), require_resource_id=True)
    assert rule.raises.event_types == ("compute.*", UPDATE)
    assert rule.clear is not None
    assert rule.clear.event_types == ("compute.instance.*",)
    assert (rule.resource_id, rule.severity, rule.severity_from) == ("vm-1", "MINOR", "severity")
    assert rule.group_by == ("port_id", "host")
    assert rule.timers == Timers(clear_after=600.0, hold_down=1.5)
    counted = parse({"event_type": "a", "clear_after": 5, "count": {"at_least": 3, "within": 60}})
    assert counted.count == Threshold(3, 60.0)
    grouped = {"query": [ERROR], "clear": {"query": [ACTIVE]}, "at_least": 2, "objects": "traits.resource_id"}
    at_least = parse(grouped).at_least
    assert at_least is not None
    assert (at_least.number, at_least.objects) == (2, ("resource_id",))
    assert parse(
        {**grouped, "at_least": 3, "hold_down": 5, "severity": "minor"}
    ).at_least == dataclasses.replace(at_least, number=3)
    assert parse({**grouped, "group_by": ["host"]}).at_least != at_least
    assert parse({"event_type": "a", "absence": {"after": 30}}).timers == Timers(absence_after=30.0)
    assert parse({"event_type": "a", "clear": {"query": [ERROR]}, "query": [ACTIVE]}).clear is not None


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (None, "rule", "must be a non-empty object"),
        ({}, "rule", "must be a non-empty object"),
        ({"event_type": "*"}, "rule", "must not match every event"),
        ({"event_type": "a", "evnt": 1}, "evnt", "unknown field; use event_type,"),
        ({"event_type": ""}, "event_type", "pattern such as"),
        ({"event_type": []}, "event_type", "must be a non-empty string or a list"),
        ({"event_type": ["a", 5]}, "event_type", "must be a non-empty string or a list"),
        ({"event_type": ["a"] * 101}, "event_type", "more than 100"),
        ({"event_type": "a" * 256}, "event_type", "longer than 255"),
        ({"query": "x"}, "query", "must be an object"),
        ({"event_type": "a", "clear": {}}, "clear", "must be a non-empty object"),
        ({"event_type": "a", "clear": {"x": 1}}, "clear.x", "unknown field"),
        ({"query": [ERROR], "clear": {"query": [{}]}}, "clear.query[0].field", "required"),
        ({"query": [ERROR], "clear": {"query": [ERROR]}}, "clear", "must differ from what raises"),
        ({"event_type": "host.*", "clear": {"event_type": "host.up"}}, "clear", "it matches raises the"),
        ({"event_type": "a", "clear_after": 0}, "clear_after", "number of seconds"),
        ({"event_type": "a", "clear_after": "5"}, "clear_after", "number of seconds"),
        ({"event_type": "a", "hold_down": True}, "hold_down", "number of seconds"),
        ({"event_type": "a", "hold_down": float("nan")}, "hold_down", "number of seconds"),
        ({"event_type": "a", "absence": 5}, "absence.after", "required"),
        ({"event_type": "a", "absence": {"after": 1e12}}, "absence.after", "number of seconds"),
        ({"event_type": "a", "absence": {"after": 5, "x": 1}}, "absence.x", "unknown field"),
        ({"event_type": "a", "absence": {"after": 5}, "clear_after": 5}, "clear_after", "remove it"),
        ({"event_type": "a", "count": 3}, "count", "give {at_least: number, within: seconds}"),
        ({"event_type": "a", "count": {"at_least": 3, "x": 1}}, "count.x", "use at_least, within"),
        ({"event_type": "a", "count": {"at_least": 1, "within": 5}}, "count.at_least", "from 2 to 100"),
        ({"event_type": "a", "count": {"at_least": True, "within": 5}}, "count.at_least", "an integer"),
        ({"event_type": "a", "count": {"at_least": 101, "within": 5}}, "count.at_least", "from 2 to 100"),
        ({"event_type": "a", "count": {"at_least": 2}}, "count.within", "give a number of seconds"),
        ({"event_type": "a", "count": {"at_least": 2, "within": 0}}, "count.within", "more than 0"),
        ({"event_type": "a", "count": {"at_least": 2, "within": 5}}, "count", "give clear or clear_after"),
        (
            {"event_type": "a", "count": {"at_least": 2, "within": 5}, "absence": {"after": 5}},
            "count",
            "must not be combined with absence",
        ),
        ({"event_type": "a", "at_least": 3}, "objects", "for example resource_id"),
        ({"event_type": "a", "objects": "x"}, "objects", "requires at_least"),
        ({"event_type": "a", "at_least": 2, "objects": []}, "objects", "must list 1 to 20 traits"),
        ({"event_type": "a", "at_least": 2, "objects": "x"}, "at_least", "give the events that end"),
        ({"event_type": "a", "at_least": 1, "objects": "x"}, "at_least", "an integer from 2 to 100"),
        ({"event_type": "a", "at_least": "3", "objects": "x"}, "at_least", "give a number of objects"),
        ({"event_type": "a", "at_least": 2, "objects": "x", "group_by": "x"}, "group_by", "in common"),
        ({"event_type": "a", "at_least": 2, "objects": "x", "clear_after": 5}, "at_least", "clear_after"),
        ({"event_type": "a", "at_least": 2, "objects": "x", "absence": {"after": 5}}, "at_least", "absence"),
        (
            {"event_type": "a", "at_least": 2, "objects": "x", "clear": {"event_type": "b"}}
            | {"count": {"at_least": 2, "within": 5}},
            "at_least",
            "must not be combined with count; remove one of them",
        ),
        ({"event_type": "a", "group_by": []}, "group_by", "must list 1 to 20 traits"),
        ({"event_type": "a", "group_by": ["x", None]}, "group_by[1]", "name a trait"),
        ({"event_type": "a", "severity_from": ["x"]}, "severity_from", "name a trait"),
        ({"event_type": "a", "severity": "dreadful"}, "severity", "use critical, major, minor, warning"),
        ({"event_type": "a", "severity": ["major"]}, "severity", "must be an X.733 severity"),
        ({"event_type": "a", "resource_id": ""}, "resource_id", "id of one resource"),
        ({"event_type": "a", "query": [on("x", "é" * 1000)] * 40}, "rule", "bytes of JSON"),
        ({"event_type": "a", "query": [on("x", {1, 2})]}, "rule", "must be JSON"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named_with_its_remedy(document: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse(document, RuleLimits())
    assert caught.value.field == field
    assert words in str(caught.value)


def test_a_deployer_may_require_a_resource() -> None:
    with pytest.raises(InvalidRule, match="required in this cloud"):
        parse({"event_type": "a"}, require_resource_id=True)


def test_an_alarm_that_was_saved_stays_evaluated_under_lower_limits() -> None:
    saved = {"event_type": "a", "query": {"or": [on("x", "a" * 5000)] * 500}}
    with pytest.raises(InvalidRule):
        parse(saved, RuleLimits())
    assert compile_definition(definition("a", saved, type=NOTIFICATION_TYPE), RESOURCE_TRAITS).matches(
        event("a", x="a" * 5000)
    )


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"resource_id": "vm-1", "state": "error"}, Verdict.MATCH),
        ({"resource_id": "vm-1", "state": "active"}, Verdict.RECOVERED),
        ({"resource_id": "vm-1", "state": "building"}, Verdict.NOTHING),
        ({"resource_id": "vm-2", "state": "error"}, Verdict.NOTHING),
        ({"resource_id": "vm-2", "state": "active"}, Verdict.NOTHING),
        # The managed object is the first present of the traits that name one.
        ({"resource_id": "vm-2", "host": "vm-1", "state": "error"}, Verdict.NOTHING),
        ({"host": "vm-1", "state": "error"}, Verdict.MATCH),
    ],
)
def test_verdicts(fields: dict[str, Any], verdict: Verdict) -> None:
    assert compiled(**WHOLE).verdict(event(**fields)) is verdict


def test_an_event_that_matches_and_clears_raises() -> None:
    rule = compiled(event_type="host.*", query=[on("x", "1")], clear={"event_type": "host.up"})
    assert rule.verdict(event("host.up", x="1")) is Verdict.MATCH
    assert rule.verdict(event("host.up", x="2")) is Verdict.RECOVERED
    assert rule.verdict(event("host.down", x="2")) is Verdict.NOTHING


def test_an_expected_event_clears() -> None:
    rule = compiled(event_type="heartbeat", absence={"after": 30})
    assert rule.verdict(event("heartbeat")) is Verdict.RECOVERED
    assert not rule.matches(event("heartbeat"))


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, None),
        ({"resource_id": "vm-1"}, "vm-1"),
        ({"resource_id": "vm-1", "group_by": "port"}, "a/b"),
        ({"group_by": ["port", "host"]}, "a%2Fb/h"),
        ({"group_by": ["port", "nope", "host"]}, "a%2Fb//h"),
        ({"group_by": ["nope"]}, ""),
    ],
)
def test_managed_object(document: dict[str, Any], place: str | None) -> None:
    rule = compiled(event_type="a", **document)
    assert rule.managed_object(event("a", port="a/b", host="h")) == place


def test_both_halves_are_found_and_each_alarm_once() -> None:
    index = ProjectIndex()
    rule = compiled(
        event_type=["port.*", "host.down"],
        query={"or": [on("x", ["1", "2"], "in"), on("y", "1")]},
        clear={"event_type": "host.up"},
        group_by="host",
    )
    postings = index.add("a", rule, True)
    for fields, expected in (
        ({"x": "2", "y": "1"}, Verdict.MATCH),
        ({"x": "1"}, Verdict.MATCH),
        ({"y": "1"}, Verdict.MATCH),
    ):
        found = index.candidates(event("host.down", host="h", **fields), NOW)
        assert [(c.alarm_id, c.verdict, c.managed_object) for c in found] == [("a", expected, "h")]
    assert [c.verdict for c in index.candidates(event("host.up"), NOW)] == [Verdict.RECOVERED]
    assert index.candidates(event("host.down", x="3"), NOW) == []
    assert index.scanned == 1, "only the clear half, which has no equality"
    index.discard("a", rule, True, postings)
    assert not index._by_trait
    assert index.scanned == 0


def test_a_named_resource_is_looked_up() -> None:
    index = ProjectIndex()
    rules = [compiled(event_type="*", resource_id=f"vm-{n}") for n in range(50)]
    filings = [index.add(str(n), rule, False) for n, rule in enumerate(rules)]
    assert [c.alarm_id for c in index.candidates(event(instance_id="vm-7"))] == ["7"]
    assert index.scanned == 0
    for n, rule in enumerate(rules):
        index.discard(str(n), rule, False, filings[n])
    assert not index._by_object


def test_the_least_crowded_of_several_keys() -> None:
    index = ProjectIndex()
    for number in range(5):
        index.add(f"crowd-{number}", compiled(event_type=f"a{number}", query=[on("x", "1")]), False)
    postings = index.add("a", compiled(query=[on("x", "1"), on("y", ["1", "2"], "in")]), False)
    assert isinstance(postings, tuple)
    assert {anchor.trait for anchor in postings} == {"y"}


def test_relative_times_count_from_the_evaluation() -> None:
    index = ProjectIndex()
    recent = {"field": "generated", "op": "gt", "type": "datetime", "value": "now-5m"}
    index.add("a", compiled(event_type="a", query=[recent]), False)
    assert index.candidates(event("a", generated=NOW), NOW)
    assert not index.candidates(event("a", generated=NOW))


def test_a_stock_query_means_the_same_in_a_notification_rule() -> None:
    query = [
        {"field": "traits.count", "op": "ge", "type": "integer", "value": "5"},
        {"field": "traits.state", "op": "", "type": "", "value": "error"},
        {"field": "traits.flag", "op": "eq", "type": "boolean", "value": "yes"},
    ]
    stock = compile_rule({"event_type": UPDATE, "query": query}, RESOURCE_TRAITS)
    rule = compiled(event_type=UPDATE, query=query)
    cases: tuple[dict[str, Any], ...] = (
        {},
        {"count": 5},
        {"count": "5"},
        {"count": 5, "state": "error"},
        {"flag": "no"},
    )
    for fields in cases:
        for flag in ("true", "off", 1):
            the_event = event(**{**fields, "flag": flag})
            assert rule.matches(the_event) is stock.matches(the_event)
    assert rule.matches(event(count=5, state="error", flag="on"))


def test_which_rules_return_to_ok_by_an_event() -> None:
    for document, expected in (
        (WHOLE, True),
        ({"event_type": "a"}, False),
        ({"absence": {"after": 1}}, True),
    ):
        assert clears(WITH_OK_ACTIONS, definition("a", document, type=NOTIFICATION_TYPE)) is expected


def test_the_reason_names_the_query_that_was_hit() -> None:
    the_event = event(message_id="m")
    assert "hits the query <query={" in reason(the_event, WHOLE, Verdict.MATCH)
    cleared = reason(the_event, WHOLE, Verdict.RECOVERED)
    assert cleared.startswith(f"Event <id=m,event_type={UPDATE}> hits the clear query <query=[{{")
    assert "active" in cleared
