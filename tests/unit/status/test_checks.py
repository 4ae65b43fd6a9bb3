"""Checks are bounded in time, run only on what is there, and decide the exit code."""

from __future__ import annotations

import json
import threading

import pytest

from eventalarm.exceptions import Retryable
from eventalarm.status.checks import Check, Finding, Level, Result, Runner, as_json, as_text, exit_code

GOOD = Finding(Level.OK, "fine", figures={"n": 1})


def run(*checks: Check, timeout: float = 5.0, said: list[str] | None = None) -> dict[str, Result]:
    return {r.name: r for r in Runner(checks, timeout, (said if said is not None else []).append).run()}


def test_a_check_runs_once_and_before_what_needs_it() -> None:
    seen: list[str] = []

    def look(name: str) -> Finding:
        seen.append(name)
        return GOOD

    checks = [
        Check("a", lambda: look("a"), ("b",)),
        Check("b", lambda: look("b")),
        Check("c", lambda: look("c"), ("b",)),
    ]
    assert list(run(*checks)) == ["a", "b", "c"]
    assert seen == ["b", "a", "c"]


def test_what_needs_a_failed_check_is_skipped() -> None:
    found = run(Check("a", lambda: Finding(Level.FAILED, "no")), Check("b", lambda: GOOD, ("a",)))
    assert found["b"].finding.level is Level.SKIPPED
    assert "because these failed or were skipped: a" in found["b"].finding.message


def test_errors_are_findings() -> None:
    def trouble() -> Finding:
        raise Retryable("the database\nfailed")

    def defect() -> Finding:
        raise KeyError("x")

    found = run(Check("trouble", trouble), Check("defect", defect))
    assert found["trouble"].finding == Finding(Level.FAILED, "the database failed")
    assert found["defect"].finding.level is Level.UNKNOWN


def test_a_hung_check_is_given_up_and_the_others_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventalarm.status.checks.REPORT_AFTER", 0.05)
    hang, said = threading.Event(), []  # type: ignore[var-annotated]

    def stuck() -> Finding:
        hang.wait(60)
        return GOOD

    found = run(
        Check("hangs", stuck),
        Check("b", lambda: GOOD),
        timeout=0.2,
        said=said,
    )
    hang.set()
    assert found["hangs"].finding.level is Level.FAILED
    assert "no answer within 0.2 s" in found["hangs"].finding.message
    assert found["b"].finding is GOOD
    assert said == ["hangs: still waiting (up to 0.2 s)"]


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        ([Level.OK, Level.SKIPPED], 0),
        ([Level.OK, Level.WARNING], 1),
        ([Level.WARNING, Level.UNKNOWN], 3),
        ([Level.UNKNOWN, Level.WARNING, Level.FAILED], 2),
    ],
)
def test_exit_codes(levels: list[Level], code: int) -> None:
    results = [Result(level, Finding(level, "m", "do it"), 0.1) for level in levels]
    assert exit_code(results) == code
    report = json.loads(as_json(results))
    assert (report["code"], len(report["checks"])) == (code, len(levels))
    assert report["level"] == as_text(results).split()[1].rstrip(":")


def test_text_names_what_is_wrong_first_and_the_remedy_below() -> None:
    results = [Result("a", GOOD, 0.1), Result("broker", Finding(Level.FAILED, "away", "start it"), 0.1)]
    assert as_text(results).splitlines() == [
        "eventalarm FAILED: broker",
        "  OK       a       fine",
        "  FAILED   broker  away",
        "                   → start it",
    ]


def test_all_checks_together_take_no_longer_than_allowed() -> None:
    gate = threading.Event()

    def hang() -> Finding:
        gate.wait()
        return Finding(Level.OK, "late")

    try:
        found = Runner([Check(name, hang) for name in "abc"], 60.0, lambda text: None, within=0.05).run()
    finally:
        gate.set()
    assert [one.finding.level for one in found] == [Level.FAILED] * 3
    assert sum(one.seconds for one in found) < 60


def test_a_check_that_hangs_takes_no_time_from_others_if_the_time_is_limited() -> None:
    """Fails if a broker that hangs makes the database look dead."""
    gate = threading.Event()

    def hang() -> Finding:
        gate.wait()
        return Finding(Level.OK, "late")

    checks = [
        Check("broker", hang),
        Check("database", lambda: GOOD),
        Check("schema", lambda: GOOD, ("database",)),
    ]
    try:
        found = Runner(checks, 60.0, lambda text: None, within=0.2).run()
    finally:
        gate.set()
    assert [one.finding.level for one in found] == [Level.FAILED, Level.OK, Level.OK]
