"""Shipped scenarios, and errors of plugins that do not exist."""

from __future__ import annotations

import importlib.metadata
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from eventalarm.trial import build, plugins
from eventalarm.trial.build import Setup
from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.scenario import parse
from eventalarm.trial.schedule import schedule


def setup(tmp_path: pathlib.Path) -> Setup:
    return Setup(1, tmp_path / "report", tmp_path / "state.json")


def existing() -> list[str]:
    return [name for name in build.shipped() if build.load(name).stage.use == "existing-cloud"]


@pytest.mark.parametrize("name", existing())
def test_every_shipped_scenario_can_be_shown(name: str, tmp_path: pathlib.Path) -> None:
    """Red if an option is misspelt, a plugin has no plan, or building one touches anything."""
    scenario = build.load(name)
    built = build.build(scenario, setup(tmp_path))
    assert scenario.description
    parts: list[Any] = [built.stage, *built.disruptors, *built.runners.values(), *built.monitors.values()]
    assert all(one.plan() for one in parts)
    assert schedule(scenario).items
    assert built.hosts <= scenario.stage.options["hosts"].keys()
    assert list(tmp_path.iterdir()) == []


def test_every_plugin_on_hosts_is_shown_in_a_scenario_or_on_the_page() -> None:
    page = (pathlib.Path(__file__).parents[3] / "doc/source/admin/trial.rst").read_text()
    for namespace in (plugins.DISRUPTOR, plugins.RUNNER, plugins.MONITOR):
        names = build.names_in(namespace)
        assert len(names) > 1
        others = {one.name for one in _of_own_cloud(namespace)}
        assert [name for name in names if name not in others and f"``{name}``" not in page] == []


def _of_own_cloud(namespace: str) -> list[Any]:
    return [one for one in importlib.metadata.entry_points(group=namespace) if "own_cloud" in one.value]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"stage": {"use": "moon"}}, "stage.use", "choose one of existing-cloud"),
        ({"monitors": [{"use": "crystal-ball"}]}, "monitors[0].use", "receiver"),
        ({"monitors": [{"use": "http", "url": "ftp://x"}]}, "http.url", "is not an HTTP URL"),
        ({"monitors": [{"use": "openstack", "service": "compute"}]}, "openstack.cloud", "is missing"),
        ({"monitors": [{"use": "receiver", "listen": "8099"}]}, "receiver.listen", "HOST:PORT"),
        ({"runners": [{"use": "command", "command": []}]}, "command.command", "is empty"),
        ({"runners": [{"use": "events", "ingest": {}}]}, "events.ingest.url", "is missing"),
        ({"disruptions": [{"use": "reboot", "host": "c2"}]}, "reboot on c2.host", "choose one of c1, here"),
        ({"disruptions": [{"use": "reboot", "host": "here"}]}, "reboot on here.host", "would end the trial"),
        ({"disruptions": [{"use": "service", "host": "c1"}]}, "service on c1.unit", "is missing"),
    ],
)
def test_an_error_names_the_part_and_the_remedy(
    changes: dict[str, Any], field: str, words: str, tmp_path: pathlib.Path
) -> None:
    hosts = {"c1": {}, "here": {"transport": "local"}}
    scenario = parse({"stage": {"use": "existing-cloud", "hosts": hosts}, **changes})
    with pytest.raises(InvalidScenario) as caught:
        build.build(scenario, setup(tmp_path))
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "correct the YAML"), ("- 1", "is not an object"), ("", "")]
)
def test_a_file_that_is_no_scenario_is_refused(text: str, words: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InvalidScenario, match=words.replace("[", ".")):
        build.load(str(path))
    with pytest.raises(InvalidScenario, match="controller-services"):
        build.load(str(tmp_path / "missing.yaml"))


def test_a_dry_run_needs_neither_openstacksdk_nor_oslo(tmp_path: pathlib.Path) -> None:
    """Red if something optional is imported before it is used, or the command reads a configuration."""
    code = (
        "import sys\nfrom eventalarm.cmd.trial import main\n"
        "main(['run', 'controller-services', '--state', sys.argv[1]])\n"
        "heavy = {'openstack', 'aodh', 'ceilometer', 'sqlalchemy', 'oslo_messaging', 'oslo_db', 'psutil'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state")], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
    assert "nothing was done" in done.stdout


@pytest.mark.parametrize("command", ["listener", "ingest_api", "inspector", "status"])
def test_no_service_imports_trials(command: str) -> None:
    look = "print([one for one in sys.modules if 'eventalarm.trial' in one])"
    code = f"import sys, eventalarm.cmd.{command}\n{look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
