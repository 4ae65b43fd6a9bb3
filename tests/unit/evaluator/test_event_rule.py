"""The rule language, as tables: invalid rules, the result of each operator on each type, verdicts."""

from __future__ import annotations

import datetime
import json
import operator
from typing import Any

import pytest

from eventalarm.evaluator import event_rule
from eventalarm.evaluator.event_rule import Verdict, compile_rule
from eventalarm.evaluator.operators import to_boolean
from eventalarm.exceptions import InvalidRule
from eventalarm.patterns import is_glob
from tests.support.builders import RESOURCE_TRAITS, condition, event, rule

GOOD = {"field": "traits.state", "op": "eq", "type": "string", "value": "error"}


@pytest.mark.parametrize(
    ("bad", "field", "remedy"),
    [
        (None, "rule", "give {event_type, query}"),
        ("text", "rule", "give {event_type, query}"),
        ([], "rule", "give {event_type, query}"),
        ({}, "rule", "give {event_type, query}"),
        ({"event_type": 5}, "event_type", "pattern such as"),
        ({"event_type": "", "query": []}, "event_type", "pattern such as"),
        ({"event_type": ["a"]}, "event_type", "pattern such as"),
        ({"event_type": "a", "query": {"field": "traits.a"}}, "query", "list of {field, op, type, value}"),
        ({"event_type": "a", "query": "state=error"}, "query", "list of {field, op, type, value}"),
        ({"query": ["state=error"]}, "query[0]", "give {field, op, type, value}"),
        ({"query": [GOOD, None]}, "query[1]", "give {field, op, type, value}"),
        ({"query": [{**GOOD, "field": ""}]}, "query[0].field", "traits.NAME"),
        ({"query": [{**GOOD, "field": None}]}, "query[0].field", "traits.NAME"),
        ({"query": [{**GOOD, "field": 3}]}, "query[0].field", "traits.NAME"),
        ({"query": [{"op": "eq", "value": "x"}]}, "query[0].field", "traits.NAME"),
        ({"query": [{**GOOD, "op": "like"}]}, "query[0].op", "use one of eq, ne, lt, le, gt, ge"),
        ({"query": [{**GOOD, "op": "EQ"}]}, "query[0].op", "use one of eq, ne, lt, le, gt, ge"),
        ({"query": [{**GOOD, "op": ["eq"]}]}, "query[0].op", "use one of"),
        ({"query": [{**GOOD, "type": "number"}]}, "query[0].type", "use one of string, integer"),
        ({"query": [{**GOOD, "type": ["string"]}]}, "query[0].type", "use one of string, integer"),
        ({"query": [{**GOOD, "type": "integer"}]}, "query[0].value", "value of type integer"),
        ({"query": [{**GOOD, "type": "float"}]}, "query[0].value", "value of type float"),
        ({"query": [{**GOOD, "type": "boolean"}]}, "query[0].value", "value of type boolean"),
        ({"query": [{**GOOD, "type": "datetime"}]}, "query[0].value", "value of type datetime"),
        ({"query": [{**GOOD, "type": "integer", "value": None}]}, "query[0].value", "value of type integer"),
        ({"query": [{**GOOD, "type": "integer", "value": [1]}]}, "query[0].value", "value of type integer"),
        ({"query": [{**GOOD, "type": "integer", "value": float("inf")}]}, "query[0].value", "integer"),
        ({"query": [GOOD, GOOD, {**GOOD, "type": "integer"}]}, "query[2].value", "value of type integer"),
    ],
)
def test_a_rule_that_cannot_match_names_field_and_remedy(bad: Any, field: str, remedy: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        compile_rule(bad, RESOURCE_TRAITS)
    assert caught.value.field == field
    assert remedy in caught.value.remedy
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("lenient", "same_as"),
    [
        ({"query": [GOOD]}, {"event_type": "*", "query": [GOOD]}),
        ({"event_type": None, "query": [GOOD]}, {"event_type": "*", "query": [GOOD]}),
        ({"event_type": "a", "query": None}, {"event_type": "a", "query": []}),
        ({"event_type": "a"}, {"event_type": "a", "query": []}),
        ({"query": [{**GOOD, "op": None}]}, {"query": [GOOD]}),
        ({"query": [{**GOOD, "op": ""}]}, {"query": [GOOD]}),
        ({"query": [{**GOOD, "type": ""}]}, {"query": [GOOD]}),
        ({"query": [{**GOOD, "type": None}]}, {"query": [GOOD]}),
        ({"query": [{"field": "traits.state", "value": "error"}]}, {"query": [GOOD]}),
    ],
)
def test_missing_parts_have_the_defaults_of_the_api(lenient: Any, same_as: Any) -> None:
    assert compile_rule(lenient, RESOURCE_TRAITS) == compile_rule(same_as, RESOURCE_TRAITS)


NOON = "2026-05-01T12:00:00"
# type, what the trait holds: less than, equal to, more than the wanted value
ORDERED = [
    ("string", "m", ("a", "m", "z")),
    ("none", "m", ("M", "m", "n")),
    ("integer", 10, (9, 10, 11)),
    ("integer", "10", (9.5, 10.0, 10.5)),
    ("float", 1.5, (1, 1.5, 2)),
    (
        "datetime",
        NOON,
        ("2026-05-01T13:59:59+02:00", "2026-05-01T14:00:00+02:00", "2026-05-01T12:00:00.000001Z"),
    ),
]
OPERATORS = {"eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le}
OPERATORS |= {"gt": operator.gt, "ge": operator.ge}


def one(type_name: str, wanted: Any, op: str, held: Any) -> bool:
    """Return whether a condition holds on an event whose trait ``x`` holds a value."""
    compiled = compile_rule(rule("*", condition("x", wanted, op, type_name)), RESOURCE_TRAITS)
    dtype = 4 if type_name == "datetime" else None
    the_event = event(traits=[["x", dtype, held]]) if dtype else event(x=held)
    return compiled.matches(the_event)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize(("type_name", "wanted", "held"), ORDERED)
def test_every_operator_on_every_type(op: str, type_name: str, wanted: Any, held: tuple[Any, ...]) -> None:
    for position, value in enumerate(held):
        assert one(type_name, wanted, op, value) == OPERATORS[op](position, 1), (value, op, wanted)


@pytest.mark.parametrize(
    ("held", "op", "wanted", "answer"),
    [
        ("true", "eq", "True", True),
        ("YES", "eq", True, True),
        (" on ", "eq", "1", True),
        (1, "eq", "true", True),
        (0, "eq", "false", True),
        ("off", "eq", "n", True),
        ("false", "eq", "true", False),
        ("false", "ne", "true", True),
        ("true", "ne", "true", False),
        ("false", "lt", "true", True),
        ("maybe", "eq", "true", False),  # not a boolean: as if absent
        ("maybe", "lt", "true", False),
        ("maybe", "ne", "true", True),  # absent is not true, as in Aodh for every other type
        (2, "eq", "true", False),
    ],
)
def test_boolean(held: Any, op: str, wanted: Any, answer: bool) -> None:
    assert one("boolean", wanted, op, held) is answer


@pytest.mark.parametrize(
    ("held", "op", "wanted", "type_name", "answer"),
    [
        ("1", "eq", 1, "integer", False),  # the trait keeps its own type, as in Aodh
        ("1", "ne", 1, "integer", True),
        ("1", "lt", 2, "integer", False),  # text and number have no order: false, where Aodh raises
        ("1", "ge", 0, "integer", False),
        (1, "eq", 1.0, "float", True),
        (1.5, "gt", 1, "integer", True),
        (1, "eq", "1", "string", False),
        ("x", "eq", "x", "none", True),
        (float("nan"), "eq", "nan", "float", False),
        (float("nan"), "ne", "nan", "float", True),
    ],
)
def test_types_are_not_mixed(held: Any, op: str, wanted: Any, type_name: str, answer: bool) -> None:
    assert one(type_name, wanted, op, held) is answer


def test_text_is_no_date_even_if_it_looks_like_one() -> None:
    compiled = compile_rule(rule("*", condition("x", NOON, "eq", "datetime")), RESOURCE_TRAITS)
    assert not compiled.matches(event(x=NOON))
    assert compiled.matches(event(traits=[["x", 4, NOON]]))


@pytest.mark.parametrize(("op", "answer"), [(op, op == "ne") for op in OPERATORS])
@pytest.mark.parametrize("type_name", ["string", "integer", "boolean", "datetime"])
def test_a_missing_or_unreadable_trait_only_differs(op: str, answer: bool, type_name: str) -> None:
    wanted = {"string": "a", "integer": 1, "boolean": True, "datetime": NOON}[type_name]
    compiled = compile_rule(rule("*", condition("x", wanted, op, type_name)), RESOURCE_TRAITS)
    assert compiled.matches(event()) is answer
    assert compiled.matches(event(traits=[["x", 2, "not a number"]])) is answer
    # As a field of the event, not a trait.
    compiled = compile_rule(rule("*", condition("raw.x", wanted, op, type_name)), RESOURCE_TRAITS)
    assert compiled.matches(event()) is answer


@pytest.mark.parametrize(
    ("field", "type_name", "wanted", "answer"),
    [
        ("event_type", "string", "compute.instance.update", True),
        ("event_type", "string", "compute", False),
        ("message_id", "string", "m1", True),
        ("generated", "datetime", "2026-05-01T14:00:00+02:00", True),
        ("raw.payload.count", "integer", "3", True),
        ("raw.payload.count", "float", 3.0, True),
        ("raw.payload.count", "string", "3", True),
        ("raw.payload.good", "boolean", "yes", True),
        ("raw.payload.good", "string", "True", True),
        ("raw.payload", "string", "{}", False),  # a value that is not a single value is not compared
        ("raw.payload.list", "string", "[1]", False),
        ("raw.payload.count.deeper", "string", "3", False),
        ("raw.payload.text", "integer", "1", False),
        ("raw.nothing.at.all", "string", "None", False),
    ],
)
def test_fields_of_the_event(field: str, type_name: str, wanted: Any, answer: bool) -> None:
    the_event = event(
        message_id="m1",
        generated=NOON,
        raw={"payload": {"count": 3, "good": True, "text": "one", "list": [1]}},
    )
    one_condition = {"field": field, "op": "eq", "type": type_name, "value": wanted}
    assert compile_rule(rule("*", one_condition), RESOURCE_TRAITS).matches(the_event) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *[(word, True) for word in ("true", "T", "1", 1, True, "oN", " y\n")],
        *[(word, False) for word in ("false", "F", "0", 0, False, "Off", "no")],
    ],
)
def test_words_for_booleans(text: Any, answer: bool) -> None:
    assert to_boolean(text) is answer


@pytest.mark.parametrize("text", ["", "2", "maybe", None, [], "truee"])
def test_other_words_are_no_booleans(text: Any) -> None:
    with pytest.raises(ValueError, match="not a boolean"):
        to_boolean(text)


@pytest.mark.parametrize(
    ("pattern", "event_type", "answer"),
    [
        ("compute.instance.update", "compute.instance.update", True),
        ("compute.instance.update", "compute.instance.update.end", False),
        ("compute.instance.update", "Compute.instance.update", False),
        ("compute.*", "compute.instance.update", True),
        ("compute.*", "compute", False),
        ("*", "anything\nat all", True),
        ("compute.?", "compute.x", True),
        ("[!c]*", "port.update", True),
        ("[!c]*", "compute", False),
        ("x[1]", "x1", True),
        ("x[1]", "x[1]", False),  # a pattern is a pattern even when it equals the type, as in Aodh
        ("x[", "x[", True),  # a bracket without a closing bracket is literal
    ],
)
def test_event_types_are_shell_patterns(pattern: str, event_type: str, answer: bool) -> None:
    assert compile_rule({"event_type": pattern}, RESOURCE_TRAITS).watches(event_type) is answer
    assert is_glob(pattern) is any(c in pattern for c in "*?[")


ERROR = rule("*", condition("state", "error"), condition("progress", 50, "lt"), resource_id="vm-1")


@pytest.mark.parametrize(
    ("traits", "verdict"),
    [
        ({"resource_id": "vm-1", "state": "error", "progress": 10}, Verdict.MATCH),
        # The same resource, and one of the other conditions is denied: it has recovered.
        ({"resource_id": "vm-1", "state": "active", "progress": 10}, Verdict.RECOVERED),
        ({"resource_id": "vm-1", "state": "error", "progress": 50}, Verdict.RECOVERED),
        ({"resource_id": "vm-1", "state": "active"}, Verdict.RECOVERED),
        # The same resource, but the event says nothing about the other conditions.
        ({"resource_id": "vm-1"}, Verdict.NOTHING),
        ({"resource_id": "vm-1", "state": "error"}, Verdict.NOTHING),
        # A value that cannot be compared counts as different from the wanted one.
        ({"resource_id": "vm-1", "state": "error", "progress": "ten"}, Verdict.RECOVERED),
        # Another resource, or none: nothing to do with this alarm.
        ({"resource_id": "vm-2", "state": "error", "progress": 10}, Verdict.NOTHING),
        ({"resource_id": "vm-2", "state": "active", "progress": 10}, Verdict.NOTHING),
        ({"state": "active", "progress": 10}, Verdict.NOTHING),
    ],
)
def test_verdict(traits: dict[str, Any], verdict: Verdict) -> None:
    compiled = compile_rule(ERROR, RESOURCE_TRAITS)
    assert compiled.verdict(event(**traits)) is verdict
    assert compiled.matches(event(**traits)) is (verdict is Verdict.MATCH)


def test_a_bad_trait_denies_nothing() -> None:
    compiled = compile_rule(ERROR, RESOURCE_TRAITS)
    bad = event(resource_id="vm-1", state="error", traits=[["progress", 2, "ten"]])
    assert compiled.verdict(bad) is Verdict.NOTHING


def test_only_equality_with_a_resource_trait_identifies() -> None:
    compiled = compile_rule(
        rule(
            "*",
            condition("resource_id", "vm-1", "ne"),
            condition("host", "compute-1"),
            condition("resource_id", "vm-2"),
            condition("display_name", "web"),
            condition("resource_id.x", "y"),
        ),
        RESOURCE_TRAITS,
    )
    assert [(c.field, c.op) for c in compiled.identity] == [
        ("traits.host", "eq"),
        ("traits.resource_id", "eq"),
    ]
    assert len(compiled.rest) == 3


def test_reason_reads_as_aodh_words_it() -> None:
    the_rule = rule("*", {"value": "b", "field": "traits.a", "op": "eq", "type": ""})
    the_event = event("a.b", message_id="m1")
    stem = "Event <id=m1,event_type=a.b> {} the query <query={}>."
    text = json.dumps(the_rule["query"], sort_keys=True)
    assert event_rule.reason(the_event, the_rule, Verdict.MATCH) == stem.format("hits", text)
    assert event_rule.reason(the_event, the_rule, Verdict.RECOVERED) == stem.format("no longer hits", text)
    assert event_rule.reason(the_event, {"event_type": "*"}, Verdict.MATCH) == stem.format("hits", "[]")


def test_dates_are_compared_as_moments() -> None:
    compiled = compile_rule(rule("*", condition("when", NOON, "eq", "datetime")), RESOURCE_TRAITS)
    assert compiled.rest[0].value == datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
