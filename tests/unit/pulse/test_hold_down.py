"""When findings about a target become events."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from eventalarm.model.findings import Finding, Health, TargetState
from eventalarm.pulse.hold_down import Change, Patience, Progress, advance

AT = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
WELL, WARNED, BAD, UNSURE = Health.OK, Health.WARNING, Health.CRITICAL, Health.UNKNOWN


def finding(health: Health, target: str = "nova", **more: Any) -> Finding:
    return Finding(target=target, health=health, summary=health.name, **more)


def play(healths: Sequence[Health], patience: Patience | None = None) -> list[tuple[Change, Health] | None]:
    """Return what each round about one target reports."""
    known: dict[str, TargetState] = {}
    said: list[tuple[Change, Health] | None] = []
    for number, health in enumerate(healths):
        now = AT + datetime.timedelta(seconds=number)
        done = advance(known, [finding(health)], patience or Patience(), now, complete=True)
        known = {state.finding.target: state for state in done.states}
        said.append(next(((one.change, one.state.finding.health) for one in done.reports), None))
    return said


def test_a_fault_is_reported_once_and_its_end_once() -> None:
    assert play([WELL, BAD, BAD, WELL, WELL]) == [
        None,
        (Change.FAILED, BAD),
        None,
        (Change.RECOVERED, WELL),
        None,
    ]


def test_a_change_of_severity_is_reported() -> None:
    assert play([WARNED, BAD, WARNED]) == [
        (Change.FAILED, WARNED),
        (Change.FAILED, BAD),
        (Change.FAILED, WARNED),
    ]


def test_patience_hides_flaps() -> None:
    patience = Patience(failures=2, successes=2)
    flapping = [BAD, WELL, BAD, WELL]
    assert play(flapping, patience) == [None] * 4
    assert play([BAD, BAD, WELL, BAD, WELL, WELL], patience) == [
        None,
        (Change.FAILED, BAD),
        *[None] * 3,
        (Change.RECOVERED, WELL),
    ]


def test_the_unknown_neither_raises_nor_clears() -> None:
    assert play([UNSURE, BAD, UNSURE, UNSURE, WELL]) == [
        None,
        (Change.FAILED, BAD),
        None,
        None,
        (Change.RECOVERED, WELL),
    ]


def after(known: Sequence[Finding], findings: Sequence[Finding], *, complete: bool) -> Progress:
    before = advance({}, known, Patience(), AT, complete=True)
    states = {state.finding.target: state for state in before.states}
    return advance(states, findings, Patience(), AT + datetime.timedelta(seconds=1), complete=complete)


def test_a_target_that_is_gone_recovers_but_not_when_something_could_not_be_looked_at() -> None:
    known = [finding(BAD, "agent-1", project_id="p"), finding(WELL, "agent-2")]
    gone = after(known, [], complete=True)
    assert (gone.removed, [one.change for one in gone.reports]) == (
        ("agent-1", "agent-2"),
        [Change.RECOVERED],
    )
    assert gone.reports[0].state.finding.project_id == "p"
    failed = after(known, [finding(BAD, "list")], complete=False)
    assert (failed.removed, [one.state.finding.target for one in failed.reports]) == ((), ["list"])


def test_of_two_findings_about_a_target_the_worst_counts() -> None:
    done = advance({}, [finding(WELL), finding(BAD), finding(UNSURE)], Patience(), AT, complete=True)
    assert [state.finding.health for state in done.states] == [BAD]


def test_since_and_changes_follow_the_health_not_the_report() -> None:
    done = after([finding(WELL)], [finding(BAD)], complete=True)
    assert [state.since for state in done.changed] == [AT + datetime.timedelta(seconds=1)]
    same = after([finding(BAD)], [finding(BAD)], complete=True)
    assert (same.changed, same.states[0].since) == ((), AT)
