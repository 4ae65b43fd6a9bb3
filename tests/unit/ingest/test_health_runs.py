"""Checks that callers run: one at a time in a project, a few in all, and each answered in time."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading

import pytest

from eventalarm.ingest.health_check import for_tenant
from eventalarm.ingest.health_runs import Busy, Crowded, Result, Runs, TooSlow
from eventalarm.model import UTC
from eventalarm.model.findings import Finding, Health
from tests.support.helpers import wait_until

RESULT = Result((), datetime.datetime(2026, 11, 20, tzinfo=UTC))
LONG = 20.0


class Held:
    """Work that lasts until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> Result:
        self.begun.set()
        self.release.wait(LONG)
        return RESULT


def test_a_result_is_kept_for_the_interval_of_its_project_and_check() -> None:
    """Red when the project is not part of the key, and when results are kept for ever."""
    now, made = [0.0], []

    def work() -> Result:
        made.append(1)
        return RESULT

    runs = Runs(2, LONG, lambda check: 60.0, lambda: now[0])
    assert runs.run("a", "endpoint", work) == (RESULT, False)
    assert runs.run("a", "endpoint", work) == (RESULT, True)
    assert runs.run("b", "endpoint", work) == (RESULT, False)
    assert runs.run("a", "other", work) == (RESULT, False)
    now[0] = 60.0
    assert runs.run("a", "endpoint", work) == (RESULT, False)
    assert len(made) == 4


def test_a_project_runs_one_check_and_all_projects_a_few() -> None:
    """Red when the check of another project waits, and when a project may begin a second one."""
    runs, first, second = Runs(2, LONG, lambda check: 60.0), Held(), Held()
    threads = [
        threading.Thread(target=runs.run, args=(project, "endpoint", held))
        for project, held in (("a", first), ("b", second))
    ]
    for thread in threads:
        thread.start()
    assert first.begun.wait(LONG)
    assert second.begun.wait(LONG)
    with pytest.raises(Busy):
        runs.run("a", "other", lambda: RESULT)
    with pytest.raises(Crowded):
        runs.run("c", "endpoint", lambda: RESULT)
    first.release.set()
    second.release.set()
    for thread in threads:
        thread.join(LONG)
    assert runs.run("c", "endpoint", lambda: RESULT) == (RESULT, False)


def test_a_check_that_hangs_is_answered_and_holds_its_project_until_it_ends() -> None:
    runs, held = Runs(2, 0.05, lambda check: 60.0), Held()
    with pytest.raises(TooSlow, match="endpoint"):
        runs.run("a", "endpoint", held)
    with pytest.raises(Busy):
        runs.run("a", "endpoint", lambda: RESULT)
    held.release.set()

    def kept() -> bool:
        try:
            return runs.run("a", "endpoint", lambda: RESULT) == (RESULT, True)
        except Busy:
            return False

    wait_until(kept, LONG, "the result")


def test_an_error_reaches_the_caller_and_is_not_kept() -> None:
    def fail() -> Result:
        raise KeyError("x")

    runs = Runs(1, LONG, lambda check: 60.0)
    with pytest.raises(KeyError):
        runs.run("a", "endpoint", fail)
    assert runs.run("a", "endpoint", lambda: RESULT) == (RESULT, False)


def test_a_tenant_reads_nothing_for_operators() -> None:
    """Red when the findings of others are returned, and when the remedy of a failed look is."""

    def finding(project_id: str) -> Finding:
        return Finding(
            target=f"of {project_id or 'nobody'}",
            health=Health.CRITICAL,
            summary="Keystone gives no token; check [service_credentials]",
            remedy="set [service_credentials]",
            project_id=project_id,
            host="compute0",
        )

    mine, added = for_tenant([finding("a"), finding("b"), finding("")], "a")
    assert (mine.target, mine.remedy) == ("of a", "set [service_credentials]")
    assert (added.target, added.project_id) == ("of nobody", "a")
    assert "service_credentials" not in added.summary + added.remedy
    assert mine.host == added.host == ""


def test_the_ingest_api_loads_no_openstacksdk_and_no_check_until_one_is_run() -> None:
    code = (
        "import sys, eventalarm.ingest.application\n"
        "print([n for n in sys.modules if n == 'openstack' or n.startswith('eventalarm.pulse')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
