"""``eventalarm-demo`` as a person uses it, and its figures for programs."""

from __future__ import annotations

import html
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import pytest

from eventalarm.model import Stage
from eventalarm.standalone import sample
from tests.functional.conftest import Spawn
from tests.support import openstack_client
from tests.support.browser import Browser, keep_screenshot
from tests.support.helpers import console_script

PROGRAM = console_script("eventalarm-demo")
ROOT = pathlib.Path(__file__).parents[2]


def run(temporary: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "80"},
    )


def photograph(browser: Browser, text: str) -> None:
    """Save a screenshot of the demo's last page, with its timeline, for the documentation."""
    page = (
        f"<body style='margin: 1em; background: white'><pre style='font: 15px monospace'>{html.escape(text)}"
    )
    browser.get("data:text/html;charset=utf-8," + urllib.parse.quote(page))
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    keep_screenshot(browser, "demo-timeline.png")
    browser.get("about:blank")


def test_the_figures_are_consistent_and_no_process_is_left(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "--json")

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for name in ("fault", "recovery", "typical"):
        stages = figures[name]["ms"]
        assert list(stages) == list(Stage)
        assert stages["generated"] == 0
        assert list(stages.values()) == sorted(stages.values())
        assert stages["answered"] < 20_000
    assert len({figures[name]["message_id"] for name in ("fault", "recovery", "typical")}) == 3
    assert figures["more"]["count"] == 20
    assert figures["more"]["median_ms"] <= figures["more"]["slowest_ms"]
    assert "webhook answered" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_output_shows_what_happened(tmp_path: pathlib.Path, spawn: Spawn, chromium: Browser) -> None:
    data = tmp_path / "data"
    process = spawn([PROGRAM, "--keep", "--data-dir", data], env={"COLUMNS": "80"})
    process.wait_for_log("Still running on http://")

    process.popen.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    text = process.text().partition("\nStill running")[0]
    assert text.isascii()
    assert re.search(r"\| state +\| alarm +", text)
    assert re.search(r"\| state transition \| \{\"state\": \"ok\"", text)
    shown = [
        line.split()[0] for line in text.partition("median of these faults")[2].splitlines() if "." in line
    ]
    assert shown[: len(Stage)] == list(Stage)
    tables = [line for line in text.splitlines() if line.startswith(("|", "+"))]
    assert len(tables) > 12
    assert max(map(len, tables)) <= 80
    assert len(text.splitlines()) < 70
    command, _, shown_profile = text.partition("$ eventalarm-profile ")[2].partition("server-failed on ")
    assert re.search(r"--config-file \S+/aodh.conf \\\n +--delivery \S+\n$", command)
    assert re.match(r"\S+: [\d.]+ ms from 'generated' to 'answered'\n", shown_profile)
    costs = re.findall(r"^(\w+) +(\w+) +([\d.]+) +([\d.]+) %$", shown_profile, re.M)
    assert {row[1] for row in costs} == set(Stage) - {Stage.GENERATED}
    assert [float(row[2]) for row in costs] == sorted((float(row[2]) for row in costs), reverse=True)
    assert sum(float(row[3]) for row in costs) == pytest.approx(100.0)
    bars = re.findall(r"^(\w+) +#+ +[\d.]+ ms$", shown_profile, re.M)
    assert bars == ["Ceilometer", "broker", "match", "commit", "send", "answer"]
    assert (data / "standalone.log").exists()
    photograph(chromium, text)


def try_next_steps(text: str, rule: pathlib.Path, endpoint: str) -> None:
    """Run the commands that the demo prints for reading alarms and trying a rule."""
    assert f"{endpoint}/ui#project={sample.project()}\n" in text
    words = re.findall(r"\bOS_\w+=\S+", text)
    env = dict(word.split("=", 1) for word in words)
    for command, shown in (
        ("ifa alarm list", sample.instance()),
        (f"eventalarm rule test --rule {rule} --event {rule.with_name('webhook.json')}", "raises the alarm"),
        (f"eventalarm rule create --name any-server-failed --rule {rule}", "insufficient data"),
        ("eventalarm rule list", "any-server-failed"),
    ):
        assert f"openstack {command}\n" in text
        done = openstack_client.openstack(*command.split(), env=env)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout


def test_keep_accepts_notifications_until_a_signal(tmp_path: pathlib.Path, spawn: Spawn) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = spawn([PROGRAM, "--keep"], env={"TMPDIR": str(temporary)})
    endpoint = process.wait_for_log(r"Still running on (http://\S+);")[1]
    process.wait_for_log(r"Log: .*standalone.log")
    (folder,) = temporary.glob("eventalarm-demo-*")

    for name, states in (("fault", "ok -> alarm"), ("recovery", "alarm -> ok")):
        request = urllib.request.Request(
            f"{endpoint}/notifications",
            (folder / f"{name}.json").read_bytes(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
        process.wait_for_log(f"webhook: server-failed: {states}")
        if name == "fault":
            try_next_steps(process.text(), folder / "rule.json", endpoint)
    process.popen.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert not folder.exists()


def test_a_directory_that_cannot_be_used_fails_the_first_step(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")

    done = run(tmp_path, "--data-dir", str(tmp_path / "file" / "data"))

    assert done.returncode == 1
    assert re.fullmatch(r"eventalarm-demo: error: step 'start' failed: --data-dir: .*\n", done.stderr)


def test_a_broken_chain_fails_the_step_that_needs_it_and_keeps_the_log(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    (data / "conf.d").mkdir(parents=True)
    (data / "conf.d" / "mine.conf").write_text("[eventalarm]\ntopic = elsewhere\n")

    done = run(tmp_path, "--data-dir", str(data), "--wait", "2")

    assert done.returncode == 1
    assert "error: step 'the server fails' failed: no webhook arrived within 2 seconds" in done.stderr
    assert str(data / "standalone.log") in done.stderr


def test_an_invalid_option_is_named(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    (data / "conf.d").mkdir(parents=True)
    (data / "conf.d" / "mine.conf").write_text("[eventalarm]\nbatch_size = many\n")

    done = run(tmp_path, "--data-dir", str(data))

    assert done.returncode == 1
    assert "batch_size" in done.stderr


def test_the_script_works_from_any_directory_and_installs_only_once(tmp_path: pathlib.Path) -> None:
    """With the environment of an earlier run, since creating one takes minutes and a network."""
    project = tmp_path / "project"
    programs = project / ".demo" / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("demo", "setup.cfg", "pyproject.toml"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    (project / "demo").chmod(0o755)
    (programs / "python").symlink_to(pathlib.Path(sys.executable))
    (programs / "eventalarm-demo").symlink_to(PROGRAM)
    stamp = subprocess.run(
        "cat setup.cfg pyproject.toml | sha256sum", shell=True, cwd=project, capture_output=True, check=True
    )
    (project / ".demo" / "venv" / "installed").write_bytes(stamp.stdout)

    done = subprocess.run(
        [str(project / "demo"), "--help"],
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ./demo")
    assert done.stderr == ""
