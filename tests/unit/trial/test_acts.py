"""What disruptors do on hosts: scripts that a real shell understands."""

from __future__ import annotations

import pathlib
import subprocess
from typing import Any

import pytest

from eventalarm.trial.existing_cloud import acts
from eventalarm.trial.existing_cloud.acts import ACTS, Act, self_healing
from eventalarm.trial.fields import Fields, InvalidScenario
from tests.support.helpers import wait_until

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "container": [
        {"container": "a b", "action": action, "engine": engine}
        for action in ("kill", "stop", "pause")
        for engine in ("podman", "docker")
    ],
    "service": [{"unit": "x.service", "action": action} for action in ("kill", "stop", "freeze")],
    "process": [
        {"pid_file": "/run/it's.pid", "start": "it &", "group": True},
        {"pid_file": "/run/x.pid", "action": "pause"},
    ],
    "command": [{"strike": "true", "undo": "true"}],
    "reboot": [{}, {"action": "at-once"}],
    "network": [
        {"port": 5672},
        {"peer": "192.0.2.1", "port": 53, "protocol": "udp"},
        {"action": "delay", "device": "eth0", "loss_percent": 5},
    ],
}
CASES = [(kind, options) for kind, several in OPTIONS.items() for options in several]


def made(kind: str, options: dict[str, Any]) -> Act:
    fields = Fields(options, kind)
    act = ACTS[kind](fields)
    fields.done()
    return act


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_every_script_is_one_that_the_shell_can_parse(kind: str, options: dict[str, Any]) -> None:
    act = made(kind, options)
    for script in (act.strike, act.undo, act.ready, *by_itself(act)):
        done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script


def by_itself(act: Act) -> tuple[str, ...]:
    """Return the scripts of one that a host undoes by itself, if it does."""
    healing = self_healing(act, 5, "t")
    return (healing.strike, healing.undo) if act.cuts else ()


def test_every_kind_is_tested() -> None:
    assert OPTIONS.keys() == ACTS.keys()


def test_names_of_the_scenario_are_words_of_the_shell() -> None:
    """Red if a name is not quoted."""
    act = made("container", {"container": "x; touch /tmp/y", "action": "pause"})
    assert act.strike == "podman pause 'x; touch /tmp/y'"
    assert act.undo == "podman unpause 'x; touch /tmp/y'"


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("container", {}, "container.container"),
        ("container", {"container": "x", "action": "rm"}, "container.action"),
        ("network", {}, "network.port"),
        ("network", {"port": 22}, "network.port"),
        ("process", {"pid_file": "x"}, "process.start"),
    ],
)
def test_what_is_missing_or_dangerous_is_refused(kind: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        made(kind, options)
    assert caught.value.field == field


@pytest.mark.parametrize("is_undone", [True, False])
def test_a_host_that_nobody_reaches_undoes_it_by_itself(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, is_undone: bool
) -> None:
    """Red if the host waits for nobody, or undoes a second time what was undone already."""
    monkeypatch.setattr(acts, "SELF_HEAL", 0.2)
    broken, undone = tmp_path / "broken", tmp_path / "undone"
    token = f"test-{tmp_path.name}"
    act = self_healing(Act(f"touch {broken}", f"rm {broken}; echo x >> {undone}", cuts=True), 0.3, token)
    subprocess.run(["sh", "-c", act.strike], check=True, timeout=10)
    waits = pathlib.Path(f"/tmp/eventalarm-trial-{token}.pid")
    pid = waits.read_text().strip()
    assert broken.exists()
    if is_undone:
        subprocess.run(["sh", "-c", act.undo], check=True, timeout=10)
        assert not broken.exists()
    ended = pathlib.Path(f"/proc/{pid}/stat")
    wait_until(lambda: not ended.exists() or " Z " in ended.read_text(), 10, "the one that waits ends")
    assert (broken.exists(), undone.read_text()) == (False, "x\n")
    wait_until(lambda: not waits.exists(), 10)
