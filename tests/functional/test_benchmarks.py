"""The benchmarks run: real services, all contenders but stock Aodh, small enough to be a test."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

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
