"""Cold: the first event of a large project while another's events flow; starting beside a million alarms.

First event: from when it is due to its webhook, and the slowest event of the other project meanwhile, beside
the slowest before. Start: from starting the process to taking messages, to the first webhook, and to having
seen an event of every project, with the memory of the largest process then.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import WEBHOOK_TIMEOUT, Arena
from benchmarks.contenders import Cut, Guard, Recipe, Running, await_acks
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import TIMEOUT, Context
from benchmarks.scenarios.latency import warm_up
from eventalarm.trial.own_cloud.load.workload import (
    FAULT,
    AlarmSpec,
    EventSpec,
    of_alarms,
    project_name,
    resource_name,
    spread,
)
from eventalarm.trial.own_cloud.progress import NotInTime

NAME = "cold"
RATE = 50
BEFORE = 2 * RATE


@dataclasses.dataclass
class Found:
    """Samples by metric and unit, and whether everything was correct."""

    samples: dict[tuple[str, str], list[float]] = dataclasses.field(default_factory=dict)
    tallies: list[Tally] = dataclasses.field(default_factory=list)
    cut: str = ""

    def add(self, metric: str, unit: str, value: float) -> None:
        """Add a sample."""
        self.samples.setdefault((metric, unit), []).append(value)

    def figures(self, case: str, contender: Contender) -> Iterator[Measurement]:
        """Yield one measurement for each metric."""
        whole = accounting.add(self.tallies)
        for (metric, unit), samples in self.samples.items() or [(("nothing", ""), [])]:
            yield Measurement(NAME, case, metric, unit, contender, tuple(samples), tally=whole, cut=self.cut)


def run(context: Context) -> Iterator[Measurement]:
    """Measure both parts."""
    alarms = context.options.size(100_000, 2000)
    for case, preload in (
        (f"first event of a project with {alarms:,} alarms", False),
        (f"first event of a project with {alarms:,} alarms that is loaded at the start", True),
    ):
        if context.wants(case):
            with context.arena(preload=preload) as arena:
                yield from _first_event(context, arena, case, alarms)
    many, projects = context.options.size(1_000_000, 5000), context.options.size(10_000, 50)
    case = f"start with {many:,} alarms in {projects:,} projects"
    if context.wants(case):
        with context.arena() as arena:
            yield from _start(context, arena, case, many, projects)


# -- the first event --------------------------------------------------------------------------------------


def _first_event(context: Context, arena: Arena, case: str, alarms: int) -> Iterator[Measurement]:
    context.progress.scope(f"{NAME}: {case}: ")
    context.progress.say("inserting alarms")
    warm = arena.insert(spread([project_name(0)], context.options.size(1000, 50), arena.sink.bases))
    large = arena.insert(spread([project_name(0, "large")], alarms, arena.sink.bases))
    for recipe in arena.recipes(arena.relay()):
        context.progress.scope(f"{NAME}: {case}: {recipe.contender}: ")
        found = Found()
        for repeat in range(1 if recipe.contender is Contender.STOCK else context.options.repeats):
            with arena.running(recipe) as running:
                _meet(context, arena, running, warm, large[-1], repeat, found)
        yield from found.figures(case, recipe.contender)


def _meet(
    context: Context,
    arena: Arena,
    running: Running,
    warm: Sequence[AlarmSpec],
    cold: AlarmSpec,
    repeat: int,
    found: Found,
) -> None:
    """Send a stream of events of the warm project with one of the cold project among them."""
    stock = running.recipe.contender is Contender.STOCK
    limit = context.options.stock_seconds if stock else WEBHOOK_TIMEOUT
    if not warm_up(context, arena, warm, running, limit):
        found.cut = f"stopped after {limit:.0f} s of warming up"
        return
    seed = context.options.seed
    others = of_alarms(warm, RATE * context.options.size(12, 4), seed=seed, run=f"cold {repeat}")
    (first,) = of_alarms([cold], 1, seed=seed, run=f"first {repeat}")
    events = [*others[:BEFORE], first, *others[BEFORE:]]
    arena.prepare(events, running)
    arena.sink.reset()
    context.progress.say(f"publishing {len(events)} events")
    sent = arena.load.paced(RATE, seed + repeat)
    arrivals, tally = arena.collect(events, running, limit)
    found.tallies.append(tally)
    if tally.missing:
        found.cut = f"stopped after {limit:.0f} s"
    came = {one.message_id: one.moment for one in reversed(arrivals)}
    due = {event.message_id: moment for event, moment in zip(events, sent.due, strict=True)}
    if first.message_id not in came:
        return
    found.add("first webhook", "s", came[first.message_id] - due[first.message_id])
    until = max(came[first.message_id], due[first.message_id] + 0.2)
    waits = [(due[one.message_id], came[one.message_id]) for one in others if one.message_id in came]
    before = [end - start for start, end in waits if start < due[first.message_id]]
    meanwhile = [end - start for start, end in waits if due[first.message_id] <= start <= until]
    found.add("slowest of the others before", "ms", max(before, default=0.0) * 1000)
    found.add("slowest of the others meanwhile", "ms", max(meanwhile, default=0.0) * 1000)


# -- the start --------------------------------------------------------------------------------------------


def _start(context: Context, arena: Arena, case: str, alarms: int, projects: int) -> Iterator[Measurement]:
    context.progress.scope(f"{NAME}: {case}: ")
    context.progress.say("inserting alarms")
    names = [project_name(number) for number in range(projects)]
    watched = arena.insert(spread(names, projects, arena.sink.bases))
    # The other alarms call no webhook; they only have to exist.
    arena.insert(spread(names, alarms - projects, label="other"))
    for recipe in arena.recipes(arena.null()):
        context.progress.scope(f"{NAME}: {case}: {recipe.contender}: ")
        found = Found()
        for repeat in range(1 if recipe.contender is Contender.STOCK else context.options.repeats):
            arena.clean()
            _begin(context, arena, recipe, watched, repeat, found)
        yield from found.figures(case, recipe.contender)


def _begin(
    context: Context, arena: Arena, recipe: Recipe, watched: Sequence[AlarmSpec], repeat: int, found: Found
) -> None:
    running = arena.launch(recipe)
    try:
        running.await_consumers()
        found.add("takes messages", "s", time.monotonic() - running.began)
        if recipe.contender is not Contender.FLOOR:
            _work(context, arena, running, watched, repeat, found)
    finally:
        running.close()


def _work(
    context: Context, arena: Arena, running: Running, watched: Sequence[AlarmSpec], repeat: int, found: Found
) -> None:
    """Fire one alarm, then touch every project."""
    stock = running.recipe.contender is Contender.STOCK
    limit = context.options.stock_seconds if stock else TIMEOUT
    first = of_alarms(watched[:1], 1, seed=context.options.seed, run=f"start {repeat}")
    arena.prepare(first, running)
    arena.sink.reset()
    sent = arena.load.burst().sent[0]
    arrivals, tally = arena.collect(first, running, limit)
    found.tallies.append(tally)
    if not arrivals:
        found.cut = f"stopped after {limit:.0f} s"
        return
    found.add("first webhook after its event", "s", arrivals[0].moment - sent)
    nobodys = resource_name(0, "nobody's")
    names = dict.fromkeys(one.project for one in watched)
    touch = [EventSpec(name, nobodys, f"{repeat}-{name}", FAULT, fires=False) for name in names]
    arena.prepare(touch, running)
    began = arena.load.burst().sent[0]
    done = len(touch) + len(first)
    try:
        await_acks(running, done, Guard(running, limit), TIMEOUT, context.progress)
    except (Cut, NotInTime) as exc:
        share = running.acks().count / done
        found.cut = f"{exc}, {share:.0%} of the projects"
    found.add("all projects loaded", "s", time.monotonic() - began)
    found.add("memory then", "MiB", running.memory() / 2**20)
