"""The faults of a guest, and how answers, missed challenges and events of libvirt change them. Pure.

A state is frozen; each function returns the next one and the changes to report. Times are aware UTC.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.protocol import Health


class Check(enum.StrEnum):
    """What can be at fault; the value is the trait ``check`` of the events."""

    AGENT = "guest-agent"
    HEALTH = "health-command"
    CRASH = "crash"
    WATCHDOG = "watchdog"
    DISK = "disk"


# The X.733 severity of each fault, unless the guest names another for its health.
SEVERITIES: Mapping[Check, str] = MappingProxyType(
    {
        Check.AGENT: "major",
        Check.HEALTH: "major",
        Check.CRASH: "critical",
        Check.WATCHDOG: "critical",
        Check.DISK: "critical",
    }
)
# What a new start of the guest ends; also the watchdog's report, if there is no agent that could answer.
BY_START = frozenset({Check.CRASH, Check.DISK})
# What nobody can know of a guest that does not run.
OF_RUNNING = frozenset({Check.AGENT, Check.HEALTH})


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A fault that began (*failed*) or ended; *since* is when it began."""

    check: Check
    failed: bool
    at: datetime.datetime
    since: datetime.datetime
    reason: str
    severity: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class GuestState:
    """What is known of a guest.

    *answered*: its agent has answered since its start. *started* is the start, or when the monitor first saw
    it. *last_seen* is its last answer.
    """

    started: datetime.datetime
    answered: bool = False
    misses: int = 0
    failures: int = 0
    faults: Mapping[Check, datetime.datetime] = dataclasses.field(default_factory=dict)
    severities: Mapping[Check, str] = dataclasses.field(default_factory=dict)
    last_seen: datetime.datetime | None = None

    @property
    def suspect(self) -> bool:
        """Return True if the guest missed its last challenge."""
        return bool(self.misses or Check.AGENT in self.faults)

    def undecided(self, misses: int) -> bool:
        """Return True if the guest missed challenges or failed checks, but fewer than *misses*."""
        lost, unhealthy = Check.AGENT in self.faults, Check.HEALTH in self.faults
        return (0 < self.misses < misses and not lost) or (0 < self.failures < misses and not unhealthy)


Changed = tuple[GuestState, tuple[Change, ...]]


def missed(
    state: GuestState, guest: GuestSettings, at: datetime.datetime, reason: str, startup_grace: float
) -> Changed:
    """A challenge was missed: the guest is lost after ``misses`` in a row, unless it is still starting."""
    if not state.answered and at < state.started + datetime.timedelta(seconds=startup_grace):
        return state, ()
    state = dataclasses.replace(state, misses=state.misses + 1)
    if state.misses < guest.misses or Check.AGENT in state.faults:
        return state, ()
    seen = {"last_seen": state.last_seen} if state.last_seen else {}
    return _begin(state, Check.AGENT, at, reason, details=seen)


def answered(
    state: GuestState, guest: GuestSettings, at: datetime.datetime, health: Health | None
) -> Changed:
    """The guest answered, and its health command ended if it has one."""
    state = dataclasses.replace(state, answered=True, misses=0, last_seen=at)
    state, changes = _end(state, {Check.AGENT, Check.WATCHDOG}, at, "the guest agent answers")
    if health is None:
        state = dataclasses.replace(state, failures=0)
        state, more = _end(state, {Check.HEALTH}, at, "no health command is run any more")
    elif health.healthy:
        state = dataclasses.replace(state, failures=0)
        state, more = _end(state, {Check.HEALTH}, at, health.reason, details=_code(health))
    else:
        state, more = _unhealthy(state, guest, at, health)
    return state, changes + more


def _unhealthy(state: GuestState, guest: GuestSettings, at: datetime.datetime, health: Health) -> Changed:
    state = dataclasses.replace(state, failures=state.failures + 1)
    severity = health.severity or SEVERITIES[Check.HEALTH]
    known = state.severities.get(Check.HEALTH)
    if state.failures < guest.misses or (Check.HEALTH in state.faults and known == severity):
        return state, ()
    return _begin(state, Check.HEALTH, at, health.reason, severity=severity, details=_code(health))


def _code(health: Health) -> dict[str, Any]:
    return {} if health.exit_code is None else {"exit_code": health.exit_code}


def failed(
    state: GuestState,
    check: Check,
    at: datetime.datetime,
    reason: str,
    details: Mapping[str, Any] | None = None,
) -> Changed:
    """Libvirt reported a fault; a repeated report changes nothing."""
    if check in state.faults:
        return state, ()
    return _begin(state, check, at, reason, details=details)


def started(state: GuestState, guest: GuestSettings, at: datetime.datetime) -> Changed:
    """The guest was started or reset: its agent has to answer again, and earlier crashes are over."""
    state = dataclasses.replace(state, started=at, answered=False, misses=0, failures=0)
    ended = BY_START if guest.has_agent else BY_START | {Check.WATCHDOG}
    return _end(state, ended, at, "the guest was started")


def resumed(state: GuestState, at: datetime.datetime) -> Changed:
    """The guest runs again after a pause, so that its disk works again; missed challenges do not count."""
    state = dataclasses.replace(state, misses=0, failures=0)
    return _end(state, {Check.DISK}, at, "the guest was resumed")


def stopped(state: GuestState, at: datetime.datetime, reason: str) -> Changed:
    """The guest does not run here any more: nobody expects an answer."""
    state = dataclasses.replace(state, answered=False, misses=0, failures=0)
    return _end(state, OF_RUNNING, at, reason)


def gone(state: GuestState, at: datetime.datetime, reason: str) -> Changed:
    """The guest is no longer watched here: all its faults end."""
    return _end(state, frozenset(Check), at, reason)


def again(state: GuestState, at: datetime.datetime) -> tuple[Change, ...]:
    """Return all faults as new reports, since earlier ones may not have arrived."""
    return tuple(
        Change(check, True, at, since, "the fault persists", state.severities.get(check, SEVERITIES[check]))
        for check, since in state.faults.items()
    )


def _begin(
    state: GuestState,
    check: Check,
    at: datetime.datetime,
    reason: str,
    *,
    severity: str = "",
    details: Mapping[str, Any] | None = None,
) -> Changed:
    since = state.faults.get(check, at)
    severity = severity or SEVERITIES[check]
    state = dataclasses.replace(
        state, faults={**state.faults, check: since}, severities={**state.severities, check: severity}
    )
    return state, (Change(check, True, at, since, reason, severity, details or {}),)


def _end(
    state: GuestState,
    checks: Iterable[Check],
    at: datetime.datetime,
    reason: str,
    details: Mapping[str, Any] | None = None,
) -> Changed:
    ended = [check for check in Check if check in checks and check in state.faults]
    if not ended:
        return state, ()
    changes = tuple(
        Change(check, False, at, state.faults[check], reason, state.severities.get(check, ""), details or {})
        for check in ended
    )
    left = {check: since for check, since in state.faults.items() if check not in ended}
    severities = {check: one for check, one in state.severities.items() if check in left}
    return dataclasses.replace(state, faults=left, severities=severities), changes
