import contextlib

import pytest

from eventalarm.ifa_shim.api.subscriptions import NoSlot, Slots
from eventalarm.ifa_shim.subscriptions.suspend import in_turn


def test_one_project_leaves_half_of_the_places() -> None:
    places = Slots(4)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(places.taken("greedy"))
        with pytest.raises(NoSlot):
            stack.enter_context(places.taken("greedy"))
        stack.enter_context(places.taken("other"))
        with pytest.raises(NoSlot):
            stack.enter_context(places.taken("other"))
        stack.enter_context(places.taken("third"))
        with pytest.raises(NoSlot):
            stack.enter_context(places.taken("fourth"))
    with places.taken("fourth"):
        pass


def test_a_single_place_can_be_taken() -> None:
    places = Slots(1)
    for project in "ab":
        with places.taken(project), pytest.raises(NoSlot), places.taken("c"):
            pass


def test_a_failure_releases_its_place() -> None:
    places = Slots(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), places.taken("a"):
            raise ValueError("no")


def test_each_project_has_its_first_turn_before_any_second() -> None:
    assert in_turn(["a1", "a2", "a3", "b1", "c1", "b2"], lambda one: one[0]) == [
        *("a1", "b1", "c1"),
        *("a2", "b2"),
        "a3",
    ]
    assert in_turn([], str) == []
