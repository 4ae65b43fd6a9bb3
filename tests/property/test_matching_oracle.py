"""The index gives the answers of Aodh's evaluator, and the documented ones where Aodh fails."""

from __future__ import annotations

import datetime
import fnmatch
import operator
from typing import Any

import hypothesis
import pytest
from aodh.evaluator import event as aodh_event
from hypothesis import strategies as st

from eventalarm.evaluator.event_rule import Verdict, compile_rule
from eventalarm.evaluator.index import ProjectIndex
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Event, parse_time
from tests.property import aodh_oracle, examples
from tests.property.strategies import events, meeting, rules
from tests.support.engine_harness import RESOURCE_TRAITS

KINDS = {"string": str, "none": str, "integer": int, "float": float, "datetime": parse_time}
DTYPES = {2: int, 3: float, 4: parse_time, "integer": int, "float": float, "datetime": parse_time}
WORDS = {"true": True, "1": True, "yes": True, "on": True, "t": True, "y": True}
WORDS |= {"false": False, "0": False, "no": False, "off": False, "f": False, "n": False}


def convert(kind: Any, value: Any) -> Any:
    """Convert or return None: what cannot be converted is absent."""
    try:
        return kind(value)
    except (ValueError, TypeError, OverflowError):
        return None


def boolean(value: Any) -> bool:
    try:
        return WORDS[str(value).strip().lower()]
    except KeyError as exc:
        raise ValueError from exc


def seen(event: dict[str, Any], field: str, kind: Any) -> Any:
    """What the event holds for a field, written from doc/source/user/rules.rst rather than from the code."""
    if field.startswith("traits."):
        value = None
        for trait in event["traits"]:
            if isinstance(trait, list) and len(trait) >= 3 and trait[0] == field.removeprefix("traits."):
                value = convert(DTYPES.get(trait[1] if isinstance(trait[1], int | str) else 1, str), trait[2])
        return value if value is None or kind is not boolean else convert(boolean, value)
    value = event
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return convert(kind, value) if isinstance(value, str | int | float) else None


def designed(rule: Any, event: dict[str, Any]) -> bool:
    """A comparison that cannot be made is false, and an unreadable rule never matches."""
    if not isinstance(rule, dict) or not rule:
        return False
    event_type = rule.get("event_type")
    event_type = "*" if event_type is None else event_type
    query = rule.get("query") or []
    if not isinstance(event_type, str) or not isinstance(query, list):
        return False
    if not fnmatch.fnmatchcase(event["event_type"], event_type):
        return False
    kinds = KINDS | {"boolean": boolean}
    for condition in query:
        if not isinstance(condition, dict):
            return False
        type_name, op, field = (
            condition.get("type") or "string",
            condition.get("op") or "eq",
            condition.get("field"),
        )
        compare = getattr(operator, op, None) if op in ("eq", "ne", "lt", "le", "gt", "ge") else None
        if type_name not in kinds or compare is None or not isinstance(field, str) or not field:
            return False
        wanted = convert(kinds[type_name], condition.get("value"))
        if wanted is None:
            return False
        try:
            if not compare(seen(event, field, kinds[type_name]), wanted):
                return False
        except TypeError:
            return False
    return True


def answers(all_rules: list[Any], clears: list[bool], all_events: list[dict[str, Any]]) -> list[set[int]]:
    """Return for each event which rules the index says match it."""
    index = ProjectIndex()
    for number, rule in enumerate(all_rules):
        try:
            index.add(str(number), compile_rule(rule, RESOURCE_TRAITS), clears[number])
        except InvalidRule:
            continue
    found = []
    for event in all_events:
        candidates = [c for c in index.candidates(Event.parse(event)) if c.verdict is Verdict.MATCH]
        assert len(candidates) == len({c.alarm_id for c in candidates}), "an alarm was found twice"
        found.append({int(c.alarm_id) for c in candidates})
    return found


@st.composite
def worlds(draw: st.DrawFn, *, readable: bool) -> tuple[list[Any], list[bool], list[dict[str, Any]]]:
    all_events = [draw(events(number, readable=readable)) for number in range(draw(st.integers(1, 3)))]
    kinds = [rules(readable=readable), *(meeting(event, readable=readable) for event in all_events)]
    all_rules = draw(st.lists(st.one_of(kinds), min_size=1, max_size=8))
    return all_rules, [draw(st.booleans()) for _ in all_rules], all_events


@hypothesis.given(worlds(readable=True))
@examples(400)
def test_index_answers_as_aodh_compares(world: tuple[list[Any], list[bool], list[dict[str, Any]]]) -> None:
    all_rules, clears, all_events = world
    found = answers(all_rules, clears, all_events)
    for event, matching in zip(all_events, found, strict=True):
        for number, rule in enumerate(all_rules):
            expected = aodh_oracle.matches(rule, event)
            hypothesis.event(f"Aodh says {expected}")
            if expected is None:
                expected = designed(rule, event)
            assert (number in matching) == expected, (rule, event)


@hypothesis.given(worlds(readable=False))
@examples(400)
def test_hostile_rules_and_events_get_an_answer(
    world: tuple[list[Any], list[bool], list[dict[str, Any]]],
) -> None:
    all_rules, clears, all_events = world
    found = answers(all_rules, clears, all_events)
    for event, matching in zip(all_events, found, strict=True):
        for number, rule in enumerate(all_rules):
            expected = aodh_oracle.matches(rule, event) if isinstance(rule, dict) else None
            hypothesis.event(f"Aodh says {expected}")
            if expected is None:
                expected = designed(rule, event)
            assert (number in matching) == expected, (rule, event)


ISO = (
    "2026", "2026-05", "2026-5", "2026-5-1", "2026-05-01", "20260501", "2026-05-01T12", "2026-05-01T12:30",
    "2026-05-01T1230", "2026-05-01T12:30:15", "20260501T123015", "2026-05-01 12:30:15.5", "2026-05-01T123015",
    "2026-05-01T12:30:15.123456789", "2026-05-01T12:30:15.9999999", "2026-5-1T12:30:05", "2026-5-1 12:30:5.5",
)  # fmt: skip
ZONES = ("", "Z", "+00:00", "+02", "+0230", "-02:30", "+14:00", " +02:00")


@pytest.mark.parametrize("text", ISO)
def test_every_date_that_aodh_reads_is_the_same_moment(text: str) -> None:
    read = 0
    for zone in ZONES:
        try:
            expected = aodh_event._sanitize_trait_value(text + zone, "datetime")
        except ValueError:
            continue
        read += 1
        assert parse_time(text + zone) == expected.replace(tzinfo=datetime.UTC)
    assert read
