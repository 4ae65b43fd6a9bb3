"""The plots, as SVG, where matplotlib is installed: costs by number of alarms, times by distance."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import Any

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
    figure, axes = _figure(scenario)
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
    return _save(figure, directory / f"{scenario}.svg")


def distances(measurements: Sequence[Measurement]) -> dict[str, list[tuple[float, float]]]:
    """Return, for each figure of eventalarm that was measured at distances, its medians by milliseconds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in measurements:
        if one.distance is not None and one.summary is not None and one.contender is Contender.EVENTALARM:
            points = found.setdefault(f"{one.curve}: {one.metric}, {one.unit}", [])
            points.append((one.distance, one.summary.median))
    return {name: sorted(points) for name, points in found.items()}


def draw_distances(
    scenario: str, measurements: Sequence[Measurement], directory: pathlib.Path
) -> pathlib.Path | None:
    """Draw one scenario by the distance to the database; return the file, or None if that does not vary."""
    found = distances([one for one in measurements if one.scenario == scenario])
    if not any(len(points) > 1 for points in found.values()):
        return None
    figure, axes = _figure(scenario)
    for name, points in found.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("round trip to the database, ms")
    axes.set_title(f"{scenario}: medians against the distance to the database")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    return _save(figure, directory / f"{scenario}-distance.svg")


def _figure(scenario: str) -> tuple[Any, Any]:
    import matplotlib  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415

    matplotlib.rcParams["svg.hashsalt"] = scenario
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Any, path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    return path
