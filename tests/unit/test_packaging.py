"""What is in the package and in the repository: commands that answer, modules that explain themselves."""

from __future__ import annotations

import ast
import configparser
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]


def git_files() -> list[pathlib.Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def entry_points(group: str) -> list[tuple[str, str]]:
    lines = setup_cfg()["options.entry_points"][group].strip().splitlines()
    return [(name.strip(), target.strip()) for name, _, target in (line.partition("=") for line in lines)]


@pytest.mark.parametrize(("name", "target"), entry_points("console_scripts"))
def test_every_command_explains_itself(name: str, target: str) -> None:
    module, _, function = target.partition(":")
    call = f"import sys; from {module} import {function}; sys.exit({function}())"
    result = subprocess.run(
        [sys.executable, "-c", call, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: {name}")
    assert "example" in result.stdout


@pytest.mark.parametrize("group", list(setup_cfg()["options.entry_points"]))
def test_every_entry_point_leads_somewhere(group: str) -> None:
    for _, target in entry_points(group):
        module, _, function = target.partition(":")
        statement = f"from {module} import {function}" if function else f"import {module}"
        subprocess.run([sys.executable, "-c", statement], check=True, timeout=60)


def test_every_module_has_a_docstring() -> None:
    modules = [path for path in git_files() if path.suffix == ".py" and ROOT / "eventalarm" in path.parents]
    assert modules
    assert [str(path) for path in modules if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_file_contains_paths_of_a_developer_machine() -> None:
    place = re.compile(rb"(?<![\w.])/(?:root|work|home)/")
    assert [str(path) for path in git_files() if place.search(path.read_bytes())] == []


def test_the_pipeline_fragment_keeps_what_ceilometer_ships() -> None:
    fragment = yaml.safe_load((ROOT / "eventalarm/etc/event_pipeline.yaml").read_text())
    publishers = [publisher for sink in fragment["sinks"] for publisher in sink["publishers"]]
    assert publishers == ["notifier://", "eventalarm://"]
    assert {sink for source in fragment["sources"] for sink in source["sinks"]} == {
        sink["name"] for sink in fragment["sinks"]
    }
