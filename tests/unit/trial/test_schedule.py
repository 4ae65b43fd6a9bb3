"""Schedules: the same seed gives the same one, and times add up."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.scenario import Scenario, parse
from eventalarm.trial.schedule import Parallel, duration, schedule, timetable


def scenario(*disruptions: dict[str, Any], **fields: Any) -> Scenario:
    document = {"stage": {"use": "s"}, "before": 1, "after": 2, "disruptions": list(disruptions), **fields}
    return parse(document)


def kill(name: str, seconds: Any = 3) -> dict[str, Any]:
    return {"use": "x", "name": name, "seconds": seconds}


def planned(of: Scenario, seed: int | None = None) -> list[tuple[float, str, float]]:
    names = [one.part.name for one in of.disruptions()]
    return [(at, names[one.place], one.seconds) for at, one in timetable(schedule(of, seed))]


def test_what_is_in_turn_follows_and_what_is_together_does_not() -> None:
    one = scenario(kill("a"), {"pause": 4}, {"together": [kill("b", 5), kill("c", 1)]}, kill("d"))
    assert planned(one) == [(1, "a", 3), (8, "b", 5), (8, "c", 1), (13, "d", 3)]
    assert duration(schedule(one)) == 1 + 3 + 4 + 5 + 3 + 2


def test_the_seed_decides_the_order_and_the_times() -> None:
    """Red if a second call, or the order of a set, changes the schedule."""
    group = {"in_turn": [kill(name, [1, 9]) for name in "abcdef"], "shuffle": True, "repeat": 3}
    one = scenario(group, seed=5)
    assert planned(one) == planned(one) == planned(one, 5)
    assert planned(one) != planned(one, 6)
    names = [name for _, name, _ in planned(one)]
    assert [sorted(names[start : start + 6]) for start in (0, 6, 12)] == [list("abcdef")] * 3
    assert len({tuple(names[start : start + 6]) for start in (0, 6, 12)}) > 1
    assert all(1 <= seconds <= 9 for *_, seconds in planned(one))


def test_the_disruptions_are_repeated_for_the_time() -> None:
    one = scenario(kill("a", 3), {"pause": 1}, seconds=9)
    assert [at for at, *_ in planned(one)] == [1, 5, 9]
    assert duration(schedule(scenario(seconds=9))) == 1 + 9 + 2


def test_disruptions_that_take_no_time_cannot_last() -> None:
    with pytest.raises(InvalidScenario, match="take no time"):
        schedule(scenario(kill("a", 0), seconds=9))


def test_a_repeated_group_is_repeated_in_turn() -> None:
    one = scenario({"together": [kill("a"), kill("b")], "repeat": 2})
    assert [at for at, *_ in planned(one)] == [1, 1, 4, 4]
    assert not isinstance(schedule(one).items[1], Parallel)
