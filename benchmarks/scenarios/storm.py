"""Storm: many alarms are fired by as many events published at once; when does the last webhook arrive?

Time runs from the first publish to the last arrival at the sink; caches are warm. The floor is the raw
publish → consume → POST of the same events, without rules and database.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import Arena
from benchmarks.contenders import Recipe, Running
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import TIMEOUT, Context, at
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, counted, of_alarms, project_name, spread

NAME = "storm"
WARM = 20


@dataclass(frozen=True)
class Case:
    """How many alarms in how many projects call how many destinations."""

    alarms: int
    projects: int
    destinations: int

    def __str__(self) -> str:
        places = counted(self.destinations, "destination")
        return f"{self.alarms:,} alarms, {counted(self.projects, 'project')}, {places}"


@dataclass
class Storms:
    """Results of the repeats of one contender: seconds to the last webhook and to the median one."""

    last: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    cut: str = ""


def cases(context: Context) -> list[Case]:
    """Return every case."""
    if context.options.quick:
        made = [Case(50, 5, 5)]
    else:
        made = [Case(*sizes) for sizes in itertools.product((100, 1000, 5000), (1, 50), (1, 100))]
    return [case for case in made if context.wants(str(case))]


def run(context: Context) -> Iterator[Measurement]:
    """Measure every case, those with the same distance and destinations in one arena."""
    chosen = cases(context)
    places = dict.fromkeys(case.destinations for case in chosen)
    numbers = itertools.count()
    for distance, destinations in itertools.product(context.distances, places):
        with context.arena(destinations, distance=distance) as arena:
            for recipe in arena.recipes(arena.relay()):
                left = [case for case in chosen if case.destinations == destinations]
                while left:
                    yield from _measure(context, arena, recipe, left, numbers, distance)


def _measure(
    context: Context,
    arena: Arena,
    recipe: Recipe,
    left: list[Case],
    numbers: Iterator[int],
    distance: float | None,
) -> Iterator[Measurement]:
    """Measure one contender in the cases in *left*, removing each, until it is stopped."""
    with arena.running(recipe) as running:
        while left:
            case = left.pop(0)
            name = at(str(case), distance)
            context.progress.scope(f"{NAME}: {name}: {recipe.contender}: ")
            storms = Storms()
            for _ in range(context.options.repeats):
                _storm(context, arena, case, running, f"storm {next(numbers)}", storms)
                if storms.cut:
                    break
            common: dict[str, Any] = {
                "scenario": NAME,
                "case": name,
                "unit": "s",
                "curve": str(case),
                "distance": distance,
                "contender": recipe.contender,
            }
            whole = accounting.add(storms.tallies)
            yield Measurement(
                **common, metric="last webhook", samples=tuple(storms.last), tally=whole, cut=storms.cut
            )
            if storms.middle:
                yield Measurement(
                    **common,
                    metric="middle webhook",
                    samples=tuple(storms.middle),
                    tally=whole,
                    cut=storms.cut,
                )
            if storms.cut:
                return


def _storm(context: Context, arena: Arena, case: Case, running: Running, label: str, storms: Storms) -> None:
    """Fire new alarms in new projects, warmed up by one alarm each, and add what happened to *storms*."""
    projects = [project_name(number, label) for number in range(case.projects)]
    bases = arena.sink.bases
    alarms = arena.insert(spread(projects, case.alarms, bases, repeat=False))
    warm = arena.insert(spread(projects, max(WARM, len(projects)), bases, label=f"warm {label}"))
    limit = context.options.stock_seconds if running.recipe.contender is Contender.STOCK else TIMEOUT
    if not _warm_up(context, arena, warm, running, limit, label):
        storms.cut = f"stopped after {limit:.0f} s of warming up"
        return
    events = of_alarms(alarms, len(alarms), seed=context.options.seed, run=label)
    arena.prepare(events, running)
    arena.sink.reset()
    sent = arena.load.burst().sent
    arrivals, found = arena.collect(events, running, limit)
    storms.tallies.append(found)
    if found.missing:
        storms.last.append(limit)
        storms.cut = f"stopped after {limit:.0f} s"
        return
    moments = sorted({one.message_id: one.moment for one in reversed(arrivals)}.values())
    storms.last.append(moments[-1] - sent[0])
    storms.middle.append(moments[len(moments) // 2] - sent[0])


def _warm_up(
    context: Context, arena: Arena, alarms: Sequence[AlarmSpec], running: Running, limit: float, label: str
) -> bool:
    """Load every project and open connections; return True if all webhooks of the warm-up arrived in time."""
    for run, count in (("first", 1), ("others", len(alarms))):
        events = of_alarms(alarms, count, seed=context.options.seed, run=f"{label} {run}")
        arena.prepare(events, running)
        arena.sink.reset()
        arena.load.burst()
        if arena.sink.wait(len(events), limit, context.progress) < len(events):
            return False
    return True
