"""Partitions: many projects, and listener processes that share one topic or divide it among partitions.

On one topic every process loads the definitions of nearly every project; with as many partitions as processes
each loads its own. The rate is measured as in "throughput", first cold: the first event of each project is
among the events that count, and an event loads ten alarms on average. It is measured again on the same
listeners once they have loaded the projects. The floor is as many do-nothing listeners.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from benchmarks import accounting
from benchmarks.arena import Arena
from benchmarks.contenders import Cut, Guard, Recipe
from benchmarks.measurement import Measurement
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.throughput import Drains, drain, fresh
from eventalarm.storage.partition_leases import IDLE
from eventalarm.storage.tables import leader_lease
from eventalarm.trial.own_cloud.load.workload import counted, project_name, spread, stream
from eventalarm.trial.own_cloud.progress import NotInTime

NAME = "partitions"
MEBIBYTE = 2**20
EVENTS = 10000
MATCHING = 0.01


@dataclass(frozen=True)
class Case:
    """How many listener processes, and how many partitions."""

    listeners: int
    partitions: int
    projects: int

    def __str__(self) -> str:
        topics = "1 topic" if self.partitions == 1 else counted(self.partitions, "partition")
        return f"{self.projects:,} projects × 100 alarms, {counted(self.listeners, 'listener')}, {topics}"


def cases(context: Context) -> list[Case]:
    """Return every case."""
    projects = context.options.size(1000, 20)
    made = [Case(n, count, projects) for n in (1, 2, 4) for count in sorted({1, n})]
    return [case for case in made if context.wants(str(case))]


def run(context: Context) -> Iterator[Measurement]:
    """Measure every case beside its floor."""
    for case in cases(context):
        with context.arena(workers=case.listeners, partitions=case.partitions) as arena:
            _settle(arena)
            context.progress.scope(f"{NAME}: ")
            names = [project_name(number) for number in range(case.projects)]
            arena.insert(spread(names, 100 * case.projects, arena.sink.bases))
            yield from _measure(context, arena, arena.null(), case, names)
            yield from _measure(context, arena, arena.eventalarm(), case, names)


def _settle(arena: Arena) -> None:
    """Record that nothing is left on the topic of one partition, as a minute after a change of the number."""
    with arena.engine.begin() as connection:
        connection.execute(sa.insert(leader_lease).values(name="partition.1.0", renewals=0, done_at=IDLE))


def _measure(
    context: Context, arena: Arena, recipe: Recipe, case: Case, projects: list[str]
) -> Iterator[Measurement]:
    cold, loaded, sizes = Drains(), Drains(), []
    number = context.options.size(EVENTS, 500)
    for repeat in range(context.options.repeats):
        context.progress.scope(f"{NAME}: {case}: {recipe.contender}: ")
        with arena.running(recipe) as running:
            label = f"{case} {repeat}"
            events = stream(
                projects, 100 * case.projects, number, MATCHING, seed=context.options.seed, run=label
            )
            guard = Guard(running, context.options.stock_seconds)
            try:
                done = drain(arena, events, running, 0, cold, guard)
                drain(arena, fresh(events, repeat), running, done, loaded, guard)
            except (Cut, NotInTime) as exc:
                cold.cut = loaded.cut = str(exc)
                break
            sizes.append(running.memory() / MEBIBYTE)
    common: dict[str, Any] = {
        "scenario": NAME,
        "case": str(case),
        "contender": recipe.contender,
        "size": case.listeners,
        "cut": cold.cut,
    }
    topics = "1 topic" if case.partitions == 1 else "partitions"
    for state, drains in (("cold", cold), ("loaded", loaded)):
        yield Measurement(
            **common,
            metric=f"rate, {state}",
            unit="events/s",
            samples=tuple(drains.rates),
            more_is_better=True,
            tally=accounting.add(drains.tallies),
            curve=f"{topics}, {state}",
        )
    yield Measurement(**common, metric="memory of the largest process", unit="MiB", samples=tuple(sizes))
