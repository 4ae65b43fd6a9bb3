"""``eventalarm-definitions`` as a deployer runs it, with Ceilometer's own loader."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import re
from typing import Any

import pytest
import yaml

from eventalarm.cmd.definitions import main
from tests.support.definitions import SHIPPED, Converter

DEPLOYERS = """\
# The fabric's monitor
- event_type: 'network.monitor.*'
  traits:
    project_id: {fields: payload.project_id}
    resource_id: {fields: payload.port_id}
    host: {fields: payload.agent_host}"""


@dataclasses.dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(verb: str, path: pathlib.Path, *more: str) -> Done:
    """Run the command in this process, where Ceilometer caches the paths that it has parsed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([verb, "--file", str(path), *more])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "event_definitions.yaml"


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines() if line != "---")


def in_flow_style(text: str) -> str:
    return yaml.safe_dump(yaml.safe_load(text), default_flow_style=True)


@pytest.mark.parametrize(
    "style", [str, indented, in_flow_style], ids=["no newline", "indented", "flow style"]
)
@pytest.mark.parametrize("shipped", [True, False], ids=["beside-shipped", "alone"])
def test_a_file_of_the_deployer_in_any_style_is_merged(path: pathlib.Path, style: Any, shipped: bool) -> None:
    """Concatenation used to break files, and our wider patterns hid narrower ones."""
    text = SHIPPED.read_text() + "\n" + DEPLOYERS if shipped else DEPLOYERS
    path.write_text(style(text))
    path.chmod(0o640)
    checked = run("check", path)
    assert (checked.returncode, "missing: 80-ironic: baremetal.node.*\n" in checked.stdout) == (1, True)
    done = run("install", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "restart ceilometer-agent-notification" in done.stdout
    assert path.with_name(f"{path.name}.orig").read_text() == style(text)
    assert (path.stat().st_mode & 0o777, sorted(p.name for p in path.parent.iterdir())) == (
        0o640,
        [path.name, f"{path.name}.orig"],
    )
    converter = Converter(path)
    found = converter.traits("network.monitor.end", {"port_id": "p", "agent_host": "net0", "project_id": "o"})
    assert (found["resource_id"], found["host"], found["project_id"]) == ("p", "net0", "o")
    assert (
        converter.traits("port.create.end", {"ports": [{"id": "p", "project_id": "o"}]})["project_id"] == "o"
    )
    assert ("status" in converter.traits("image.update", {"status": "x"})) is shipped
    written = path.read_text()
    assert (run("check", path).returncode, run("install", path).returncode) == (0, 0)
    assert path.read_text() == written


def test_without_a_file_the_definitions_of_ceilometer_come_first(path: pathlib.Path) -> None:
    shown = run("diff", path)
    assert (shown.returncode, path.exists()) == (1, False)
    assert "+- origin: eventalarm/20-neutron" in shown.stdout
    assert run("install", path).returncode == 0
    assert not path.with_name(f"{path.name}.orig").exists()
    assert run("diff", path).stdout == ""
    converter, stock = Converter(path), Converter(SHIPPED)
    for event_type in ("image.update", "volume.create.end", "dns.zone.update"):
        assert converter.traits(event_type, {"id": "x"}) == stock.traits(event_type, {"id": "x"})


def test_selected_files_and_files_elsewhere_are_merged(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run("install", path, "--only", "30-cinder").returncode == 0
    assert "eventalarm/20-neutron" not in path.read_text()
    other = tmp_path / "mine.yaml"
    other.write_text("- {event_type: a.b, traits: {}}\n")
    assert run("install", path, "--ours", str(other)).returncode == 0
    assert "eventalarm/30-cinder" not in path.read_text()
    assert "eventalarm/mine" in path.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {event_type: a, traits: {x: {fields: payload.type# Nova", "line 1"),
        ("- {event_type: a, traits: {x: {fields: 'payload.[['}}}", "Ceilometer refuses .*Parse error"),
        ("- {event_type: a, traits: {x: {fields: a, plugin: nobody}}}", "No plugin named nobody"),
        ("- {event_type: a, traits: {x: {fields: a, type: odd}}}", "Invalid trait type 'odd'"),
    ],
)
def test_a_result_that_ceilometer_refuses_is_not_written(path: pathlib.Path, text: str, said: str) -> None:
    path.write_text(text)
    done = run("install", path)
    assert (done.returncode, done.stdout, path.read_text()) == (2, "", text)
    assert done.stderr.startswith("eventalarm-definitions: ")
    assert re.search(said, done.stderr)
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_named(path: pathlib.Path) -> None:
    done = run("install", path.parent / "nowhere" / path.name)
    assert done.returncode == 2
    assert f"there is no directory {path.parent / 'nowhere'}: " in done.stderr
    assert "--file" in done.stderr


def test_what_the_deployer_loses_is_reported(path: pathlib.Path) -> None:
    path.write_text("- {event_type: 'port.update.end', traits: {resource_id: {fields: payload.port.id}}}\n")
    done = run("install", path)
    assert (
        "note: port.update.end: your own definition is used, without admin_state_up, data_plane_status"
        in done.stdout
    )
