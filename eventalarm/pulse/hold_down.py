"""When the findings about a target become an event: what is reported, held down and recovered. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping
from typing import Final

from eventalarm.model.findings import Finding, Health, TargetState

NOT_LOOKED_AT: Final = "it is not checked any more"


class Change(enum.StrEnum):
    """What is reported of a target."""

    FAILED = "pulse.check.failed"
    RECOVERED = "pulse.check.recovered"


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How many findings in succession count: *failures* to report a fault, *successes* to report its end."""

    failures: int = 1
    successes: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A change to publish, and the state of the target after it."""

    change: Change
    state: TargetState


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """The result of one round of a check.

    :ivar states: the targets that were looked at.
    :ivar removed: targets that are not looked at any more.
    :ivar changed: those of *states* whose health is another one than before.
    :ivar reports: what is to be published.
    """

    states: tuple[TargetState, ...]
    removed: tuple[str, ...]
    changed: tuple[TargetState, ...]
    reports: tuple[Report, ...]


def advance(
    known: Mapping[str, TargetState],
    findings: Iterable[Finding],
    patience: Patience,
    now: datetime.datetime,
    *,
    complete: bool,
) -> Progress:
    """Return what follows from the *findings* of a round at *now*, aware UTC.

    :param known: the states before, by target. Of several findings about a target the worst counts.
    :param complete: False if something could not be looked at. Otherwise, targets that nothing was found of
        are removed, and their faults end.
    """
    found: dict[str, Finding] = {}
    for finding in findings:
        before = found.get(finding.target)
        if before is None or _weight(before) < _weight(finding):
            found[finding.target] = finding
    states, changed, reports = [], [], []
    for target, finding in found.items():
        state, change = _advance(known.get(target), finding, patience, now)
        states.append(state)
        if target not in known or known[target].finding.health != finding.health:
            changed.append(state)
        if change is not None:
            reports.append(Report(change, state))
    removed = tuple(target for target in known if target not in found) if complete else ()
    reports += [_ended(known[target], now) for target in removed if known[target].reported]
    return Progress(tuple(states), removed, tuple(changed), tuple(reports))


def _weight(finding: Finding) -> int:
    return (Health.OK, Health.UNKNOWN, Health.WARNING, Health.CRITICAL).index(finding.health)


def _advance(
    before: TargetState | None, finding: Finding, patience: Patience, now: datetime.datetime
) -> tuple[TargetState, Change | None]:
    """Return the new state of one target, and what is reported.

    What is unknown neither fails nor succeeds.
    """
    if before is None:
        before = TargetState(finding=finding, since=now, checked_at=now)
    known = finding.health is not Health.UNKNOWN
    state = dataclasses.replace(
        before,
        finding=finding,
        since=before.since if before.finding.health is finding.health else now,
        checked_at=now,
        failing=(before.failing + 1 if finding.failed else 0) if known else before.failing,
        succeeding=(0 if finding.failed else before.succeeding + 1) if known else before.succeeding,
    )
    if finding.failed and state.failing >= patience.failures and finding.health is not state.reported:
        return _reported(state, finding.health), Change.FAILED
    if known and not finding.failed and state.reported and state.succeeding >= patience.successes:
        return _reported(state, Health.OK), Change.RECOVERED
    return state, None


def _reported(state: TargetState, health: Health) -> TargetState:
    return dataclasses.replace(state, reported=health, reports=state.reports + 1)


def _ended(state: TargetState, now: datetime.datetime) -> Report:
    finding = dataclasses.replace(state.finding, health=Health.OK, summary=NOT_LOOKED_AT, remedy="")
    ended = dataclasses.replace(state, finding=finding, since=now, checked_at=now)
    return Report(Change.RECOVERED, _reported(ended, Health.OK))
