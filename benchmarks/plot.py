"""The plots: what one event costs against the number of alarms, as SVG, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Sequence

from benchmarks.measurement import Contender, Measurement

STYLES = {Contender.FLOOR: ":", Contender.EVENTALARM: "-", Contender.STOCK: "--"}


def available() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def curves(measurements: Sequence[Measurement]) -> dict[tuple[Contender, str], list[tuple[int, float]]]:
    """Return, for each contender and curve, microseconds per event by number of alarms, from the rates."""
    found: dict[tuple[Contender, str], list[tuple[int, float]]] = {}
    for one in measurements:
        summary = one.summary
        if one.size is None or not one.curve or summary is None or summary.median <= 0:
            continue
        found.setdefault((one.contender, one.curve), []).append((one.size, 1e6 / summary.median))
    return {key: sorted(points) for key, points in found.items()}


def draw(scenario: str, measurements: Sequence[Measurement], directory: pathlib.Path) -> pathlib.Path | None:
    """Draw one scenario into *directory*; return the file, or None if the number of alarms does not vary."""
    found = curves([one for one in measurements if one.scenario == scenario])
    if not any(len(points) > 1 for points in found.values()):
        return None
    import matplotlib  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415

    matplotlib.rcParams["svg.hashsalt"] = scenario
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    colours = {curve: f"C{number}" for number, curve in enumerate(dict.fromkeys(c for _, c in found))}
    for (contender, curve), points in found.items():
        numbers, costs = zip(*points, strict=True)
        axes.plot(
            numbers, costs, STYLES[contender], marker="o", color=colours[curve], label=f"{contender}: {curve}"
        )
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("log")
    axes.set_xlabel("alarms")
    axes.set_ylabel("µs per event")
    axes.set_title(f"{scenario}: what one event costs against the number of alarms")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{scenario}.svg"
    figure.savefig(path, metadata={"Date": None})
    return path
