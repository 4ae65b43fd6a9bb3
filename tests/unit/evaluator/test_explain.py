"""Explanations: every condition with the value in the event, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.explain import Explanation, explain
from eventalarm.evaluator.objects_in_fault import ObjectsInFault, ObjectState
from tests.support.builders import NOW, RESOURCE_TRAITS, UPDATE, at, condition, definition, event, rule
from tests.unit.evaluator.test_conditions import code, documented, on

DOCUMENT = {
    "event_type": ["compute.*", "host.*"],
    "query": [
        {"or": [on("x", ["b", "a"], "in"), {"not": on("y", "z", "regex")}]},
        {"field": "generated", "op": "le", "type": "datetime", "value": "now-5m"},
        on("z", True, "exists"),
    ],
    "clear": {"event_type": "host.up"},
    "resource_id": "vm-1",
}


def explained(document: Any = DOCUMENT, the_type: str = NOTIFICATION_TYPE, **fields: Any) -> Explanation:
    return explain(
        definition("a", document, type=the_type),
        event(**fields),
        NOW,
        resource_traits=RESOURCE_TRAITS,
        clears=fields.get("clears", True),
    )


def test_every_question_is_answered() -> None:
    said = explained(x="b", resource_id="vm-1", traits=[["y", 2, "no number"]])
    assert said.verdict is Verdict.NOTHING
    assert said.managed_object == "vm-1"
    assert said.lines() == [
        "The event does nothing to the alarm (managed object: vm-1).",
        "no   raises, all of",
        f"yes    event_type is compute.* or host.*   (event: {UPDATE})",
        "yes    resource_id is 'vm-1'   (event: 'vm-1')",
        "yes    any of",
        "yes      traits.x in ['a', 'b']   (event: 'b')",
        "yes      not",
        "no         traits.y regex 'z'   (event: absent)",
        "no     generated le 2026-05-01T11:55:00+00:00   (event: 2026-05-01T12:00:00+00:00)",
        "no     traits.z exists   (event: absent)",
        "no   clears, all of",
        f"no     event_type is host.up   (event: {UPDATE})",
        "yes    resource_id is 'vm-1'   (event: 'vm-1')",
        "Ignored unreadable traits: y",
    ]


def test_conclusions_from_the_event_are_explained() -> None:
    timed = {"query": [on("x", "a")], "clear": {"query": [on("x", "b")]}, "hold_down": 2.5, "clear_after": 60}
    said = explained({**timed, "severity_from": "level"}, x="a", level="Major").then
    assert said == (
        "The alarm clears by itself 60 seconds after the latest such event.",
        "Severity (trait level): MAJOR.",
    )
    assert explained({**timed, "severity_from": "level"}, x="a", level="bad").then[1:] == (
        "Severity (trait level): unknown, 'bad' is not an X.733 severity.",
    )
    assert explained({**timed, "severity_from": "level"}, x="a").then[1:] == (
        "Severity (trait level): not given.",
    )
    both = {**timed, "severity": "minor", "severity_from": "level"}
    assert explained({**timed, "severity": "minor"}, x="a").then[1:] == ("Severity (rule): MINOR.",)
    assert explained(both, x="a", level="info").then[1:] == ("Severity (trait level): WARNING.",)
    assert explained(both, x="a").then[1:] == ("Severity (trait level): not given; MINOR by the rule.",)
    assert explained(both, x="a", level="bad").then[1:] == (
        "Severity (trait level): unknown, 'bad' is not an X.733 severity; MINOR by the rule.",
    )
    assert explained(timed, x="b").lines()[1] == (
        "The clear is held: it takes effect after 2.5 seconds without a match."
    )
    counted = {**timed, "count": {"at_least": 3, "within": 60}}
    assert explained(counted, x="a").then[1] == (
        "The alarm is raised by 3 such events of one managed object within 60 seconds."
    )
    beat = {"query": [on("x", "a")], "absence": {"after": 30}}
    assert explained(beat, x="a").then == ("The alarm is raised when no such event comes for 30 seconds.",)
    assert explained(timed, x="c").then == ()


def test_the_object_of_a_group_is_explained() -> None:
    grouped = {
        "query": [on("x", "a")],
        "clear": {"query": [on("x", "b")]},
        "at_least": 2,
        "objects": "port_id",
    }
    number = "The alarm is raised while at least 2 objects of one managed object are in fault."
    assert explained(grouped, x="a", port_id="p").then == ("Object 'p' is in fault.", number)
    assert explained(grouped, x="b", port_id="p").then == ("Object 'p' is no longer in fault.", number)
    said = explained(grouped, x="a")
    assert (said.verdict, said.managed_object) == (Verdict.NOTHING, "")
    assert said.then == ("The event names no object: it has none of the traits port_id.",)


@pytest.mark.parametrize(
    ("name", "seconds", "sentences"),
    [
        ("vm-3", 0, ["With the event, 3 of 3 objects are in fault: vm-1, vm-2, vm-3."]),
        ("vm-1", 0, ["With the event, 2 of 3 objects are in fault: vm-1, vm-2."]),
        (
            "vm-1",
            -60,
            [
                "The event is late: a newer one about the object has been received.",
                "With the event, 2 of 3 objects are in fault: vm-1, vm-2.",
            ],
        ),
    ],
)
def test_the_number_of_objects_in_fault_is_explained(name: str, seconds: float, sentences: list[str]) -> None:
    document = {"query": [on("x", "a")], "clear": {"query": [on("x", "b")]}, "at_least": 3, "objects": "vm"}
    known = ObjectsInFault({one: ObjectState(at(-30), True) for one in ("vm-1", "vm-2")}, 3)
    said = explain(
        definition("a", document, type=NOTIFICATION_TYPE),
        event(x="a", vm=name, generated=at(seconds)),
        NOW,
        resource_traits=RESOURCE_TRAITS,
        clears=True,
        objects_of=lambda group, at_least: known,
    )
    assert list(said.then[2:]) == sentences


def test_event_rules_are_explained_too() -> None:
    stock = rule(UPDATE, condition("count", 5, "ge"), resource_id="vm-1", state="error")
    said = explained(stock, "event", resource_id="vm-1", state="error", count=5)
    assert said.verdict is Verdict.MATCH
    assert said.clears is None
    assert said.managed_object == "vm-1"
    assert "yes    traits.count ge 5   (event: 5)" in said.lines()
    assert explained(stock, "event", resource_id="vm-1", state="active").verdict is Verdict.RECOVERED
    assert explained(stock, "event", resource_id="vm-1", state="a", clears=False).verdict is Verdict.NOTHING


def test_every_operator_can_be_explained() -> None:
    """The examples are those of the page."""
    for _, (_, example, good, _) in documented("operators"):
        value = code(good)
        said = explained({"query": [code(example)]}, **({} if value is None else {"x": value}))
        finding = said.raises.parts[1]
        assert finding.asked.startswith("traits.x ")
        assert finding.seen == (None if value is None else repr(value))
        assert "at 0x" not in finding.asked


def test_a_list_of_times_is_explained_in_words() -> None:
    times = {**on("x", ["2026-05-01T00:00:00", "2026-05-02T00:00:00"], "in"), "type": "datetime"}
    asked = explained({"query": [times]}, x="a").raises.parts[1].asked
    assert asked == "traits.x in [2026-05-01T00:00:00+00:00, 2026-05-02T00:00:00+00:00]"
