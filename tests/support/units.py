"""The systemd units of ``deploy/systemd``: their settings, and the commands that they run."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Mapping

FOLDER = pathlib.Path(__file__).parents[2] / "deploy/systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
# The specifier of the folder in which systemd puts the credentials of a service.
CREDENTIALS = "%d"


def settings(unit: pathlib.Path, name: str) -> list[str]:
    """Return the values of the setting *name*, in order."""
    lines = (line.partition("=") for line in unit.read_text().splitlines())
    return [value for key, _, value in lines if key == name]


def command(unit: pathlib.Path, programs: pathlib.Path, credentials: pathlib.Path) -> list[str]:
    """Return the words of the unit's command, with its program in *programs*."""
    (line,) = settings(unit, "ExecStart")
    program, *arguments = shlex.split(line.replace(CREDENTIALS, str(credentials)))
    return [str(programs / program), *arguments]


def environment(unit: pathlib.Path, credentials: pathlib.Path) -> Mapping[str, str]:
    """Return the environment variables that the unit sets."""
    words = [word for value in settings(unit, "Environment") for word in shlex.split(value)]
    pairs = (word.replace(CREDENTIALS, str(credentials)).partition("=") for word in words)
    return {name: value for name, _, value in pairs}
