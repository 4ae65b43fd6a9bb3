"""The report: a table with ratios to the floor and to stock Aodh, a JSON file, and the failures."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Contender, Measurement, ratio

WIDTH = 160
Row = Mapping[Contender, Measurement]


def figure(number: float) -> str:
    """Return a number with about three significant digits."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return (
        f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}" if abs(number) >= 0.1 else f"{number:.2g}"
    )


def cell(one: Measurement | None) -> str:
    """Return median and spread; a figure that is only a bound is marked, and a footnote gives the reason."""
    if one is None:
        return "–"
    summary = one.summary
    lines = []
    if summary is not None:
        bound = ("≤ " if one.more_is_better else "≥ ") if one.cut and not one.note else ""
        lines.append(bound + figure(summary.median))
        if summary.count > 1:
            lines[0] += f" ({figure(summary.least)}–{figure(summary.most)})"
    lines += [text for text in (one.cut, one.note) if text]
    if one.tally is not None and (one.wrong or one.cut):
        lines.append(f"WRONG: {one.tally}" if one.wrong else str(one.tally))
    return "\n".join(lines) or "nothing"


def ratio_cell(ours: Measurement | None, other: Measurement | None) -> str:
    """Return our figure as a multiple of the other's."""
    times = ratio(ours, other)
    return "–" if times is None else f"{figure(times)} ×"


def verdict(row: Row) -> str:
    """Return True if eventalarm did its work in this case."""
    ours = row.get(Contender.EVENTALARM)
    if ours is None or ours.tally is None:
        return "–" if ours is None or not ours.cut else "FAILED"
    return "ok" if ours.tally.right and not ours.cut else "FAILED"


def rows(measurements: Sequence[Measurement]) -> dict[tuple[str, str, str], dict[Contender, Measurement]]:
    """Return the measurements by (case, metric, unit), each with one per contender, in their order."""
    found: dict[tuple[str, str, str], dict[Contender, Measurement]] = {}
    for one in measurements:
        found.setdefault((one.case, one.metric, one.unit), {})[one.contender] = one
    return found


def table(scenario: str, measurements: Sequence[Measurement]) -> Table:
    """Return the table of one scenario."""
    made = Table(title=scenario, title_justify="left", show_lines=True)
    made.add_column("case")
    made.add_column("figure")
    for heading in ("floor", "eventalarm", "stock Aodh", "to floor", "to stock"):
        made.add_column(heading, justify="right")
    made.add_column("right?")
    for (case, metric, unit), row in rows(measurements).items():
        floor, ours, stock = (row.get(one) for one in Contender)
        made.add_row(
            case,
            f"{metric}, {unit}" if unit else metric,
            *(cell(one) for one in (floor, ours, stock)),
            ratio_cell(ours, floor),
            ratio_cell(ours, stock),
            verdict(row),
        )
    return made


def failures(measurements: Sequence[Measurement]) -> list[str]:
    """Describe what eventalarm or the floor did wrong; losses of stock Aodh are shown but are no failure."""
    found = []
    for one in measurements:
        if one.contender is Contender.STOCK or not (one.wrong or one.cut):
            continue
        why = one.cut or str(one.tally)
        found.append(f"{one.scenario}: {one.case}: {one.contender}: {why}")
    return list(dict.fromkeys(found))


def show(measurements: Sequence[Measurement], console: Console) -> None:
    """Print one table for each scenario, then what failed."""
    for scenario in dict.fromkeys(one.scenario for one in measurements):
        console.print(table(scenario, [one for one in measurements if one.scenario == scenario]))
    for failure in failures(measurements):
        console.print(f"FAILED {failure}", style="bold red", markup=False, highlight=False)


def write(
    measurements: Sequence[Measurement],
    directory: pathlib.Path,
    environment: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Write ``results.json`` and ``table.txt`` into *directory*, which is created if it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment,
        "options": options,
        "failures": failures(measurements),
        "measurements": [one.as_json() for one in measurements],
    }
    text = json.dumps(document, indent=1, default=str, ensure_ascii=False)
    (directory / "results.json").write_text(text + "\n", encoding="utf-8")
    with (directory / "table.txt").open("w", encoding="utf-8") as file:
        show(measurements, Console(file=file, width=WIDTH))
