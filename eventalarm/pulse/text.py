"""How findings are shown: a table, JSON, and the line of a Nagios plugin. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from eventalarm.model.findings import Finding, Health, worst

COLOURS: Final = {Health.OK: "32", Health.WARNING: "33", Health.CRITICAL: "31", Health.UNKNOWN: "35"}
# The most texts of failures in the line of a Nagios plugin.
MOST: Final = 3

Findings = Sequence[tuple[str, Finding]]


def worst_of(findings: Findings) -> Health:
    """Return the worst health of *findings*, which are paired with the names of their checks."""
    return worst(finding.health for _, finding in findings)


def shown(check: str, finding: Finding) -> dict[str, Any]:
    """Return a finding as the API and ``--json`` show it."""
    return {
        "check": check,
        "target": finding.target,
        "status": finding.health.name.lower(),
        "summary": finding.summary,
        "remedy": finding.remedy,
        "figures": dict(finding.figures),
        "project_id": finding.project_id or None,
        "host": finding.host or None,
    }


def as_json(findings: Findings) -> str:
    """Return the worst status and the findings as JSON."""
    rows = [shown(check, finding) for check, finding in findings]
    return json.dumps({"status": worst_of(findings).name.lower(), "findings": rows}, indent=1)


def as_table(findings: Findings, *, colour: bool) -> str:
    """Return the findings as a table, the worst first; the remedy of each is below it."""
    if not findings:
        return "nothing to check: see [eventalarm_pulse] checks and the options of each"
    order = (Health.CRITICAL, Health.WARNING, Health.UNKNOWN, Health.OK)
    ordered = sorted(findings, key=lambda pair: order.index(pair[1].health))
    rows = [(one.health.name, check, one.target, one.summary) for check, one in ordered]
    lines = columns(("HEALTH", "CHECK", "TARGET", "SUMMARY"), rows).splitlines()
    out = lines[:1]
    for line, (_, one) in zip(lines[1:], ordered, strict=True):
        name = one.health.name
        out.append(line.replace(name, f"\x1b[{COLOURS[one.health]}m{name}\x1b[0m", 1) if colour else line)
        if one.health is not Health.OK and one.remedy:
            out.append(f"{'':10}to do: {one.remedy}")
    return "\n".join(out)


def as_nagios(findings: Findings) -> str:
    """Return the line of a Nagios plugin: the worst status, what failed, and performance data."""
    bad = [f"{one.target}: {one.summary}" for _, one in findings if one.health is not Health.OK]
    more = f"; and {len(bad) - MOST} more" if len(bad) > MOST else ""
    said = "; ".join(bad[:MOST]) + more if bad else f"{len(findings)} targets"
    figures = " ".join(
        f"'{_label(check, one.target, name)}'={figure:g}"
        for check, one in findings
        for name, figure in one.figures.items()
    )
    line = f"PULSE {worst_of(findings).name} - {said.replace('|', '/')}"
    return f"{line} | {figures}" if figures else line


def _label(check: str, target: str, name: str) -> str:
    return f"{check}/{target}/{name}".replace("'", "").replace("=", "_")


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns are as wide as their longest value."""
    lines = [tuple(" ".join(value.split()) for value in row) for row in (head, *rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    return "\n".join(
        "  ".join(f"{value:<{width}}" for value, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
