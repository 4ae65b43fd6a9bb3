"""Match: decoded events against the alarms of one project, in a fresh process without broker or database.

The rate is events per processor second of one core. The floor is two dictionary lookups for each event.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import stats
from benchmarks.accounting import Tally
from benchmarks.children import ROOT
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context

NAME = "match"
START_TIMEOUT = 300.0


def child(context: Context, *arguments: object) -> dict[str, Any]:
    """Run ``benchmarks.core``, report progress, and return what it printed.

    :raises RuntimeError: when it failed.
    """
    command = [sys.executable, "-m", "benchmarks.core", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as popen:
        try:
            output, errors = _output(popen, context)
        except BaseException:
            popen.kill()
            popen.wait()
            raise
    if popen.returncode:
        raise RuntimeError(f"{command}: {errors[-2000:]}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _output(popen: subprocess.Popen[str], context: Context) -> tuple[str, str]:
    while True:
        try:
            return popen.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            context.progress.tick("measuring")


def run(context: Context) -> Iterator[Measurement]:
    """Measure every number of alarms and shape, then the slope."""
    quick = context.options.quick
    numbers = [10, 1000] if quick else [10, 1000, 10000, 100000]
    for shape in ("resource",) if quick else ("resource", "mixed"):
        for matching in (0.01,) if quick else (0.0, 0.01):
            ours: dict[int, Measurement] = {}
            for alarms in numbers:
                case = f"{alarms:,} alarms ({shape}), {matching:.0%} matching"
                if context.wants(case):
                    for one in _measure(context, case, alarms, shape, matching):
                        if one.contender is Contender.EVENTALARM:
                            ours[alarms] = one
                        yield one
            yield from _slope(ours, f"({shape}), {matching:.0%} matching")


def _measure(context: Context, case: str, alarms: int, shape: str, matching: float) -> Iterator[Measurement]:
    seconds = 0.2 if context.options.quick else 2.0
    for contender in Contender:
        if contender is Contender.STOCK and not (context.options.stock and shape == "resource"):
            continue
        context.progress.scope(f"{NAME}: {case}: {contender}: ")
        repeats = context.options.repeats
        answer = child(
            context, "match", contender, alarms, shape, matching, seconds, repeats, context.options.seed
        )
        expected, found = answer["expected"], answer["found"]
        missing, extra = max(0, expected - found), max(0, found - expected)
        yield Measurement(
            NAME,
            case,
            "rate",
            "events/s per core",
            contender,
            tuple(answer["rates"]),
            more_is_better=True,
            # The floor supports only alarms on an instance and its state.
            tally=Tally(expected, found, 0, missing, extra) if shape == "resource" or alarms else None,
            size=alarms,
            curve=f"{shape}, {matching:.0%} matching",
        )


def _slope(ours: dict[int, Measurement], what: str) -> Iterator[Measurement]:
    summaries = [ours[alarms].summary for alarms in sorted(ours)]
    if len(summaries) < 2:
        return
    few, many = summaries[0], summaries[-1]
    assert few is not None
    assert many is not None
    yield Measurement(
        NAME,
        f"slope from {min(ours):,} to {max(ours):,} alarms {what}",
        "cost",
        "times",
        Contender.EVENTALARM,
        (stats.slope(1 / few.median, 1 / many.median),),
        tally=ours[max(ours)].tally,
    )
