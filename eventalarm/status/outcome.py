"""What a check found: a level, a sentence, a remedy and figures; and the exit code that follows from all."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final


class Level(enum.StrEnum):
    """How it stands. UNKNOWN: the check itself broke. SKIPPED: there was nothing that could be asked."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; ``figures`` are numbers for machines."""

    level: Level
    message: str
    remedy: str = ""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The finding of the check *name*, and the seconds that it took."""

    name: str
    finding: Finding
    seconds: float


EXIT_CODES: Final = ((Level.FAILED, 2), (Level.UNKNOWN, 3), (Level.WARNING, 1))


def exit_code(results: Iterable[Result]) -> int:
    """Return 0 OK, 1 WARNING, 2 FAILED, 3 UNKNOWN, as monitoring systems want it; FAILED is the worst."""
    levels = {result.finding.level for result in results}
    return next((code for level, code in EXIT_CODES if level in levels), 0)
