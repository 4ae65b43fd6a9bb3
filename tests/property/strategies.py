"""Generators of rules and events, from small vocabularies so that they meet; hostile values among them."""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import strategies as st

UTC = datetime.UTC
START = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

EVENT_TYPES = [
    "compute.instance.update",
    "compute.instance.create.end",
    "compute.instance",
    "port.update",
    "x[1]",
    "x1",
    "a*c",
    "Ünïcode.événement",
    "line\nbreak",
    "[",
    "☃",
]
PATTERNS = [
    *EVENT_TYPES,
    "*",
    "compute.*",
    "compute.instance.?pdate",
    "compute.instance.[cu]*",
    "[!p]*",
    "*.update",
    "[",
    "[]",
    "a[*]c",
    "x[!2]",
    "?",
    "COMPUTE.*",
    "line*break",
]
TRAITS = ["resource_id", "instance_id", "host", "state", "count", "load", "when", "ünï", "a.b"]
STRINGS = [
    "",
    "a",
    "b",
    "A",
    "a ",
    "1",
    "1.0",
    "01",
    "True",
    "true",
    "None",
    "nan",
    "é☃𐍈",
    "\x00",
    "\ud800",
]
DATES = [
    "2026-05-01T12:00:00",
    "2026-05-01T12:00:00Z",
    "2026-05-01T14:00:00+02:00",
    "2026-05-01T12:00:00.000001",
    "2026-05-01 12:00:00",
    "2026-05-01",
    "20260501T120000",
    "2026-05-01T12:00:00,5",
    "1969-12-31T23:59:59.999999",
]
BAD_DATES = ["soon", "2026-13-01", "2026-05-01T25:00:00", "", "2026-W18-5T12", "0001-01-01T00:00:00+05:00"]
NUMBERS = [0, 1, -1, 2, 10**30, 1.0, 0.0, 1.5, -0.0, True, False, 1e308]
NUMBER_TEXTS = ["0", "1", " 1 ", "1.0", "1e0", "1_0", "+1", "-0", "inf", "nan", "٣"]
ODD = [None, [], {}, ["a"], {"a": 1}, "not a number", "1.5.2"]

OPS = ["eq", "ne", "lt", "le", "gt", "ge"]
AODH_TYPES = ["", None, "string", "integer", "float", "datetime", "none"]

names = st.sampled_from(TRAITS)
strings = st.one_of(st.sampled_from(STRINGS), st.text(max_size=3))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-3, 3), st.floats())
anything = st.one_of(strings, numbers, st.sampled_from([*DATES, *BAD_DATES, *NUMBER_TEXTS, *ODD]))
good_values = {
    1: st.one_of(strings, st.sampled_from([1, 1.5, None, True])),
    2: st.one_of(
        st.sampled_from([0, 1, 2, -1, 1.9, True, "1", " 1 ", "1_0", "٣", 10**30]), st.integers(-3, 3)
    ),
    3: st.one_of(st.sampled_from([0, 1, 1.0, 1.5, -0.0, "1.0", "1e0", "inf", "nan", "-inf"]), numbers),
    4: st.sampled_from(DATES),
}


@st.composite
def good_traits(draw: st.DrawFn) -> list[Any]:
    """A trait that Aodh can read."""
    dtype = draw(st.sampled_from([1, 1, 1, 2, 2, 3, 4]))
    return [draw(names), dtype, draw(good_values[dtype])]


any_traits = st.one_of(
    good_traits(),
    st.tuples(names, st.sampled_from([1, 2, 3, 4, 0, 5, "integer", None]), anything).map(list),
    st.sampled_from(
        [
            ["state"],
            [],
            None,
            "abc",
            "ab",
            7,
            ["state", 1],
            ["state", 1, "a", "b"],
            [["state"], 1, "a"],
            {"state": 1, "load": 2, "when": 3},
            [None, 1, "a"],
            ["state", [], {}],
        ]
    ),
)


@st.composite
def conditions(draw: st.DrawFn, *, readable: bool = True) -> dict[str, Any]:
    """A condition; a *readable* one Aodh can compile, and evaluate unless the kinds cannot be ordered."""
    if not readable and draw(st.integers(0, 3)) == 0:
        return draw(odd_conditions())
    type_name = draw(st.sampled_from(AODH_TYPES))
    dtype = {"integer": 2, "float": 3, "datetime": 4}.get(type_name or "", 1)
    made: dict[str, Any] = {"field": f"traits.{draw(names)}", "value": draw(good_values[dtype])}
    # Equality on texts is what people write; without a bias to it hardly anything would ever match.
    op = draw(st.sampled_from([*OPS, "eq", "eq", "eq", None]))
    if op is not None:
        made["op"] = op
    if type_name is not None or draw(st.booleans()):
        made["type"] = type_name
    return made


@st.composite
def odd_conditions(draw: st.DrawFn) -> dict[str, Any]:
    """A condition on which Aodh raises, or may."""
    field = st.one_of(
        names.map("traits.{}".format),
        st.sampled_from(
            ["event_type", "message_id", "generated", "raw.a", "raw.b.c", "traits", "traits.", "nope", ""]
        ),
        st.none(),
    )
    made = {
        "field": draw(field),
        "op": draw(st.sampled_from([*OPS, None, "", "like", 5])),
        "type": draw(st.sampled_from([*AODH_TYPES, "boolean", "Boolean", "number", 3])),
        "value": draw(anything),
    }
    for name in draw(st.sets(st.sampled_from(sorted(made)), max_size=1)):
        del made[name]
    return made


@st.composite
def rules(draw: st.DrawFn, *, readable: bool = True) -> dict[str, Any]:
    """An event rule."""
    event_type = draw(st.sampled_from(PATTERNS))
    query = draw(st.lists(conditions(readable=readable), max_size=3))
    if readable or draw(st.integers(0, 9)):
        return {"event_type": event_type, "query": query}
    return draw(
        st.sampled_from(
            [
                {"query": query},
                {"event_type": event_type},
                {"event_type": None, "query": query},
                {"event_type": "", "query": query},
                {"event_type": 5, "query": query},
                {"event_type": event_type, "query": None},
                {"event_type": event_type, "query": {}},
                {"event_type": event_type, "query": [*query, "state=error"]},
                {},
                None,
                "rule",
                [],
            ]
        )
    )


@st.composite
def events(draw: st.DrawFn, number: int = 0, *, readable: bool = True, owner: Any = None) -> dict[str, Any]:
    """An event; *owner* is a strategy for its last traits."""
    made = {
        "message_id": f"message-{number}-{draw(st.sampled_from(['', 'é☃', '𐍈']))}",
        "event_type": draw(st.sampled_from(EVENT_TYPES)),
        "generated": (START + datetime.timedelta(seconds=number)).isoformat(),
        "traits": draw(st.lists(good_traits() if readable else any_traits, max_size=6)),
        "raw": draw(st.sampled_from([{}, {"a": 1}, {"a": "a", "b": {"c": True}}, {"b": "not a mapping"}])),
    }
    if owner is not None:
        made["traits"] += draw(owner)
    return made


@st.composite
def meeting(draw: st.DrawFn, event: dict[str, Any], *, readable: bool = True) -> dict[str, Any]:
    """A rule that is likely to match *event*: most of its conditions are taken from the event."""
    made = draw(rules(readable=readable))
    if not isinstance(made, dict) or not isinstance(made.get("query"), list):
        return made
    if draw(st.integers(0, 5)):
        made["event_type"] = draw(st.sampled_from(["*", event["event_type"]]))
    if draw(st.integers(0, 5)):
        made["query"] = [
            draw(agreeing(trait)) for trait in draw(st.lists(st.sampled_from(copied(event)), max_size=2))
        ]
    return made


def copied(event: dict[str, Any]) -> list[Any]:
    """The well-formed traits of an event, or one that is none of them."""
    good = [t for t in event["traits"] if isinstance(t, list) and len(t) == 3 and isinstance(t[0], str)]
    return [t for t in good if t[1] in (1, 2, 3, 4)] or [["absent", 1, "a"]]


@st.composite
def agreeing(draw: st.DrawFn, trait: list[Any]) -> dict[str, Any]:
    """A condition on a trait that mostly holds."""
    name, dtype, value = trait
    types = {1: "string", 2: "integer", 3: "float", 4: "datetime"}
    op = draw(st.sampled_from(["eq", "eq", "eq", "ge", "le", "ne"]))
    # Not in the order of the alphabet, in which Aodh's reason has them.
    return {"value": value, "field": f"traits.{name}", "op": op, "type": types[dtype]}
