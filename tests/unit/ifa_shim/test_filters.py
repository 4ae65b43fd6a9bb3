"""The attribute filters: their syntax, and that what the database is asked for is never too little."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.ifa_shim.filters import (
    ALARM_ATTRIBUTES,
    MANY,
    ONE,
    BadFilter,
    Type,
    bounds,
    parse,
)
from eventalarm.model import UTC

MOMENT = datetime.datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("(eq,id,a b)", ("a b",)),
        ("(eq,id,'a,b)')", ("a,b)",)),
        ("(eq,id,'it''s')", ("it's",)),
        ("(in,id,a,'b,c',d)", ("a", "b,c", "d")),
        ("(eq,id,'')", ("",)),
    ],
)
def test_values(text: str, values: tuple[str, ...]) -> None:
    assert parse(text, ALARM_ATTRIBUTES).expressions[0].values == values


def test_names_may_be_escaped() -> None:
    attributes: dict[tuple[str, ...], Type] = {("a/b", "c,d@~1"): Type.TEXT}
    found = parse("(eq,a~1b/c~ad~b~01,x)", attributes)
    assert found({"a/b": {"c,d@~1": "x"}})


def test_lists_and_absent_attributes() -> None:
    some = {"correlatedAlarmIds": ["a", "b"]}
    assert parse("(eq,correlatedAlarmIds,b)", ALARM_ATTRIBUTES)(some)
    assert not parse("(eq,correlatedAlarmIds,c)", ALARM_ATTRIBUTES)(some)
    for operator in ("eq", "neq", "nin", "ncont"):
        assert not parse(f"({operator},faultType,x)", ALARM_ATTRIBUTES)({})


def test_times_compare_as_instants() -> None:
    one = {"eventTime": "2026-05-01T00:00:00.000000Z"}
    assert parse("(eq,eventTime,2026-05-01T02:00:00+02:00)", ALARM_ATTRIBUTES)(one)
    assert parse("(gt,eventTime,2026-04-30T23:59:59)", ALARM_ATTRIBUTES)(one)


def test_bounds_are_those_of_all_expressions() -> None:
    text = "(gte,alarmRaisedTime,2026-05-01T00:00:00Z);(gt,alarmRaisedTime,2026-04-01T00:00:00Z)"
    found = bounds(parse(text, ALARM_ATTRIBUTES), ("alarmRaisedTime",))
    assert (found.not_before, found.not_after) == (MOMENT, None)
    before = bounds(
        parse("(lt,alarmRaisedTime,2026-05-01T00:00:00Z)", ALARM_ATTRIBUTES), ("alarmRaisedTime",)
    )
    assert (before.not_before, before.not_after) == (None, MOMENT)
    words = parse("(in,perceivedSeverity,MAJOR,MINOR);(neq,perceivedSeverity,MINOR)", ALARM_ATTRIBUTES)
    levels = bounds(words, ("perceivedSeverity",))
    assert (levels.values, levels.excluded) == (frozenset({"MAJOR", "MINOR"}), frozenset({"MINOR"}))


@given(st.text(st.sampled_from("(),;'~/ eqinid"), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text, ALARM_ATTRIBUTES)
    except BadFilter:
        return
    assert all(expression.operator in {**ONE, **MANY} for expression in found.expressions)
