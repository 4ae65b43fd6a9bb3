"""Throughput: events that already wait in the queue are released to one contender at a time and drained.

The rate is events over the time from the release to the last acknowledgement, caches warm. The floor is the
do-nothing listener, measured again for every number of alarms.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import WEBHOOK_TIMEOUT, Arena
from benchmarks.contenders import Cut, Guard, Recipe, Running, await_acks
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import TIMEOUT, Context
from eventalarm.trial.own_cloud.load.workload import (
    FAULT,
    SPACE,
    EventSpec,
    counted,
    project_name,
    resource_name,
    spread,
    stream,
)
from eventalarm.trial.own_cloud.progress import NotInTime

NAME = "throughput"
STOCK_BACKLOGS = (4, 16, 64, 256, 1024, 4096)


@dataclass(frozen=True)
class Case:
    """How many alarms in how many projects, and which share of the events fires one."""

    alarms: int
    projects: int
    matching: float

    @property
    def place(self) -> str:
        """The alarms in words."""
        return f"{self.alarms:,} alarms, {counted(self.projects, 'project')}"

    def __str__(self) -> str:
        return f"{self.place}, {self.matching:.0%} matching"


@dataclass
class Drains:
    """Results of the repeats of one contender."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    cut: str = ""
    note: str = ""

    def keep_last(self) -> None:
        """Forget the rates and costs of all but the last repeat."""
        self.rates, self.costs = self.rates[-1:], self.costs[-1:]


def cases(context: Context) -> list[Case]:
    """Return every case, those on the same alarms side by side."""
    if context.options.quick:
        made = [Case(100, 5, share) for share in (0.0, 0.1)]
    else:
        made = [
            Case(alarms, projects, share)
            for projects in (1, 1000)
            for alarms in (0, 10, 1000, 10000, 100000)
            for share in ((0.0, 0.01, 0.1) if alarms else (0.0,))
        ]
    return [case for case in made if context.wants(str(case))]


def run(context: Context) -> Iterator[Measurement]:
    """Measure every case."""
    chosen = cases(context)
    for alarms, projects in dict.fromkeys((case.alarms, case.projects) for case in chosen):
        with context.arena() as arena:
            names = [project_name(number) for number in range(projects)]
            context.progress.scope(f"{NAME}: ")
            context.progress.say(f"inserting {alarms:,} alarms")
            arena.insert(spread(names, alarms, arena.sink.bases))
            here = [case for case in chosen if (case.alarms, case.projects) == (alarms, projects)]
            for recipe in arena.recipes(arena.null()):
                yield from _measure(context, arena, recipe, here, names)


def _measure(
    context: Context, arena: Arena, recipe: Recipe, chosen: Sequence[Case], projects: Sequence[str]
) -> Iterator[Measurement]:
    """Measure one contender in cases on the same alarms; it is restarted only after it was stopped."""
    left = list(chosen)
    while left:
        context.progress.scope(f"{NAME}: {left[0].place}: {recipe.contender}: ")
        with arena.running(recipe) as running:
            cut, done = "", 0
            try:
                done = _warm_up(context, arena, projects, running)
            except (Cut, NotInTime) as exc:
                cut = f"{exc} while warming up"
            while left:
                case = left.pop(0)
                context.progress.scope(f"{NAME}: {case}: {recipe.contender}: ")
                drains = Drains(cut=cut)
                if not cut:
                    done = _drain_all(context, arena, case, projects, running, done, drains)
                yield from _figures(case, recipe.contender, drains)
                if drains.cut and not cut:
                    break


def _figures(case: Case, contender: Contender, drains: Drains) -> Iterator[Measurement]:
    where = "1 project" if case.projects == 1 else "many projects"
    common: dict[str, Any] = {
        "scenario": NAME,
        "case": str(case),
        "contender": contender,
        "size": case.alarms,
        "cut": drains.cut,
        "note": drains.note,
    }
    yield Measurement(
        **common,
        metric="rate",
        unit="events/s",
        samples=tuple(drains.rates),
        more_is_better=True,
        tally=accounting.add(drains.tallies),
        curve=f"{case.matching:.0%} matching, {where}",
    )
    if drains.costs:
        yield Measurement(**common, metric="processor time", unit="µs/event", samples=tuple(drains.costs))


def _warm_up(context: Context, arena: Arena, projects: Sequence[str], running: Running) -> int:
    """Load every project and exercise every code path; return the number of events that this took."""
    guard = Guard(running, context.options.stock_seconds)
    nobodys = resource_name(0, "nobody's")
    nobody = [EventSpec(project, nobodys, f"warm-{project}", FAULT, fires=False) for project in projects]
    last = [EventSpec(projects[0], nobodys, f"warm-{n}", FAULT, fires=False) for n in range(100)]
    if running.recipe.contender is Contender.STOCK:
        # With many alarms these alone would take stock Aodh more than its minute.
        last = []
    # Start with a single event: dozens of threads that load the same project at once would be no warm-up.
    done = 0
    for events in filter(None, ([nobody[0]], [*nobody[1:], *last])):
        arena.prepare(events, running)
        arena.load.burst()
        done += len(events)
        await_acks(running, done, guard, TIMEOUT, arena.progress)
    return done


def _drain_all(
    context: Context,
    arena: Arena,
    case: Case,
    projects: Sequence[str],
    running: Running,
    done: int,
    drains: Drains,
) -> int:
    """Do all repeats of a case into *drains*; return how many events the contender acknowledged in all."""
    stock = running.recipe.contender is Contender.STOCK
    number = context.options.size(20000, 500)
    guard = Guard(running, context.options.stock_seconds)
    for repeat, backlog in enumerate(_backlogs(number, stock, context.options.repeats)):
        label = f"{case} {0 if stock else repeat}"
        events = stream(projects, case.alarms, number, case.matching, seed=context.options.seed, run=label)
        try:
            done = drain(arena, fresh(events[:backlog], repeat), running, done, drains, guard)
        except (Cut, NotInTime) as exc:
            drains.cut = str(exc)
            break
        if stock:
            drains.keep_last()
            drains.note = f"with a backlog of {backlog:,}" if backlog < number else ""
    return done


def _backlogs(number: int, stock: bool, repeats: int) -> list[int]:
    """Return how many events to queue, one after the other.

    For stock Aodh the number grows: its 64 threads process as many events at once, so that of a long backlog
    nothing may be finished when its time is over. The longest backlog that it finished counts.
    """
    return [size for size in STOCK_BACKLOGS if size < number] + [number] if stock else [number] * repeats


def fresh(events: Sequence[EventSpec], repeat: int) -> list[EventSpec]:
    """Return the same events under new ids."""
    return [
        dataclasses.replace(event, message_id=str(uuid.uuid5(SPACE, f"{event.message_id} {repeat}")))
        for event in events
    ]


def drain(
    arena: Arena, events: Sequence[EventSpec], running: Running, done: int, drains: Drains, guard: Guard
) -> int:
    """Queue *events* while *running* is stopped, release it, and add what it did to *drains*."""
    arena.prepare(events, running)
    arena.sink.reset()
    with running.paused():
        arena.load.burst()
        used = running.cpu()
        released = time.monotonic()
    try:
        await_acks(running, done + len(events), guard, TIMEOUT, arena.progress)
    except Cut:
        if not drains.rates:
            # If nothing was finished, assume that the time was just too short for one event.
            drains.rates.append(max(1, running.acks().count - done) / (time.monotonic() - released))
        raise
    acks = running.acks()
    drains.rates.append(len(events) / (acks.last - released))
    drains.costs.append((running.cpu() - used) / len(events) * 1e6)
    if running.recipe.contender is not Contender.FLOOR:
        drains.tallies.append(arena.collect(events, running, WEBHOOK_TIMEOUT)[1])
    return done + len(events)
