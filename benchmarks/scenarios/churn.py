"""Churn: alarms are edited through the database while events flow, each for an alarm created just before.

Times run from when an event is sent, its alarm committed just before, to its webhook. The floor is the raw
publish → consume → POST beside the same creations and edits.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.arena import WEBHOOK_TIMEOUT, Arena
from benchmarks.children import Churn
from benchmarks.contenders import Recipe, Running
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context, at
from benchmarks.scenarios.latency import Latencies, waits, warm_up
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, of_alarms, project_name, spread

NAME = "churn"
RATE = 100
EDITS = 500


def run(context: Context) -> Iterator[Measurement]:
    """Measure each contender without and with edits, at every distance."""
    for distance in context.distances:
        yield from _run(context, distance)


def _run(context: Context, distance: float | None) -> Iterator[Measurement]:
    edits = context.options.size(EDITS, 50)
    with context.arena(distance=distance) as arena:
        context.progress.scope(f"{NAME}: ")
        project = project_name(0)
        background = arena.insert(spread([project], context.options.size(10000, 200), label="background"))
        warm = arena.insert(spread([project], 20, arena.sink.bases, label="warm"))
        churn = Churn(arena.database_url, background, edits)
        try:
            for recipe in arena.recipes(arena.relay()):
                yield from _measure(context, arena, recipe, churn, warm, edits, distance)
        finally:
            churn.close()


def _measure(
    context: Context,
    arena: Arena,
    recipe: Recipe,
    churn: Churn,
    warm: list[AlarmSpec],
    edits: int,
    distance: float | None,
) -> Iterator[Measurement]:
    stock = recipe.contender is Contender.STOCK
    limit = context.options.stock_seconds if stock else WEBHOOK_TIMEOUT
    p99: dict[bool, Measurement] = {}
    with arena.running(recipe) as running:
        ready = warm_up(context, arena, warm, running, limit)
        for editing in (False, True):
            case = f"with {edits} edits/s" if editing else "without edits"
            context.progress.scope(f"{NAME}: {at(case, distance)}: {recipe.contender}: ")
            found = Latencies(cut="" if ready else f"stopped after {limit:.0f} s of warming up")
            for repeat in range(0 if not ready else 1 if stock else context.options.repeats):
                label = f"churn {recipe.contender} {editing} {repeat}"
                _flow(context, arena, running, churn if editing else None, label, repeat, found)
            for one in found.figures(NAME, case, recipe.contender, distance):
                if one.metric == "p99":
                    p99[editing] = one
                yield one
    yield from _ratio(p99, recipe.contender, distance)


def _flow(
    context: Context,
    arena: Arena,
    running: Running,
    churn: Churn | None,
    label: str,
    repeat: int,
    found: Latencies,
) -> None:
    """Create and fire alarms at 100 a second, beside *churn* if given, and add the results to *found*."""
    stock = running.recipe.contender is Contender.STOCK
    count = RATE * (min(20, int(context.options.stock_seconds / 2)) if stock else context.options.size(30, 3))
    alarms = list(spread([project_name(0)], count, arena.sink.bases, repeat=False, label=label))
    events = of_alarms(alarms, count, seed=context.options.seed, run=label)
    arena.prepare(events, running)
    arena.sink.reset()
    context.progress.say(f"creating and firing {count:,} alarms")
    if churn is not None:
        churn.start()
    seed = context.options.seed + repeat
    sent = arena.load.created(RATE, seed, arena.database_url, alarms)
    limit = 0.5 * context.options.stock_seconds if stock else WEBHOOK_TIMEOUT
    arrivals, tally = arena.collect(events, running, limit)
    if churn is not None:
        context.progress.say(
            f"{churn.stop():.0f} edits/s, {count / (sent.sent[-1] - sent.sent[0]):.0f} events/s"
        )
    found.tallies.append(tally)
    came = waits(events, sent, arrivals)
    if came:
        found.add(came)


def _ratio(
    p99: dict[bool, Measurement], contender: Contender, distance: float | None
) -> Iterator[Measurement]:
    calm, edited = (p99[editing].summary if editing in p99 else None for editing in (False, True))
    if calm is not None and edited is not None:
        yield Measurement(
            NAME,
            at("with edits against without", distance),
            "p99",
            "times",
            contender,
            (edited.median / calm.median,),
            tally=p99[True].tally,
        )
