"""Hostile messages and rules: nothing escapes but the counted content errors, and nothing takes long."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.evaluator.event_rule import Watch, compile_rule
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.evaluator.notification_rule import compile_notification, parse
from eventalarm.evaluator.operators import OPERATORS, TYPES
from eventalarm.evaluator.options import RuleLimits
from eventalarm.exceptions import InvalidEvent, InvalidRule
from eventalarm.model import EventLimits
from eventalarm.publisher import codec
from tests.property import examples
from tests.property.strategies import BAD_DATES, DATES, ODD, STRINGS, anything
from tests.support.builders import NOW, RESOURCE_TRAITS, event_body

LIMITS = EventLimits()
TEXT = LIMITS.text
SCALARS = [*STRINGS, *BAD_DATES, *DATES, *ODD, float("nan"), float("inf"), 10**400]
JUNK = st.recursive(
    st.one_of(anything, st.sampled_from(SCALARS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["event_type", "query", "resource_id", "clear", "clear_after", "group_by", "severity_from", "absence"]
WORDS = ["field", "op", "type", "value", "and", "or", "not", "after"]
VALUES = st.sampled_from(["now-1h", "10.0.0.0/8", "(a+)+$", "*a*"])
LEAVES = st.fixed_dictionaries(
    {"field": st.sampled_from(["traits.x", "traits.y", "raw.z", "generated", "message_id"])},
    optional={
        "op": st.sampled_from(sorted(OPERATORS)),
        "type": st.sampled_from(TYPES),
        "value": st.one_of(JUNK, st.lists(JUNK, max_size=2), VALUES),
    },
)
JOINS = st.sampled_from(["and", "or", "not"])
QUERIES = st.recursive(
    LEAVES,
    lambda query: st.one_of(
        st.lists(query, max_size=3), st.dictionaries(JOINS, st.lists(query, max_size=2), max_size=2)
    ),
    max_leaves=5,
)
RULES = st.one_of(
    JUNK,
    st.dictionaries(st.sampled_from([*NAMES, *WORDS]), JUNK, max_size=4),
    st.fixed_dictionaries(
        {"query": QUERIES},
        optional={"event_type": st.one_of(st.text(max_size=5), JUNK), "clear": JUNK},
    ),
)
TRAIT = st.tuples(st.sampled_from("xy"), st.integers(0, 5), JUNK).map(list)
TRAITS = st.lists(st.one_of(JUNK, TRAIT), max_size=5)
EVENTS = st.one_of(
    JUNK,
    st.fixed_dictionaries(
        {},
        optional={
            "message_id": st.one_of(st.text(min_size=1, max_size=5), JUNK),
            "event_type": st.one_of(st.text(min_size=1, max_size=5), JUNK),
            "generated": JUNK,
            "traits": st.one_of(TRAITS, JUNK),
            "raw": JUNK,
        },
    ),
)


def compiled(document: Any) -> list[Watch]:
    """What is made of a document taken for a rule of each kind; refusals are content errors."""
    rules: list[Watch] = []
    with contextlib.suppress(InvalidRule):
        rules.append(compile_notification(parse(document, RuleLimits()), RESOURCE_TRAITS))
    with contextlib.suppress(InvalidRule):
        rules.append(compile_rule(document, RESOURCE_TRAITS))
    return rules


@hypothesis.given(RULES, st.lists(EVENTS, max_size=3))
@examples(400)
def test_no_input_raises_an_unexpected_error(document: Any, bodies: list[Any]) -> None:
    index = ProjectIndex()
    rules = compiled(document)
    for number, rule in enumerate(rules):
        index.add(str(number), rule, True)
    events, refused = codec.decode(bodies)
    assert len(events) + len(refused) == len(bodies), "every event is taken or counted"
    assert all(error.reason.isidentifier() for error in refused)
    for event in events:
        for candidate in index.candidates(event, NOW):
            assert rules[int(candidate.alarm_id)].verdict(event, NOW) is candidate.verdict
        event.time(NOW)


@hypothesis.given(JUNK)
@examples(200)
def test_a_message_is_always_decoded_and_encoded(payload: Any) -> None:
    events, refused = codec.decode(payload)
    for event in events:
        with contextlib.suppress(InvalidEvent):
            assert codec.encode(event.body).size > 0
    assert isinstance(refused, list)


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = wrap(value)
    return value


HOSTILE = {
    "too many traits": event_body(traits=[["x", 1, "a"]] * 100_000),
    "as many traits as may be": event_body(traits=[[f"x{n}", 1, "a"] for n in range(9_000)]),
    "as many malformed traits": event_body(traits=[["x", 1]] * 9_000),
    "a text for every regular expression": event_body(x="a" * TEXT),
    "a text for every wildcard": event_body(x="a" * (TEXT - 1) + "c"),
    "a huge text": event_body(x="a" * 10_000_000),
    "a huge text in raw": event_body(raw={"z": "a" * 10_000_000}),
    "a huge number": event_body(traits=[["x", 2, "9" * 1_000_000]]),
    "a deep value": event_body(traits=[["x", 1, nested(500_000, lambda v: [v])]]),
    "deep raw": event_body(raw=nested(100_000, lambda v: {"z": v})),
    "not a number": event_body(x=float("nan"), y=float("inf"), generated="NaN"),
    "bad dates": event_body(
        traits=[["x", 4, "9999-99-99"], ["y", 4, "0" * 100_000]], generated="1" * 100_000
    ),
    "a long event type": event_body("a" * 1_000_000),
    "an event type for every pattern": event_body("a" * TEXT),
}
EVIL = [
    ("wildcard", "*" + "a" * 253 + "b"),
    ("wildcard", "*a" * 120 + "*b"),
    ("wildcard", "*" + "?" * 200 + "b*c"),
    ("wildcard", "*" + "[ab]" * 62 + "c"),
    ("regex", "(a+)+$"),
    ("regex", "(a|aa)+c"),
    ("regex", "(?:a?){60}a{60}b"),
    ("regex", "(.*)(.*)(.*)x(.*)y"),
    ("contains", "a" * 1023 + "b"),
]


@pytest.fixture(scope="module")
def project() -> ProjectIndex:
    """One alarm for each evil pattern, on traits, raw and event types, and one that looks for everything."""
    index = ProjectIndex()
    for number, (op, value) in enumerate(EVIL):
        for field in ("traits.x", "raw.z"):
            document = {"query": [{"field": field, "op": op, "value": value}]}
            rule = compile_notification(parse(document, RuleLimits()), RESOURCE_TRAITS)
            index.add(f"{field}-{number}", rule, False)
        if op == "wildcard":
            event_types = compile_notification(parse({"event_type": value}, RuleLimits()), RESOURCE_TRAITS)
            index.add(f"type-{number}", event_types, False)
    return index


@pytest.mark.parametrize("name", HOSTILE)
def test_the_time_for_a_hostile_event_is_bounded(
    name: str, project: ProjectIndex, figure: Callable[[str], None]
) -> None:
    """Fails without the limits: a text of ten million characters takes minutes for the wildcards alone."""
    body = HOSTILE[name]
    began = time.process_time()
    events, refused = codec.decode([body, event_body(x="neighbour")])
    for event in events:
        project.candidates(event, NOW)
    took = time.process_time() - began
    assert events[-1].trait("x") == "neighbour"
    assert len(events) + len(refused) == 2
    figure(f"hostile event, {name}, {len(EVIL)} evil patterns: {took * 1000:.1f} ms")
    assert took < 1.5, f"{took:.3f} s"


REASONS = {"too many traits": "too_many_traits", "a long event type": "event_type_too_long"}
BAD = {"a huge text": "x", "a huge number": "x", "a deep value": "x", "a huge text in raw": "raw.z"}


def test_hostile_input_is_counted_by_reason(project: ProjectIndex) -> None:
    for name, reason in REASONS.items():
        events, refused = codec.decode(HOSTILE[name])
        assert (events, [error.reason for error in refused]) == ([], [reason])
    for name, trait in BAD.items():
        (event,), refused = codec.decode(HOSTILE[name])
        project.candidates(event, NOW)
        assert trait in event.bad_traits
        assert refused == []


def test_a_document_of_any_depth_is_refused() -> None:
    for wrap in (lambda v: [v], lambda v: {"not": v}, lambda v: {"and": [v]}):
        document = {"event_type": "a", "query": nested(100_000, wrap)}
        with pytest.raises(InvalidRule, match="nested"):
            parse(document, RuleLimits())
        with pytest.raises(InvalidRule, match="nested"):
            parse(document)


def test_patterns_of_stock_alarms_are_bounded_by_the_event_type() -> None:
    rule = compile_rule({"event_type": "*a" * 5000 + "b", "query": []}, RESOURCE_TRAITS)
    began = time.process_time()
    assert not rule.watches("a" * TEXT)
    assert time.process_time() - began < 1.0
    assert json.dumps(rule.event_type)
