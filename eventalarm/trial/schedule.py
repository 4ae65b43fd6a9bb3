"""From a scenario and its seed to what happens when; the same seed gives the same schedule. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.scenario import Disruption, Group, Item, Pause, Scenario, Span

MOST_STRIKES: Final = 100_000


@dataclass(frozen=True)
class Wait:
    """Nothing for a time, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Planned:
    """One disruption: its place among those of the scenario, and for how many seconds."""

    place: int
    seconds: float


@dataclass(frozen=True)
class Sequel:
    """What happens in turn."""

    items: tuple[Timed, ...]


@dataclass(frozen=True)
class Parallel:
    """What happens at the same time; it ends with the longest."""

    items: tuple[Timed, ...]


Timed = Wait | Planned | Sequel | Parallel


def schedule(scenario: Scenario, seed: int | None = None) -> Sequel:
    """Return what happens; *seed* replaces that of the scenario.

    The plan is repeated until it has lasted for the time of the scenario.

    :raises InvalidScenario: if that never ends.
    """
    chance = random.Random(f"{scenario.seed if seed is None else seed} schedule")  # noqa: S311 - no secret
    places = {id(one): place for place, one in enumerate(scenario.disruptions())}
    if not scenario.plan.items:
        return Sequel((Wait(scenario.before), Wait(scenario.seconds), Wait(scenario.after)))
    rounds: list[Timed] = []
    planned = 0.0
    while not rounds or planned < scenario.seconds:
        one = _timed(scenario.plan, chance, places)
        rounds.append(one)
        planned += duration(one)
        if not duration(one) or len(rounds) > MOST_STRIKES:
            break
    if planned < scenario.seconds:
        raise InvalidScenario("seconds", "the disruptions take no time", "add a pause between them")
    return Sequel((Wait(scenario.before), *rounds, Wait(scenario.after)))


def _timed(item: Item, chance: random.Random, places: dict[int, int]) -> Timed:
    if isinstance(item, Pause):
        return Wait(_within(item.seconds, chance))
    if isinstance(item, Disruption):
        return Planned(places[id(item)], _within(item.seconds, chance))
    rounds = [_round(item, chance, places) for _ in range(item.repeat)]
    return rounds[0] if len(rounds) == 1 else Sequel(tuple(rounds))


def _round(group: Group, chance: random.Random, places: dict[int, int]) -> Timed:
    items = list(group.items)
    if group.shuffled:
        chance.shuffle(items)
    timed = tuple(_timed(one, chance, places) for one in items)
    return Parallel(timed) if group.together else Sequel(timed)


def _within(span: Span, chance: random.Random) -> float:
    return round(chance.uniform(*span), 3)


def duration(timed: Timed) -> float:
    """Return how many seconds it takes, without the time to heal."""
    if isinstance(timed, Wait | Planned):
        return timed.seconds
    inner = [duration(one) for one in timed.items]
    return max(inner, default=0.0) if isinstance(timed, Parallel) else sum(inner)


def timetable(timed: Timed, since: float = 0.0) -> Iterator[tuple[float, Planned]]:
    """Yield each disruption with the seconds from the beginning at which it is planned."""
    if isinstance(timed, Planned):
        yield since, timed
    elif isinstance(timed, Sequel):
        for one in timed.items:
            yield from timetable(one, since)
            since += duration(one)
    elif isinstance(timed, Parallel):
        for one in timed.items:
            yield from timetable(one, since)
