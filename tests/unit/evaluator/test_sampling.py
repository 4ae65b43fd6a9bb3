"""Which events are profiled."""

from __future__ import annotations

import itertools

import pytest

from eventalarm.evaluator.sampling import Sampler
from eventalarm.model import Event, Stage, mark_profiles
from tests.support.builders import event_body


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def events(number: int, *traits: list[object]) -> list[Event]:
    return [Event.parse(event_body() | {"traits": list(traits)}) for _ in range(number)]


def profiled(found: list[Event]) -> list[int]:
    return [place for place, one in enumerate(found) if one.profile is not None]


def test_nothing_is_profiled_when_sampling_is_off() -> None:
    found = events(100)
    Sampler(0.0, 0.0).matched(found)
    mark_profiles(Stage.COMMITTED, found, 1.0)

    assert profiled(found) == []


def test_the_share_is_chosen_at_random() -> None:
    numbers = itertools.cycle([0.9, 0.24, 0.5, 0.25])
    found = events(8)
    Sampler(0.25, 0.0, uniform=lambda: next(numbers)).matched(found)

    assert profiled(found) == [1, 5]


def test_an_event_that_concerns_many_alarms_is_chosen_once() -> None:
    """Red when each match of an event is a chance of its own."""
    numbers = iter([0.9, 0.9])
    found = events(2)
    Sampler(0.25, 0.0, uniform=lambda: next(numbers)).matched([found[0]] * 50 + [found[1]] * 50)

    assert profiled(found) == []


def test_one_event_in_each_interval_is_profiled_in_any_case() -> None:
    """Red when a quiet cloud must wait for a hundred faults to have a profile."""
    clock = Clock()
    sampler = Sampler(0.0, 10.0, monotonic=clock)
    batches = []
    for at in (100.0, 105.0, 110.0, 119.0, 121.0):
        clock.at = at
        batches.append(events(3))
        sampler.matched(batches[-1])

    assert [profiled(batch) for batch in batches] == [[0], [], [0], [], [0]]


def test_a_trait_forces_a_profile() -> None:
    found = [*events(2), *events(1, ["profile", 1, "true"]), *events(1, ["profile", 1, "false"])]
    Sampler(0.0, 0.0).matched(found)

    assert profiled(found) == [2]


def test_an_event_that_is_matched_again_has_its_last_time() -> None:
    clock = Clock()
    sampler = Sampler(1.0, 0.0, now=clock)
    (one,) = events(1)
    sampler.matched([one])
    clock.at = 101.0
    sampler.matched([one])
    mark_profiles(Stage.COMMITTED, [one], 102.0)

    assert one.profile is not None
    assert one.profile.times[Stage.MATCHED] == pytest.approx(101.0)
    assert one.profile.times[Stage.COMMITTED] == pytest.approx(102.0)
