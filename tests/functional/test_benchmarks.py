"""The benchmarks run: real services, all contenders but stock Aodh, small enough to be a test."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from benchmarks.__main__ import USAGE
from tests.functional.services import RabbitMQ

ROOT = pathlib.Path(__file__).parents[2]


def test_a_small_storm_is_measured_beside_its_floor(tmp_path: pathlib.Path, rabbitmq: RabbitMQ) -> None:
    """Exit code 0 also says that no webhook was lost, doubled or invented."""
    command = [sys.executable, "-m", "benchmarks", "storm", "--quick", "--no-stock", "--repeats", "1"]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())["measurements"]
    assert {one["contender"] for one in found} == {"floor", "eventalarm"}
    assert all(min(one["samples"]) > 0 for one in found)
    assert "last webhook" in (tmp_path / "table.txt").read_text()


def test_a_case_that_is_not_there_is_answered_with_those_that_are(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "memory", "--quick", "--only", "1 000 alarms"]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert "'1 000 alarms'" in done.stderr
    assert "5,000 alarms (resource)" in done.stderr
