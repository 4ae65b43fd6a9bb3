"""Results of checks as text for the command line and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Final

from eventalarm.status.outcome import Level, Result, exit_code

WIDTH: Final = 110
VERDICTS: Final = {0: Level.OK, 1: Level.WARNING, 2: Level.FAILED, 3: Level.UNKNOWN}


def as_text(results: Sequence[Result]) -> str:
    """Return the verdict, then one line for each check, with its remedy below it, if any."""
    name_width = max(len(result.name) for result in results)
    indent = " " * (name_width + 13)
    bad = [result.name for result in results if result.finding.level in (Level.FAILED, Level.WARNING)]
    lines = [f"eventalarm {VERDICTS[exit_code(results)]}" + (f": {', '.join(bad)}" if bad else "")]
    for result in results:
        head = f"  {result.finding.level:<8} {result.name:<{name_width}}  "
        for text in (result.finding.message, result.finding.remedy and f"→ {result.finding.remedy}"):
            if text:
                lines += textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=indent)
                head = indent
    return "\n".join(lines)


def as_json(results: Sequence[Result]) -> str:
    """Return all results as a JSON document; durations are in milliseconds."""
    checks = [
        {
            "check": result.name,
            "level": result.finding.level.value,
            "message": result.finding.message,
            "remedy": result.finding.remedy,
            "took_ms": round(result.seconds * 1000, 1),
            **({"figures": dict(result.finding.figures)} if result.finding.figures else {}),
        }
        for result in results
    ]
    code = exit_code(results)
    return json.dumps({"level": VERDICTS[code].value, "code": code, "checks": checks}, indent=2)
