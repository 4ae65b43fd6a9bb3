"""``eventalarm-trial run own-cloud``: the shipped scenario on services that the command itself starts."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from eventalarm.trial.history import records
from eventalarm.trial.history.check import check
from tests.support.helpers import console_script

Figure = Callable[[str], None]
NAMES = {
    "kill listener",
    "stop listener",
    "cut broker link",
    "kill RabbitMQ",
    "kill database",
    "consumer answers 503",
    "consumer hangs",
}


# It starts its own services and disrupts them one after the other: half a minute, and more on a busy machine.
@pytest.mark.timeout(300)
def test_the_shipped_scenario_disrupts_a_cloud_of_its_own_and_loses_nothing(
    tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Fails if a killed listener is not known to end a process: what it had sent counts as doubled."""
    output = tmp_path / "report"
    command = [console_script("eventalarm-trial"), "run", "own-cloud", "--output", str(output)]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state.json")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "own-cloud on own-cloud, seed 1: passed" in done.stdout
    assert " ERROR " not in done.stderr
    history = records.read(output / "history.jsonl")
    verdict = check(history)
    assert verdict.problems == []
    for name, number in verdict.numbers.items():
        figure(f"trial of a cloud of its own: {name}: {number:,}")
    assert verdict.numbers["transitions"] > 100
    assert {one.name for one in history.of(records.Strike)} >= NAMES
    killed = [one for one in history.of(records.Strike) if one.name == "kill listener"]
    assert all(one.ends_process and one.survivable for one in killed)
    made = Counter(one["name"] for one in json.loads((output / "report.json").read_text())["disruptions"])
    assert set(made) == NAMES
    assert (output / "report.html").exists()
