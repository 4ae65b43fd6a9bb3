"""The benchmarks run on real services with all contenders except stock Aodh, at the size of a test."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import sys

import psutil

from benchmarks.__main__ import INTERRUPTED, USAGE
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.cloud import Spawn
from tests.support.helpers import wait_until

ROOT = pathlib.Path(__file__).parents[2]


def test_a_small_storm_is_measured_beside_its_floor(tmp_path: pathlib.Path, rabbitmq: RabbitMQ) -> None:
    """Exit code 0 also means that no webhook was lost, duplicated or invented."""
    command = [sys.executable, "-m", "benchmarks", "storm", "--quick", "--no-stock", "--repeats", "1"]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())["measurements"]
    assert {one["contender"] for one in found} == {"floor", "eventalarm"}
    assert all(min(one["samples"]) > 0 for one in found)
    assert "last webhook" in (tmp_path / "table.txt").read_text()


def test_an_unknown_case_is_answered_with_the_known_ones(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "memory", "--quick", "--only", "1 000 alarms"]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert "'1 000 alarms'" in done.stderr
    assert "5,000 alarms (resource)" in done.stderr


def _measuring(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one for one in psutil.Process(pid).children() if "benchmarks.core" in one.cmdline()]
    return []


def test_an_interrupted_run_ends_what_it_started_and_names_the_results(
    tmp_path: pathlib.Path, spawn: Spawn
) -> None:
    """Fails when the measuring child is left running: 100 s of work."""
    run = spawn([sys.executable, "-m", "benchmarks", "match", "--quick", "--output", str(tmp_path)])
    (child,) = wait_until(lambda: _measuring(run.pid), 60, "the child that measures")
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == INTERRUPTED
    assert f"what was measured before is in {tmp_path}/" in run.text()
    assert "Traceback" not in run.text()
    assert not child.is_running()
