"""``eventalarm-catalogue`` as a deployer runs it."""

from __future__ import annotations

import json
import pathlib
import textwrap
from typing import Any

import pytest

from eventalarm.catalogue.fault_files import load, load_shipped
from eventalarm.cmd import catalogue

# The example of the help text.
FLOOD = (
    textwrap.dedent(catalogue.DESCRIPTION.partition("services:\n\n")[2].partition("\n\nOptional")[0]) + "\n"
)


@pytest.fixture
def added(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "faults.yaml"
    path.write_text(FLOOD)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr."""
    try:
        code = catalogue.main(arguments)
    except SystemExit as exc:
        code = int(exc.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "-f", "json")
    found = json.loads(out)
    assert code == 0
    assert [one["name"] for one in found] == [fault.name for fault in load_shipped().faults]
    assert found[0]["fault_types"] == ["compute.host.down"]
    _, table, _ = run(capsys, "list", "--event", "service.update")
    assert "host-down" in table
    assert "host-disk" not in table
    _, switches, _ = run(capsys, "list", "--fan-out", "switch", "-f", "json")
    assert {one["fan_out"] for one in json.loads(switches)} == {"switch"}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["host-down"], "host-down"),
        (["service.update"], "compute-service"),
        (["service.update", "--trait", "binary=nova-compute", "--trait", "forced_down=True"], "host-down"),
    ],
)
def test_show(capsys: pytest.CaptureFixture[str], arguments: list[str], name: str) -> None:
    code, out, _ = run(capsys, "show", *arguments, "-f", "json")
    assert (code, json.loads(out)["name"]) == (0, name)
    _, table, _ = run(capsys, "show", *arguments)
    assert "proposedAction" in table


def test_an_unknown_fault_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "show", "crate")
    assert (code, out) == (2, "")
    assert "no fault is named crate" in err
    assert len(err.splitlines()) == 1


def test_files_of_the_deployer_are_read(capsys: pytest.CaptureFixture[str], added: Any) -> None:
    _, out, _ = run(
        capsys, "--faults", str(added), "show", "rack.water", "--trait", "status=failed", "-f", "json"
    )
    assert json.loads(out)["probableCause"] == "floodDetected"
    configuration = added.with_name("eventalarm.conf")
    configuration.write_text(f"[eventalarm]\nfault_catalogue = {added}\n")
    _, out, _ = run(capsys, "--config-file", str(configuration), "list", "-f", "json")
    assert json.loads(out)[0]["name"] == "rack-flood"


def test_check(capsys: pytest.CaptureFixture[str], added: pathlib.Path) -> None:
    code, out, _ = run(capsys, "check", str(added))
    assert (code, out) == (0, f"{added}: 1 faults, 0 of which replace one of eventalarm\n")
    added.write_text(FLOOD.replace("CRITICAL", "awful"))
    code, out, err = run(capsys, "check", str(added))
    assert (code, out) == (2, "")
    assert err.startswith(f"eventalarm-catalogue: {added}: rack-flood: severity: unknown value 'awful'; use ")
    code, _, listed = run(capsys, "--faults", str(added), "list")
    assert code == 2
    assert "rack-flood: severity" in listed


def test_the_example_of_the_help_is_valid(tmp_path: pathlib.Path) -> None:
    text = catalogue.DESCRIPTION
    path = tmp_path / "faults.yaml"
    path.write_text(text[text.index("  - name:") : text.index("\n\nOptional")])
    assert load([path]).get("rack-flood") is not None
