"""``python -m benchmarks``: run and report; exit code 1 if eventalarm lost or duplicated anything.

Exit code 2 means that nothing was measured because no case has the given name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import psutil
from rich.console import Console

from benchmarks import plot, report
from benchmarks.ground import Ground, environment
from benchmarks.measurement import Measurement
from benchmarks.options import Options, parse
from benchmarks.scenarios.context import Context, Scenario
from eventalarm.trial.own_cloud.progress import Progress

FAILED = 1
USAGE = 2
INTERRUPTED = 130


def scenario(name: str) -> Scenario:
    """Return the function that measures a scenario."""
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    function: Scenario = module.run
    return function


def save(measurements: Sequence[Measurement], options: Options, about: dict[str, object]) -> None:
    """Write everything measured so far, so that an interrupted run is not lost."""
    given = {**dataclasses.asdict(options), "output": str(options.output)}
    report.write(measurements, options.output, about, given)
    if plot.available():
        for name in options.scenarios:
            plot.draw(name, measurements, options.output)
            plot.draw_distances(name, measurements, options.output)


def measure(options: Options, progress: Progress, directory: pathlib.Path) -> list[Measurement]:
    """Run the scenarios and return what they measured."""
    about = environment()
    ground = Ground(directory, options.database, progress)
    measurements: list[Measurement] = []
    try:
        context = Context(options, progress, ground, directory)
        for name in options.scenarios:
            progress.scope(f"{name}: ")
            for one in scenario(name)(context):
                measurements.append(one)
                progress.say(f"{one.metric}, {one.unit}: {report.cell(one)}".replace("\n", "; "))
                save(measurements, options, about | ground.facts())
    finally:
        progress.scope("")
        ground.close()
    if not measurements:
        names = "\n  ".join(context.passed_over)
        progress.say(f"nothing measured: no case's name contains {options.only!r}. The names:\n  {names}")
    return measurements


def _end_children() -> None:
    """End the processes that were being started when the run was interrupted."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = parse(argv)
    progress = Progress()
    if not plot.available():
        progress.say("no plots: matplotlib is not installed (pip install -r benchmarks/requirements.txt)")
    try:
        with tempfile.TemporaryDirectory(prefix="eventalarm-benchmark-") as name:
            measurements = measure(options, progress, pathlib.Path(name))
    except KeyboardInterrupt:
        _end_children()
        progress.say(f"interrupted; what was measured before is in {options.output}/")
        return INTERRUPTED
    if not measurements:
        return USAGE
    terminal = Console()
    report.show(measurements, Console(width=max(terminal.width, report.WIDTH)))
    progress.say(f"written to {options.output}/: results.json, table.txt and plots")
    return FAILED if report.failures(measurements) else 0


if __name__ == "__main__":
    sys.exit(main())
