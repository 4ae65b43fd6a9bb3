"""The report: tables of what was required, of the results and their speed, and a JSON file."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from eventalarm.trial.history.availability import HEADINGS, NOTHING, Availability, cells
from eventalarm.trial.history.verdict import DOUBLED, LOST, REPEATED
from eventalarm.trial.own_cloud.play import Finding
from eventalarm.trial.own_cloud.rig import Result

WIDTH = 130
FIRST = (
    "events",
    "expected transitions",
    "transitions",
    "late transitions",
    "expected deliveries",
    "deliveries",
    "deliveries delivered",
    "deliveries failed",
    "POSTs received",
    REPEATED,
    "edits",
)


def sums(result: Result) -> dict[str, float]:
    """Return every number of a run by name."""
    verdict = result.verdict
    return {
        **{name: verdict.numbers[name] for name in FIRST},
        **{
            name: verdict.numbers[name] for name in sorted(verdict.numbers) if name.startswith(f"{REPEATED}:")
        },
        **result.numbers,
        "LOST": sum(verdict.errors[kind] for kind in LOST),
        "DOUBLED": sum(verdict.errors[kind] for kind in DOUBLED),
        "OTHER ERRORS": sum(
            number for kind, number in verdict.errors.items() if kind not in (*LOST, *DOUBLED)
        ),
    }


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} / {max(values):.2f}" if values else NOTHING


def _numbers(results: Sequence[Result]) -> Table:
    table = Table(title="Everything accounted for", title_justify="left")
    table.add_column("")
    for result in results:
        table.add_column(f"{result.database}, {result.setup.seconds:.0f} s", justify="right")
    found = [sums(result) for result in results]
    for name in dict.fromkeys(name for one in found for name in one):
        numbers = [one.get(name, 0) for one in found]
        table.add_row(name, *(f"{number:,g}" if number % 1 else f"{number:,.0f}" for number in numbers))
    for name in ("first", "most", "last"):
        table.add_row(f"listener RSS, {name} (MiB)", *(f"{getattr(one.memory, name):.0f}" for one in results))
    return table


def _recoveries(result: Result) -> Table:
    table = Table(title=f"Disruptions on {result.database}, seconds: median / worst", title_justify="left")
    for heading in (
        "disruptor",
        "times",
        "to first commit",
        "to first webhook",
        "taken over",
        "held",
    ):
        table.add_column(heading, justify="left" if heading == "disruptor" else "right")
    for one in result.recoveries:
        table.add_row(
            one.name,
            str(one.times),
            *(_seconds(values) for values in (one.commits, one.deliveries, one.taken_over)),
            str(one.held or NOTHING),
        )
    return table


def _availability(name: str, rows: Sequence[Availability]) -> Table:
    """Return the table of service availability, in seconds, of one run or scenario."""
    table = Table(title=f"Service availability, {name} (seconds)", title_justify="left")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*cells(row))
    return table


def _findings(findings: Sequence[Finding]) -> Table:
    table = Table(title="Scenarios", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for finding in findings:
        for name, value in finding.figures.items():
            table.add_row(f"{finding.name}: {name}", f"{value:,.0f}" if value >= 100 else f"{value:.2f}")
    return table


def _tables(results: Sequence[Result], findings: Sequence[Finding]) -> Iterator[Table]:
    if results:
        yield _numbers(results)
    if findings:
        yield _findings(findings)
    for result in results:
        yield _recoveries(result)
        yield _availability(result.database, result.rows)
    for finding in findings:
        if finding.rows:
            yield _availability(finding.name, finding.rows)


def show(results: Sequence[Result], findings: Sequence[Finding], console: Console) -> None:
    """Print the tables, then what went wrong."""
    for table in _tables(results, findings):
        console.print(table)
    for result in results:
        for problem in (*result.verdict.problems, *result.missed):
            console.print(f"WRONG {problem}", style="bold red", markup=False, highlight=False)
        if result.right:
            console.print(f"{result.database}: nothing lost, nothing doubled", style="bold green")
    for finding in findings:
        for problem in finding.wrong:
            console.print(f"WRONG {finding.name}: {problem}", style="bold red", markup=False)


def as_json(results: Sequence[Result], findings: Sequence[Finding], environment: Mapping[str, Any]) -> str:
    """Return everything, samples included."""
    document = {
        "environment": environment,
        "scenarios": [dataclasses.asdict(one) for one in findings],
        "runs": [
            {
                "database": result.database,
                "setup": dataclasses.asdict(result.setup),
                "numbers": sums(result),
                "errors": result.verdict.errors,
                "problems": result.verdict.problems,
                "repeated": result.verdict.repeated,
                "missed": result.missed,
                "recoveries": [dataclasses.asdict(one) for one in result.recoveries],
                "availability": [dataclasses.asdict(one) | {"level": one.level} for one in result.rows],
                "memory": dataclasses.asdict(result.memory),
                "samples": [dataclasses.asdict(one) for one in result.samples],
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=1, default=str, ensure_ascii=False) + "\n"


def write(
    results: Sequence[Result],
    findings: Sequence[Finding],
    directory: pathlib.Path,
    environment: Mapping[str, Any],
) -> None:
    """Write ``report.json`` and ``report.txt``; *directory* is created if it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(as_json(results, findings, environment), encoding="utf-8")
    with (directory / "report.txt").open("w", encoding="utf-8") as file:
        show(results, findings, Console(file=file, width=WIDTH))
