"""From a scenario to the plugins of a cloud of its own: wrong options are refused first."""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from eventalarm.trial import build
from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.history.records import History, Receipt
from eventalarm.trial.own_cloud import entry_points
from eventalarm.trial.plugins import Context, Receiver
from eventalarm.trial.scenario import parse


def context(stage: Any = None, name: str = "part") -> Context:
    return Context(History(), random.Random(1), pathlib.Path("nowhere"), time.time, print, name, stage)


def own_cloud(**options: Any) -> Any:
    return entry_points.stage(context(), options)


def built(**sections: Any) -> build.Built:
    document = {"stage": {"use": "own-cloud"}, "disruptions": [], **sections}
    return build.build(parse(document), build.Setup(1, pathlib.Path("nowhere"), pathlib.Path("nowhere")))


def test_the_shipped_scenario_is_built_without_touching_anything() -> None:
    scenario = build.load("own-cloud")
    found = build.build(scenario, build.Setup(1, pathlib.Path("nowhere"), pathlib.Path("nowhere")))
    assert not found.hosts
    plans = [found.stage.plan(), *(one.plan() for one in found.disruptors)]
    assert all([*plans, *(one.plan() for one in found.runners.values())])
    assert not pathlib.Path("nowhere").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"database": "oracle"}, "stage.database: unknown value 'oracle'; choose one of mariadb, postgresql"),
        ({"listeners": 0}, "stage.listeners: 0 is not a number from 1 to 8"),
        ({"leese": 3}, "stage.leese: unknown field"),
    ],
)
def test_a_wrong_option_of_the_stage_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidScenario, match=problem):
        own_cloud(**options)


@pytest.mark.parametrize(
    ("use", "options", "problem"),
    [
        ("own-listener", {"action": "tickle"}, "action: unknown value 'tickle'"),
        ("own-listener", {"number": 2}, "number: 2 is not a number from 0 to 1"),
        ("own-listener", {"action": "clock"}, "add clock: true to the stage"),
        ("own-link", {}, "to: is missing"),
        ("own-consumer", {"mode": "sulk"}, "mode: unknown value 'sulk'"),
        ("own-broker", {"action": "memory-alarm", "size": 1}, "size: unknown field"),
    ],
)
def test_a_wrong_option_of_a_disruptor_is_named(use: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidScenario, match=problem):
        built(disruptions=[{"use": use, **options}])


@pytest.mark.parametrize(
    ("use", "options"),
    [
        ("own-listener", {"action": "stop", "number": 1}),
        ("own-listener", {"action": "kill-at-once"}),
        ("own-broker", {"action": "memory-alarm"}),
        ("own-database", {"action": "read-only"}),
        ("own-database", {"action": "snapshot"}),
        ("own-link", {"to": "database", "way": "back", "number": 0}),
        ("own-consumer", {"mode": "drip"}),
    ],
)
def test_every_action_is_known(use: str, options: dict[str, Any]) -> None:
    (disruptor,) = built(disruptions=[{"use": use, **options}]).disruptors
    assert disruptor.name
    assert disruptor.plan()


def test_other_stages_have_nothing_that_these_can_break() -> None:
    with pytest.raises(InvalidScenario, match="works only on the stage own-cloud"):
        entry_points.broker(context(stage=None, name="kill RabbitMQ"), {})


def test_accepted_webhooks_are_those_of_the_runners() -> None:
    cloud = own_cloud()
    monitor = entry_points.backlog(context(cloud), {})
    assert isinstance(monitor, Receiver)
    cloud.history.add(
        Receipt(1.0, 1.1, "a", "/a/one", "d-1", "m-1", 200),
        Receipt(2.0, 2.1, "a", "/a/two", "d-2", "m-2", 503),
    )
    assert [(one.at, one.alarm, one.is_probe) for one in monitor.notifications()] == [(1.0, "one", True)]


WITHOUT_EXTRA = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pifpaf", "psutil", "trustme", "rich", "aodhclient", "waitress"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from eventalarm.cmd import trial
assert trial.main(["plugins"]) == 0
sys.exit(trial.main(["run", "own-cloud", "--output", "nowhere"]))
"""


def test_without_the_extra_the_command_works_and_names_it(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "own-cloud" in done.stdout
    assert "pip install 'eventalarm[trial," in done.stderr
    assert not (tmp_path / "nowhere").exists()
