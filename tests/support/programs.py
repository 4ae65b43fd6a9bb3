"""Programs that tests start, and that end with a test, a module or a stage."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.support.helpers import Process


class Programs:
    """Starts programs that end with it; what :class:`Cloud` calls ``spawn``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._started: list[Process] = []

    def __call__(self, command: Sequence[Any], env: Mapping[str, str] | None = None) -> Process:
        """Start a program whose log is in the directory."""
        name = f"{pathlib.Path(command[0]).name}-{len(self._started)}.log"
        self._started.append(Process(command, self._directory / name, env))
        return self._started[-1]

    def texts(self) -> Iterator[str]:
        """Yield the output of each program."""
        for process in self._started:
            yield process.text()

    def close(self) -> None:
        """End every program by SIGKILL, suspended ones too: a clean end takes a second and proves nothing."""
        for process in reversed(self._started):
            process.kill()
