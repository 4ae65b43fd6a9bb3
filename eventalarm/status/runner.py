"""Runs checks: each with a timeout, and only if the checks that it depends on did not fail."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.status.outcome import Finding, Level, Result

PATIENCE: Final = 2.0
USABLE: Final = frozenset({Level.OK, Level.WARNING})

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One check: ``needs`` names the checks without whose success it is skipped.

    ``extra`` is how many seconds it may take beyond the common timeout.
    """

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    extra: float = 0.0


class Runner:
    """Runs each check once, in a daemon thread, and returns the results in the order of the checks.

    *progress* is called with a text for every check that takes more than two seconds.
    """

    def __init__(self, checks: Sequence[Check], timeout: float, progress: Progress) -> None:
        self._checks = {check.name: check for check in checks}
        self._timeout = timeout
        self._progress = progress
        self._results: dict[str, Result] = {}

    def run(self) -> list[Result]:
        """Return the result of every check; never raises."""
        return [self._settled(name) for name in self._checks]

    def _settled(self, name: str) -> Result:
        if name not in self._results:
            check = self._checks[name]
            missing = [need for need in check.needs if self._settled(need).finding.level not in USABLE]
            if missing:
                finding = Finding(
                    Level.SKIPPED, f"not checked, because these failed or were skipped: {', '.join(missing)}"
                )
                self._results[name] = Result(name, finding, 0.0)
            else:
                self._results[name] = self._bounded(check)
        return self._results[name]

    def _bounded(self, check: Check) -> Result:
        found: list[Finding] = []
        started = time.monotonic()
        limit = self._timeout + check.extra
        thread = threading.Thread(target=lambda: found.append(_guarded(check.look)), daemon=True)
        thread.start()
        thread.join(min(PATIENCE, limit))
        if thread.is_alive():
            self._progress(f"{check.name}: still waiting (up to {limit:g} s)")
            thread.join(limit - PATIENCE)
        late = Finding(
            Level.FAILED,
            f"no answer within {limit:g} s",
            "check whether the service is overloaded or a firewall drops packets; --timeout extends it",
        )
        return Result(check.name, found[0] if found else late, time.monotonic() - started)


def _guarded(look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except EventAlarmError as exc:
        return Finding(Level.FAILED, " ".join(str(exc).split()))
    except Exception as exc:  # noqa: BLE001 - a check that breaks must not hide what the others find
        return Finding(Level.UNKNOWN, f"the check itself failed: {type(exc).__name__}: {exc}"[:300])
