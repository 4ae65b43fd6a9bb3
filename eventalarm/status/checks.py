"""Checks, their results and how these are printed; the runner gives each check a timeout."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError


class Level(enum.StrEnum):
    """The severity of a finding. UNKNOWN: the check itself failed. SKIPPED: there was nothing to check."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, with its remedy; ``figures`` are numbers for programs."""

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


# Seconds after which a check that is still running is reported.
REPORT_AFTER: Final = 2.0
USABLE: Final = frozenset({Level.OK, Level.WARNING})

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One check; it is skipped unless all the checks that ``needs`` names succeeded.

    ``extra`` is how many seconds it may take beyond the common timeout.
    """

    name: str
    run: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    extra: float = 0.0


class Runner:
    """Runs each check once, in a daemon thread, and returns the results in the order of the checks.

    :param timeout: seconds that each check may take.
    :param progress: called with a line of text for every check that takes more than two seconds.
    :param within: seconds that all checks together may take. With a limit, checks that do not need each other
        run at the same time, so that one that hangs takes no time from the others.
    """

    def __init__(
        self, checks: Sequence[Check], timeout: float, progress: Progress, *, within: float = math.inf
    ) -> None:
        self._checks = {check.name: check for check in checks}
        self._timeout = timeout
        self._progress = progress
        self._together = within < math.inf
        self._until = time.monotonic() + within
        self._results: dict[str, Result] = {}
        self._locks = {name: threading.Lock() for name in self._checks}

    def run(self) -> list[Result]:
        """Return the result of every check; never raises."""
        if self._together:
            for name in self._checks:
                threading.Thread(target=self._settled, args=(name,), daemon=True).start()
        return [self._settled(name) for name in self._checks]

    def _settled(self, name: str) -> Result:
        with self._locks[name]:
            if name not in self._results:
                self._results[name] = self._settle(self._checks[name])
            return self._results[name]

    def _settle(self, check: Check) -> Result:
        missing = [need for need in check.needs if self._settled(need).finding.level not in USABLE]
        if missing:
            text = f"not checked, because these failed or were skipped: {', '.join(missing)}"
            return Result(check.name, Finding(Level.SKIPPED, text), 0.0)
        return self._bounded(check)

    def _bounded(self, check: Check) -> Result:
        found: list[Finding] = []
        started = time.monotonic()
        limit = max(0.0, min(self._timeout + check.extra, self._until - started))
        thread = threading.Thread(target=lambda: found.append(_guarded(check.run)), daemon=True)
        thread.start()
        thread.join(min(REPORT_AFTER, limit))
        if thread.is_alive():
            if limit > REPORT_AFTER:
                self._progress(f"{check.name}: still waiting (up to {limit:g} s)")
            thread.join(max(0.0, limit - REPORT_AFTER))
        late = Finding(
            Level.FAILED,
            f"no answer within {limit:.3g} s",
            "check whether the service is overloaded or a firewall drops packets; --timeout extends it",
        )
        return Result(check.name, found[0] if found else late, time.monotonic() - started)


def _guarded(run: Callable[[], Finding]) -> Finding:
    try:
        return run()
    except EventAlarmError as exc:
        return Finding(Level.FAILED, " ".join(str(exc).split()))
    except Exception as exc:  # noqa: BLE001 - a check that fails must not hide the findings of the others
        return Finding(Level.UNKNOWN, f"the check itself failed: {type(exc).__name__}: {exc}"[:300])


WIDTH: Final = 110
LEVELS: Final = {0: Level.OK, 1: Level.WARNING, 2: Level.FAILED, 3: Level.UNKNOWN}


def as_text(results: Sequence[Result]) -> str:
    """Return the worst level, then one line for each check, with its remedy below it, if any."""
    name_width = max(len(result.name) for result in results)
    indent = " " * (name_width + 13)
    bad = [result.name for result in results if result.finding.level in (Level.FAILED, Level.WARNING)]
    lines = [f"eventalarm {LEVELS[exit_code(results)]}" + (f": {', '.join(bad)}" if bad else "")]
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
    return json.dumps({"level": LEVELS[code].value, "code": code, "checks": checks}, indent=2)


# How many alarms, hosts or the like a message names.
SHOWN: Final = 5


def named(names: Sequence[str]) -> str:
    """Return the first of *names* as a text, and that there are others."""
    return ", ".join(names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")
