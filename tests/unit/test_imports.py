"""The rooms and the doors between them: the contracts of pyproject.toml hold."""

from __future__ import annotations

import pathlib
import subprocess
import sys


def test_rooms_import_only_what_they_may() -> None:
    command = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(
        command,
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout
