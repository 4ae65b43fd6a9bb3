"""The result of a check (level, message, remedy and figures), and the exit code of several results."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final


class Level(enum.StrEnum):
    """The verdict of a check. UNKNOWN: the check itself failed. SKIPPED: there was nothing to check."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one check with its reason and remedy; ``figures`` are numbers for programs."""

    level: Level
    message: str
    remedy: str = ""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The finding of the check ``name``, and its duration in seconds."""

    name: str
    finding: Finding
    seconds: float


EXIT_CODES: Final = ((Level.FAILED, 2), (Level.UNKNOWN, 3), (Level.WARNING, 1))


def exit_code(results: Iterable[Result]) -> int:
    """Return 0 OK, 1 WARNING, 2 FAILED, 3 UNKNOWN, as monitoring systems expect; the worst result counts."""
    levels = {result.finding.level for result in results}
    return next((code for level, code in EXIT_CODES if level in levels), 0)
