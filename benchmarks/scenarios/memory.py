"""Memory: bytes per cached alarm, a fresh process for each figure, by resident memory and by tracemalloc."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.match import child

NAME = "memory"


def run(context: Context) -> Iterator[Measurement]:
    """Measure both kinds of projects."""
    alarms = context.options.size(100000, 5000)
    for shape in ("resource",) if context.options.quick else ("resource", "mixed"):
        case = f"{alarms:,} alarms ({shape})"
        if not context.wants(case):
            continue
        context.progress.scope(f"{NAME}: {case}: ")
        for method in ("rss", "tracemalloc"):
            answers = [
                child(context, "memory", alarms, shape, method) for _ in range(context.options.repeats)
            ]
            yield Measurement(
                NAME,
                case,
                f"memory by {method}",
                "bytes/alarm",
                Contender.EVENTALARM,
                tuple(answer["bytes"] for answer in answers),
            )
            if method == "rss":
                times = tuple(answer["seconds"] / alarms * 1e6 for answer in answers)
                yield Measurement(NAME, case, "compile and file", "µs/alarm", Contender.EVENTALARM, times)
