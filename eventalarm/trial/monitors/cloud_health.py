"""The monitor ``pulse``: the health of the cloud as the ingest API shows it, also before the trial begins."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.trial.calls import Caller, CallFailed, access_of, http_url
from eventalarm.trial.fields import Fields
from eventalarm.trial.monitors.probe import interval_of
from eventalarm.trial.plugins import Context, Options, Refused, Sample

CRITICAL: Final = "critical"
STATUSES: Final = ("ok", "warning", CRITICAL, "unknown")
OVERRIDE: Final = "mend it first, or start the trial with --ignore-pulse"


class CloudHealth:
    """Reads ``GET /v1/health``; a trial must not begin while the cloud is ill already."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        self.interval: float | None = interval_of(fields)
        self._url = f"{http_url(fields)}/v1/health"
        self._caller = Caller(access_of(fields))
        fields.done()
        self._clock = context.clock
        self._ignored = context.ignore_health
        self._say = context.say

    def plan(self) -> Sequence[str]:
        """Return what is asked."""
        return [
            f"before the trial: GET {self._url} must not be {CRITICAL}",
            f"every {self.interval:g} s: GET {self._url}",
        ]

    def start(self) -> None:
        """Look once.

        :raises Refused: if the cloud is ill, or its health is not known, naming the failing checks.
        """
        self._caller.connect()
        problem = self._problem()
        if problem and not self._ignored:
            raise Refused(f"pulse: {problem}; {OVERRIDE}")
        if problem:
            self._say(f"pulse is ignored: {problem}")

    def _problem(self) -> str:
        try:
            health = self._look()
        except CallFailed as exc:
            return str(exc)
        failing = ", ".join(failing_checks(health))
        return f"{CRITICAL}: {failing}" if health.get("status") == CRITICAL else ""

    def _look(self) -> Mapping[str, Any]:
        answer = self._caller.request("GET", self._url)
        health = answer.json()
        if answer.status != 200 or not isinstance(health, Mapping) or health.get("status") not in STATUSES:
            raise CallFailed(f"{self._url}: status {answer.status}, not the health of a cloud")
        return health

    def sample(self) -> Sample:
        """Look once."""
        at, began = self._clock(), time.monotonic()
        try:
            health = self._look()
        except CallFailed as exc:
            return Sample(at, time.monotonic() - began, False, str(exc))
        failing = failing_checks(health)
        is_ok = health["status"] != CRITICAL
        figures = {"failing checks": float(len(failing))}
        return Sample(at, time.monotonic() - began, is_ok, ", ".join(failing), figures)

    def stop(self) -> None:
        """Release nothing."""


def failing_checks(health: Mapping[str, Any]) -> list[str]:
    """Return each check that is critical, with its target and what it says."""
    findings = health.get("findings")
    return [
        " ".join(str(one[name]) for name in ("check", "target", "summary") if one.get(name))
        for one in (findings if isinstance(findings, list) else ())
        if isinstance(one, Mapping) and one.get("status") == CRITICAL
    ]
