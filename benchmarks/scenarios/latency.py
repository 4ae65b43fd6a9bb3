"""Latency: events are sent at random moments at a fixed rate, whatever their outcome; each fires one alarm.

Each time runs from the moment when the event was due to be published to the arrival of its webhook at the
sink. The floor is the raw publish → consume → POST of the same events at the same moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import WEBHOOK_TIMEOUT, Arena
from benchmarks.children import Arrival, Sent
from benchmarks.contenders import Running
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context, at
from benchmarks.stats import percentile
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, EventSpec, of_alarms, project_name, spread

NAME = "latency"
PERCENTILES = (50.0, 90.0, 99.0)
# Seconds of events at each rate: enough events for a p99 even at the lowest rate.
SECONDS = {10: 60, 100: 30, 500: 20}
WARM = 200


@dataclass
class Latencies:
    """Milliseconds by percentile, one for each repeat."""

    by_percentile: dict[float, list[float]] = field(default_factory=lambda: {p: [] for p in PERCENTILES})
    tallies: list[Tally] = field(default_factory=list)
    cut: str = ""

    def add(self, values: Sequence[float]) -> None:
        """Add one repeat, in seconds."""
        for share, samples in self.by_percentile.items():
            samples.append(percentile(values, share) * 1000)

    def figures(
        self, scenario: str, case: str, contender: Contender, distance: float | None = None
    ) -> Iterator[Measurement]:
        """Yield one measurement for each percentile."""
        common: dict[str, Any] = {"scenario": scenario, "contender": contender, "cut": self.cut}
        common |= {"case": at(case, distance), "curve": case, "distance": distance}
        whole = accounting.add(self.tallies)
        for share, samples in self.by_percentile.items():
            yield Measurement(
                **common, metric=f"p{share:.0f}", unit="ms", samples=tuple(samples), tally=whole
            )


def waits(events: Sequence[EventSpec], sent: Sent, arrivals: Sequence[Arrival]) -> list[float]:
    """Return, for each event that was reported, the seconds from when it was due to its first webhook."""
    first: dict[str, float] = {}
    for one in arrivals:
        first.setdefault(one.message_id, one.moment)
    pairs = zip(events, sent.due, strict=True)
    return [first[event.message_id] - due for event, due in pairs if event.message_id in first]


def run(context: Context) -> Iterator[Measurement]:
    """Measure every rate at every distance."""
    for distance in context.distances:
        yield from _run(context, distance)


def _run(context: Context, distance: float | None) -> Iterator[Measurement]:
    seconds = {20: 3} if context.options.quick else SECONDS
    rates = [rate for rate in seconds if context.wants(f"{rate} events/s")]
    count = context.options.size(1000, 50)
    with context.arena(distance=distance) as arena:
        context.progress.scope(f"{NAME}: ")
        alarms = arena.insert(spread([project_name(0)], count, arena.sink.bases))
        for recipe in arena.recipes(arena.relay()):
            left = list(rates)
            while left:
                with arena.running(recipe) as running:
                    yield from _measure(context, arena, running, alarms, left, seconds, distance)


def _measure(
    context: Context,
    arena: Arena,
    running: Running,
    alarms: Sequence[AlarmSpec],
    left: list[int],
    seconds: dict[int, int],
    distance: float | None,
) -> Iterator[Measurement]:
    """Measure the rates in *left*, removing each, until the contender is stopped."""
    contender = running.recipe.contender
    stock = contender is Contender.STOCK
    first = True
    while left:
        rate = left.pop(0)
        case = f"{rate} events/s"
        context.progress.scope(f"{NAME}: {at(case, distance)}: {contender}: ")
        found = Latencies()
        limit = context.options.stock_seconds if stock else WEBHOOK_TIMEOUT
        if first and not warm_up(context, arena, alarms, running, limit):
            found.cut = f"stopped after {limit:.0f} s of warming up"
        first = False
        for repeat in range(0 if found.cut else 1 if stock else context.options.repeats):
            length = min(seconds[rate], limit) if stock else seconds[rate]
            events = of_alarms(
                alarms, round(rate * length), seed=context.options.seed, run=f"{rate} {repeat}"
            )
            if not pace(
                context, arena, running, events, rate, repeat, found, limit - length if stock else limit
            ):
                found.cut = found.cut or f"stopped after {limit:.0f} s"
        yield from found.figures(NAME, case, contender, distance)
        if found.cut:
            return


def warm_up(
    context: Context, arena: Arena, alarms: Sequence[AlarmSpec], running: Running, limit: float
) -> bool:
    """Load the projects and open connections; return True if all webhooks arrived within *limit* seconds."""
    for count in (1, context.options.size(WARM, 20)):
        events = of_alarms(alarms, count, seed=context.options.seed, run=f"warm {count}")
        arena.prepare(events, running)
        arena.sink.reset()
        arena.load.paced(50, context.options.seed)
        if arena.sink.wait(count, limit, context.progress) < count:
            return False
    return True


def pace(
    context: Context,
    arena: Arena,
    running: Running,
    events: Sequence[EventSpec],
    rate: float,
    repeat: int,
    found: Latencies,
    limit: float,
) -> bool:
    """Publish *events* at *rate*; add the results to *found*; return True if all arrived within *limit* s."""
    arena.prepare(events, running)
    arena.sink.reset()
    context.progress.say(f"publishing {len(events):,} events")
    sent = arena.load.paced(rate, context.options.seed + repeat)
    arrivals, tally = arena.collect(events, running, max(1.0, limit))
    found.tallies.append(tally)
    came = waits(events, sent, arrivals)
    if came:
        found.add(came)
    return not tally.missing
