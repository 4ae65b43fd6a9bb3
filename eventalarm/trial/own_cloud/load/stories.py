"""Seeded stories: what is published. Pure functions.

A story is about one alarm and some events. What each may end in follows from the rules of alarms, by which
``history.check`` examines what happened.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from eventalarm.trial.own_cloud.load.workload import (
    FAULT,
    HEALTH,
    AlarmSpec,
    EventSpec,
    project_name,
    resource_name,
)

HOUR = 3600.0


@dataclass(frozen=True)
class Sent:
    """One event to publish; ``skew`` is how far its ``generated`` is from the current time, in seconds."""

    spec: EventSpec
    skew: float = 0.0


@dataclass(frozen=True)
class Story:
    """``stages`` are messages of some events; each waits until the one before it is committed.

    ``at`` is the time of the first, in seconds since the load began; ``clears`` means that the alarm has
    ok_actions, ``fresh`` that no other story uses it. ``repeats`` are the seconds after which the first
    message is published again; ``apart`` means a separate message for each event.
    """

    name: str
    at: float
    alarm: AlarmSpec
    stages: Sequence[Sequence[Sent]]
    clears: bool = False
    fresh: bool = True
    repeats: Sequence[float] = field(default=())
    apart: bool = False


@dataclass(frozen=True)
class Plan:
    """The size of a load: *rate* stories per second for *seconds*, and the share of duplicate messages."""

    seed: int
    seconds: float
    rate: float
    projects: int = 5
    shared: int = 60
    doubled: float = 0.05


def projects_of(plan: Plan) -> list[str]:
    """Return the projects whose alarms the stories are about."""
    return [project_name(number, "disruption") for number in range(plan.projects)]


class Writer:
    """Generates stories from a seed; *actions* are the URLs of the consumers, which alarms call in turn."""

    # The relative frequency of each kind of story.
    WEIGHTS = {
        "repeat": 50,
        "single": 20,
        "healthy": 8,
        "stranger": 4,
        "pair": 6,
        "race": 4,
        "ahead": 3,
        "behind": 3,
        "swapped": 2,
    }

    def __init__(self, plan: Plan, actions: Sequence[str]) -> None:
        self._plan = plan
        self._actions = actions
        self._chance = random.Random(f"{plan.seed} stories")
        self._projects = projects_of(plan)
        self._made = 0
        self._shared = [self._alarm(repeat=True) for _ in range(plan.shared)]

    @property
    def shared(self) -> list[AlarmSpec]:
        """The alarms that several stories use."""
        return self._shared

    def stories(self) -> Iterator[Story]:
        """Yield stories at the moments of a Poisson stream."""
        kinds, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        moment = 0.0
        while (moment := moment + self._chance.expovariate(self._plan.rate)) < self._plan.seconds:
            kind = self._chance.choices(kinds, weights)[0]
            story: Story = getattr(self, f"_{kind}")(moment)
            yield story

    # -- parts

    def _alarm(self, *, repeat: bool) -> AlarmSpec:
        number = self._made
        self._made += 1
        project = self._projects[number % len(self._projects)]
        resource = resource_name(number, f"disruption {self._plan.seed}")
        base = self._actions[number % len(self._actions)]
        spec = AlarmSpec(project, resource, repeat=repeat)
        return AlarmSpec(project, resource, f"{base}/{spec.alarm_id}", repeat=repeat)

    def _event(self, alarm: AlarmSpec, state: str = FAULT, project: str = "") -> EventSpec:
        message_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return EventSpec(project or alarm.project, alarm.resource, message_id, state)

    def _again(self) -> tuple[float, ...]:
        return (self._chance.uniform(0.0, 8.0),) if self._chance.random() < self._plan.doubled else ()

    def _story(self, name: str, at: float, alarm: AlarmSpec, *stages: Sequence[Sent]) -> Story:
        shared = name == "repeat" or (name in ("healthy", "stranger"))
        clears = name in ("pair", "race")
        again = self._again()
        apart = name == "race"
        return Story(name, at, alarm, stages, clears=clears, fresh=not shared, repeats=again, apart=apart)

    # -- kinds of stories

    def _repeat(self, at: float) -> Story:
        """One of many faults of a shared instance: one transition, late if a newer one overtook it."""
        alarm = self._chance.choice(self._shared)
        return self._story("repeat", at, alarm, [Sent(self._event(alarm))])

    def _single(self, at: float) -> Story:
        """One fault of an instance that no other story uses."""
        alarm = self._alarm(repeat=False)
        return self._story("single", at, alarm, [Sent(self._event(alarm))])

    def _healthy(self, at: float) -> Story:
        """A healthy state of a watched instance causes nothing."""
        alarm = self._chance.choice(self._shared)
        return self._story("healthy", at, alarm, [Sent(self._event(alarm, HEALTH))])

    def _stranger(self, at: float) -> Story:
        """The same instance id in another project causes nothing (G5)."""
        alarm = self._chance.choice(self._shared)
        other = next(project for project in self._projects if project != alarm.project)
        return self._story("stranger", at, alarm, [Sent(self._event(alarm, project=other))])

    def _pair(self, at: float) -> Story:
        """A fault, and its recovery once the fault is committed."""
        alarm = self._alarm(repeat=False)
        fault, recovery = self._event(alarm), self._event(alarm, HEALTH)
        return self._story("pair", at, alarm, [Sent(fault)], [Sent(recovery)])

    def _race(self, at: float) -> Story:
        """A fault and its recovery in messages that two listeners may take: either may be evaluated first."""
        alarm = self._alarm(repeat=False)
        fault, recovery = self._event(alarm), self._event(alarm, HEALTH)
        return self._story("race", at, alarm, [Sent(fault), Sent(recovery)])

    def _ahead(self, at: float) -> Story:
        """An event from a clock an hour ahead does not make later events late (G9)."""
        alarm = self._alarm(repeat=True)
        skewed, normal = self._event(alarm), self._event(alarm)
        return self._story("ahead", at, alarm, [Sent(skewed, HOUR)], [Sent(normal)])

    def _behind(self, at: float) -> Story:
        """An event from a clock an hour behind is late; the next one is not."""
        alarm = self._alarm(repeat=True)
        normal, skewed, last = self._event(alarm), self._event(alarm), self._event(alarm)
        return self._story("behind", at, alarm, [Sent(normal)], [Sent(skewed, -HOUR)], [Sent(last)])

    def _swapped(self, at: float) -> Story:
        """Two events of one message in the wrong order are sorted."""
        alarm = self._alarm(repeat=True)
        older, newer = self._event(alarm), self._event(alarm)
        return self._story("swapped", at, alarm, [Sent(newer, 60.0), Sent(older)])
