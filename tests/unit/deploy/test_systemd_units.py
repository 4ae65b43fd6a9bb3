"""systemd accepts the units, finds them confined, and their commands exist."""

from __future__ import annotations

import configparser
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.support.units import FOLDER, SERVICES, command, environment, settings

PROGRAMS = pathlib.Path(sys.executable).parent
ROOT = FOLDER.parents[1]
# systemd calls a service OK up to 5.0, 10 is unconfined. A service that serves a network cannot reach 0.
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: apt-get install systemd"
)


def named(path: pathlib.Path) -> str:
    return path.name


def analyze(*words: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )


@needs_systemd
def test_systemd_accepts_every_unit(tmp_path: pathlib.Path) -> None:
    copies = [pathlib.Path(shutil.copy(unit, tmp_path)) for unit in FOLDER.iterdir()]
    for copy in copies:
        # It looks for commands in /usr/bin only.
        copy.write_text(copy.read_text().replace("ExecStart=", f"ExecStart={PROGRAMS}/"))
    done = analyze("verify", "--man=no", *copies)
    assert (done.returncode, done.stdout) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_a_service_is_confined(unit: pathlib.Path) -> None:
    threshold = f"--threshold={round(MOST_EXPOSED * 10)}"
    done = analyze("security", "--offline=yes", threshold, "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def test_every_service_of_the_package_has_a_unit() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    scripts = [
        line.partition(" ")[0] for line in parser["options.entry_points"]["console_scripts"].split("\n")
    ]
    units = {unit.stem for unit in SERVICES}
    assert units <= set(scripts)
    assert {
        name
        for name in scripts
        if name.endswith(("-listener", "-api", "-inspector", "-pulse", "-expirer", "-monitor"))
    } == units


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_a_unit_reads_its_configuration_as_a_credential(unit: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert settings(unit, "LoadCredential") == ["eventalarm.conf:/etc/eventalarm/eventalarm.conf"]
    file = str(tmp_path / "eventalarm.conf")
    words = [*command(unit, PROGRAMS, tmp_path), *environment(unit, tmp_path).values()]
    assert file in words
    assert shutil.which(words[0]), words[0]


def test_the_expirer_has_a_timer_and_the_rest_start_with_the_machine() -> None:
    timer = FOLDER / "eventalarm-expirer.timer"
    assert settings(timer, "WantedBy") == ["timers.target"]
    started = {unit.stem for unit in SERVICES if settings(unit, "WantedBy") == ["multi-user.target"]}
    assert started == {unit.stem for unit in SERVICES} - {"eventalarm-expirer"}
