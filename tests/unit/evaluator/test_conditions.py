"""Queries of notification rules: operators and types as documented, nesting, errors, limits, keys."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import json
import pathlib
import re
from typing import Any

import pytest

from eventalarm.evaluator.conditions import read
from eventalarm.evaluator.event_rule import Anchor
from eventalarm.evaluator.operators import OPERATORS, TYPES
from eventalarm.evaluator.options import WHEN_LOADED, RuleLimits
from eventalarm.exceptions import InvalidRule
from tests.support.builders import NOW, at, event

PAGE = pathlib.Path(__file__).parents[3] / "doc" / "source" / "user" / "rules.rst"
ROW = re.compile(r"   \* - ``(?P<name>\w+)``\n((?:     .*\n)+)")


def documented(part: str) -> list[tuple[str, list[str]]]:
    """Return the rows of a table of the page: the name and the cells behind it."""
    table = PAGE.read_text().split(f".. {part}\n")[1]
    table = table[: table.index("\n\n", table.index("* - ``"))] + "\n"
    rows = []
    for row in ROW.finditer(table):
        cells = [cell.strip() for cell in re.split(r"^     - ", row[2], flags=re.MULTILINE) if cell.strip()]
        rows.append((row["name"], cells))
    return rows


def code(cell: str) -> Any:
    return json.loads(cell.removeprefix("``").removesuffix("``"))


def holds(query: Any, now: datetime.datetime | None = NOW, **fields: Any) -> bool:
    return read(query, "query", WHEN_LOADED).holds(event(**fields), now)


def test_every_operator_and_type_is_documented() -> None:
    assert {name: cells[0] for name, cells in documented("operators")} == {
        name: known.meaning for name, known in OPERATORS.items()
    }
    assert {name for name, _ in documented("types")} == set(TYPES) - {"none"}


@pytest.mark.parametrize(
    ("name", "cells"), [row for row in documented("operators") + documented("types") if row[0] != "datetime"]
)
def test_documented_examples(name: str, cells: list[str]) -> None:
    _, example, good, bad = cells
    assert name in (code(example).get("op"), code(example).get("type"))
    for value, expected in ((code(good), True), (code(bad), False)):
        fields = {} if value is None else {"x": value}
        assert holds([code(example)], **fields) is expected


def test_documented_example_of_a_relative_time() -> None:
    cells = dict(documented("types"))["datetime"]
    assert holds([code(cells[1])], generated=at(-60))
    assert not holds([code(cells[1])], generated=at(-3600))


def test_the_documented_rule() -> None:
    from eventalarm.evaluator.notification_rule import parse  # noqa: PLC0415 - only here

    text = PAGE.read_text().split("code-block:: json\n\n")[1].split("\n\n")[0]
    assert parse(json.loads(text), RuleLimits()).group_by == ("instance_id",)


def one(op: str, value: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"field": "traits.x", "op": op, "value": value, **more}]


@pytest.mark.parametrize(
    ("query", "seen", "expected"),
    [
        (one("lt", 5), "4", False),
        (one("ne", "a"), None, True),
        (one("not_in", ["a"]), None, True),
        (one("in", [1]), 1.0, True),
        (one("in", [True]), "yes", True),
        (one("in", [True]), "off", False),
        (one("exists", False), None, True),
        (one("exists", "no"), "a", False),
        (one("exists", None), "a", True),
        (one("prefix", "a"), 5, False),
        (one("suffix", "a"), None, False),
        (one("contains", "a"), None, False),
        (one("wildcard", "A*"), "abc", False),
        (one("wildcard", "a*c"), "a\nc", True),
        (one("regex", "b+"), "abbc", True),
        (one("regex", "b+"), "\ud800b", False),
        (one("regex", "(?i)ERROR"), "an error", True),
        (one("cidr", "2001:db8::/32"), "2001:db8::1", True),
        (one("cidr", "10.0.0.1"), "10.0.0.1", True),
        (one("cidr", "10.0.0.0/8"), "2001:db8::1", False),
        (one("cidr", "10.0.0.0/8"), "host-1", False),
        (one("eq", "2026-05-01T12:00:00", type="datetime"), NOW, True),
        (one("ge", "now-1h", type="datetime"), at(-3600), True),
        (one("ge", "now-1h", type="datetime"), at(-3601), False),
        (one("le", "now", type="datetime"), at(1), False),
        (one("le", "now+1w", type="datetime"), at(1), True),
        (one("le", "now", type="datetime"), None, False),
        ({"or": [*one("eq", "a"), *one("eq", "b")]}, "b", True),
        ({"or": [*one("eq", "a"), *one("eq", "b")]}, "c", False),
        ({"and": [*one("prefix", "a"), *one("suffix", "b")]}, "ab", True),
        ({"and": [*one("prefix", "a"), *one("suffix", "b")]}, "ac", False),
        ({"not": one("eq", "a")}, "a", False),
        ({"not": one("lt", 5)}, None, True),
        ({"not": {"or": [one("eq", "a"), one("eq", "b")]}}, "c", True),
        ([{"or": [one("eq", "a")]}, {"not": one("eq", "b")}], "a", True),
        (None, "a", True),
        ([], "a", True),
    ],
)
def test_event_rule(query: Any, seen: Any, expected: bool) -> None:
    assert holds(query, **({} if seen is None else {"x": seen})) is expected


def test_paths_into_the_event() -> None:
    assert holds([{"field": "event_type", "op": "suffix", "value": ".update"}])
    assert holds([{"field": "raw.a.b", "op": "exists"}], raw={"a": {"b": [1]}})
    assert not holds([{"field": "raw.a.c", "op": "exists"}], raw={"a": {"b": [1]}})
    assert holds([{"field": "raw.a.b", "op": "gt", "value": 1}], raw={"a": {"b": 2}})


def test_relative_times_need_a_moment() -> None:
    query = one("le", "now", type="datetime")
    assert holds(query, x=at(-1))
    assert not holds(query, None, x=at(-1))


SMALL = RuleLimits(depth=3, conditions=3, list_length=2, value_length=10, pattern_length=8)


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("error", "query", "must be an object"),
        (["error"], "query[0]", "must be an object"),
        ({"and": []}, "query.and", "must be a non-empty list"),
        ({"or": {"field": "traits.x"}}, "query.or", "must be a non-empty list"),
        ({"not": None}, "query.not", "must be an object"),
        ({"and": [1], "or": [1]}, "query", "'and' must be the only key"),
        ({"or": [{"field": "traits.x", "value": "a"}, {"field": "traits.y", "op": "like", "value": "a"}]},
         "query.or[1].op", "unknown operator 'like'; use one of eq, ne,"),
        ([{"op": "eq", "value": "a"}], "query[0].field", "name a trait"),
        ([{"field": "traits.", "value": "a"}], "query[0].field", "name a trait"),
        ([{"field": "traits.x", "val": "a"}], "query[0].val", "unknown field"),
        (one("eq", None), "query[0].value", "required"),
        (one("eq", {}), "query[0].value", "must be a single value"),
        (one("eq", "a", type="text"), "query[0].type", "use one of string,"),
        (one("eq", "a", type=5), "query[0].type", "unknown type"),
        ([{"field": "traits.x", "op": 5, "value": "a"}], "query[0].op", "unknown operator"),
        (one("eq", 1.5, type="integer"), "query[0].value", "not a whole number"),
        (one("eq", "one", type="integer"), "query[0].value", "give a valid integer"),
        (one("eq", "maybe", type="boolean"), "query[0].value", "give a valid boolean"),
        (one("eq", "soon", type="datetime"), "query[0].value", "give a valid datetime"),
        (one("gt", "now-9999w", type="datetime"), "query[0].value", "hundred years"),
        (one("in", "a"), "query[0].value", "must be a non-empty list"),
        (one("in", []), "query[0].value", "must be a non-empty list"),
        (one("in", [["a"]]), "query[0].value[0]", "must be a single value"),
        (one("in", ["now"], type="datetime"), "query[0].value", "must not contain relative times"),
        (one("in", [1, 2, 3]), "query[0].value", "more than 2 values"),
        (one("regex", "("), "query[0].value", "missing )"),
        (one("regex", "(a)\\1"), "query[0].value", "escape"),
        (one("cidr", "1::/999"), "query[0].value", "give a valid cidr"),
        (one("prefix", 5), "query[0].value", "must be a non-empty string for prefix"),
        (one("prefix", ""), "query[0].value", "must be a non-empty string for prefix"),
        (one("regex", "a" * 9), "query[0].value", "longer than 8 characters"),
        (one("wildcard", "*" * 9), "query[0].value", "longer than 8 characters"),
        (one("eq", "a" * 11), "query[0].value", "longer than 10 characters"),
        (one("eq", "\ud800"), "query[0].value", "must be valid Unicode"),
        (one("eq", "a") * 4, "query[3]", "more than 3 conditions"),
        ({"not": {"not": {"not": one("eq", "a")}}}, "query.not.not.not", "more than 3 levels deep"),
        ([{"field": "traits.abcdefgh", "value": "a"}], "query[0].field", "longer than 8"),
    ],
)  # fmt: skip
def test_an_invalid_part_is_named_with_its_remedy(query: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        read(query, "query", SMALL)
    assert caught.value.field == field
    assert words in str(caught.value)
    assert caught.value.remedy


def test_a_memory_hungry_regular_expression_is_refused() -> None:
    with pytest.raises(InvalidRule, match="too large"):
        read(one("regex", r"\pL{200}"), "query", RuleLimits())


def test_nothing_is_read_deeper_than_python_can() -> None:
    query: Any = one("eq", "a")
    for _ in range(5000):
        query = {"not": query}
    with pytest.raises(InvalidRule, match="more than 64 levels deep"):
        read(query, "query", WHEN_LOADED)


X1, X2, Y1 = Anchor("x", "1"), Anchor("x", "2"), Anchor("y", "1")


def on(name: str, value: Any, op: str = "eq") -> dict[str, Any]:
    return {"field": f"traits.{name}", "op": op, "value": value}


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ([on("x", "1")], [{X1}]),
        ([on("x", ["1", "2"], "in")], [{X1, X2}]),
        ({"and": [on("x", "1"), {"and": [on("y", "1")]}]}, [{X1}, {Y1}]),
        ({"or": [on("x", "1"), on("y", "1")]}, [{X1, Y1}]),
        ({"or": [[on("x", ["1", "2"], "in"), on("y", "1")], on("x", "1")]}, [{Y1, X1}]),
        # A test without a key, or with one in some branches only, has no key.
        ({"or": [on("x", "1"), on("y", "1", "ne")]}, []),
        ({"not": on("x", "1")}, []),
        ([on("x", True)], []),
        ([on("raw", "1", "prefix"), {"field": "raw.x", "value": "1"}], []),
        ([{"field": "traits.x", "type": "datetime", "value": "now"}], []),
    ],
)
def test_keys(query: Any, keys: list[set[Anchor]]) -> None:
    assert [set(anchors) for anchors in read(query, "query", WHEN_LOADED).choices()] == keys


def test_equal_queries_are_equal() -> None:
    query = {"or": [on("x", "a*", "wildcard"), on("x", "a+", "regex"), on("x", "10.0.0.0/8", "cidr")]}
    again = ast.literal_eval(repr(query))
    first, second = read(query, "query", WHEN_LOADED), read(again, "query", WHEN_LOADED)
    assert first == second
    assert hash(first) == hash(second)
    assert dataclasses.is_dataclass(first)
