"""Runs the probes of health checks at the same time, within bounds; a probe that hangs delays no other."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.model.findings import Finding, Health
from eventalarm.pulse.checks import Check, Probe

LOG = logging.getLogger(__name__)

# How much longer than its requests a probe may take, in seconds.
GRACE: Final = 1.0
# Seconds between two reports of what is being waited for.
LOOK: Final = 0.5
AGAIN: Final = "see the log of eventalarm-pulse"


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What a check found.

    :ivar complete: False if something could not be looked at, so that targets may be missing.
    """

    findings: tuple[Finding, ...]
    complete: bool = True


@dataclasses.dataclass(slots=True)
class _Look:
    """One probe on its way: ``began`` until a thread takes it, and ``findings`` until it ends, are None."""

    check: str
    probe: Probe
    findings: tuple[Finding, ...] | None = None
    failed: bool = False
    began: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.check, self.probe.target

    def end(self, findings: tuple[Finding, ...], *, failed: bool) -> None:
        self.findings, self.failed = findings, failed


class Runner:
    """Runs checks; safe to share between threads.

    :param workers: the most probes at the same time. One that hangs does not count any more once it is
        given up, but its target is not looked at again before it ends.
    :param timeout: seconds after which a probe is given up; its own requests should end earlier.
    """

    def __init__(self, workers: int, timeout: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._timeout = timeout + GRACE
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._running = 0
        self._hung: set[tuple[str, str]] = set()

    def run(self, name: str, check: Check) -> Round:
        """Return what *check* finds within the timeout, or about how it failed."""
        try:
            looks = [_Look(name, probe) for probe in check.probes()]
        except Exception as exc:  # noqa: BLE001 - a check must not end the others
            return Round((_failure(name, name, exc),), complete=False)
        with self._changed:
            while unfinished := [look for look in looks if look.findings is None]:
                self._begin(unfinished)
                self._changed.wait(self._give_up(unfinished))
        found = tuple(finding for look in looks for finding in look.findings or ())
        return Round(found, not any(look.failed for look in looks))

    def _limit(self, look: _Look) -> float:
        return look.probe.timeout + GRACE if look.probe.timeout else self._timeout

    def _begin(self, unfinished: Sequence[_Look]) -> None:
        """Begin as many looks as there is room for; the caller has the lock."""
        for look in unfinished:
            if look.began is not None:
                continue
            if look.key in self._hung:
                look.end((_hanging(look.probe.target, self._limit(look)),), failed=True)
            elif self._running < self._workers:
                self._running += 1
                look.began = self._monotonic()
                threading.Thread(target=self._look, args=(look,), name="pulse", daemon=True).start()

    def _give_up(self, unfinished: Sequence[_Look]) -> float | None:
        """Give up looks that take too long; return the seconds until the next one, 0 if any ended."""
        now, rest = self._monotonic(), None
        for look in unfinished:
            if look.findings is not None:
                return 0.0
            if look.began is None:
                continue
            left = look.began + self._limit(look) - now
            if left <= 0.0:
                look.end((_hanging(look.probe.target, self._limit(look)),), failed=True)
                self._hung.add(look.key)
                self._running -= 1
                self._changed.notify_all()
                return 0.0
            rest = left if rest is None else min(rest, left)
        return rest

    def _look(self, look: _Look) -> None:
        failed = False
        try:
            findings = tuple(look.probe.look())
        except Exception as exc:  # noqa: BLE001 - what is unexpected is a finding
            findings, failed = (_failure(look.check, look.probe.target, exc),), True
        with self._changed:
            self._hung.discard(look.key)
            if look.findings is None:
                look.end(findings, failed=failed)
                self._running -= 1
                self._changed.notify_all()


def run_all(
    runner: Runner, checks: Iterable[tuple[str, Check]], waiting: Callable[[str], None] = lambda text: None
) -> dict[str, Round]:
    """Return what each of *checks* finds, run at the same time, by its name.

    :param waiting: called again and again with what is being waited for.
    """
    found: dict[str, Round] = {}

    def one(name: str, check: Check) -> None:
        found[name] = runner.run(name, check)

    threads = {name: threading.Thread(target=one, args=(name, check), daemon=True) for name, check in checks}
    for thread in threads.values():
        thread.start()
    while running := [name for name, thread in threads.items() if thread.is_alive()]:
        threads[running[0]].join(LOOK)
        waiting("waiting for " + ", ".join(running))
    return {name: found[name] for name in threads}


def _hanging(target: str, seconds: float) -> Finding:
    return Finding(
        target=target,
        health=Health.CRITICAL,
        summary=f"no answer within {seconds:g} s",
        remedy="look at its load and its log, or raise [eventalarm_pulse] timeout",
    )


def _failure(name: str, target: str, exc: Exception) -> Finding:
    if isinstance(exc, EventAlarmError):
        text = " ".join(str(exc).split())[:500]
        return Finding(target=target, health=Health.CRITICAL, summary=text)
    LOG.error("The health check %s of %s failed", name, target, exc_info=exc)
    summary = f"the check itself failed: {type(exc).__name__}"
    return Finding(target=target, health=Health.UNKNOWN, summary=summary, remedy=AGAIN)
