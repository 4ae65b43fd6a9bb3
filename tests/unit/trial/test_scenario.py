"""Scenario files: what they may say, and errors that name the field and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.scenario import Disruption, Group, Pause, parse

STAGE = {"use": "existing-cloud", "hosts": {"c1": {}}}
KILL = {"use": "container", "host": "c1", "container": "nova_api", "seconds": [2, 4]}


def document(**fields: Any) -> dict[str, Any]:
    return {"stage": STAGE, "disruptions": [KILL], **fields}


def test_disruptions_are_read_in_turn_and_together() -> None:
    """Red if a group is flattened, or an option of a plugin is taken for a field of the scenario."""
    scenario = parse(
        document(
            disruptions=[
                KILL,
                {"pause": 5},
                {"together": [KILL, {"in_turn": [KILL, {"pause": [1, 2]}], "repeat": 3, "shuffle": True}]},
            ]
        ),
        "mine",
    )
    first, pause, together = scenario.plan.items
    assert isinstance(first, Disruption)
    assert (first.part.use, first.part.name, first.seconds) == (
        "container",
        "container nova_api on c1",
        (2, 4),
    )
    assert first.part.options == {"host": "c1", "container": "nova_api"}
    assert pause == Pause((5, 5))
    assert isinstance(together, Group)
    assert together.together
    inner = together.items[1]
    assert isinstance(inner, Group)
    assert (inner.together, inner.repeat, inner.shuffled, inner.items[1]) == (False, 3, True, Pause((1, 2)))
    assert (scenario.name, len(list(scenario.disruptions()))) == ("mine", 3)


def test_two_equal_disruptions_are_two() -> None:
    scenario = parse(document(disruptions=[KILL, KILL]))
    one, other = scenario.disruptions()
    assert one is not other


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"stage": None}, "stage", "is missing; add it"),
        ({"stage": "existing-cloud"}, "stage", "is not an object"),
        ({"speed": 3}, "speed", "unknown field; remove it; known: after, before"),
        ({"seed": 1.5}, "seed", "1.5 is not an integer"),
        ({"seed": True}, "seed", "True is not a number"),
        ({"before": -1}, "before", "-1 is not a number from 0 to 604800"),
        ({"before": float("nan")}, "before", "nan is not a number"),
        ({"disruptions": {}}, "disruptions", "must be a list; begin each item with a hyphen"),
        ({"disruptions": ["kill"]}, "disruptions[0]", "is not an object"),
        ({"disruptions": [{"host": "c1"}]}, "disruptions[0]", "no kind; give one of use, pause"),
        ({"disruptions": [{"pause": 1, "use": "x"}]}, "disruptions[0]", "has pause, use"),
        ({"disruptions": [{"pause": [3, 1]}]}, "disruptions[0].pause", "the least is larger"),
        ({"disruptions": [{"pause": [1, 2, 3]}]}, "disruptions[0].pause", "a list of the least and the most"),
        ({"disruptions": [{"together": []}]}, "disruptions[0].together", "is empty"),
        ({"disruptions": [{"together": [KILL], "shuffle": True}]}, "disruptions[0].shuffle", "unknown field"),
        ({"disruptions": [{"in_turn": [KILL], "repeat": 0}]}, "disruptions[0].repeat", "from 1 to"),
        ({"monitors": [{"name": "x"}]}, "monitors[0].use", "is missing"),
        ({"monitors": [{"use": "http"}, {"use": "http"}]}, "monitors[1].name", "'http' is used twice"),
        ({"limits": {"availability": {"nova": 99}}}, "limits.availability.nova", "no such monitor"),
        ({"limits": {"noticed": "soon"}}, "limits.noticed", "'soon' is not a number"),
        ({"limits": {"loss": 1}}, "limits.loss", "known: availability, doubled, lost"),
    ],
)
def test_an_error_names_the_field_and_the_remedy(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        parse(document(**fields))
    assert caught.value.field == field
    assert words in str(caught.value)


def test_groups_may_not_be_nested_without_end() -> None:
    item: dict[str, Any] = KILL
    for _ in range(50):
        item = {"in_turn": [item]}
    with pytest.raises(InvalidScenario, match="nested deeper"):
        parse(document(disruptions=[item]))
