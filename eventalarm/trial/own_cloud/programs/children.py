"""Child processes that answer one JSON request per line, and end with their parent."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any, ClassVar


class Child:
    """A Python module of ours that ends when its standard input closes.

    ``directory`` is where a module is found that is not installed.
    """

    directory: ClassVar[pathlib.Path | None] = None

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def read(self) -> str:
        """Return its next line.

        :raises RuntimeError: if the process ended instead.
        """
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._popen.wait(30)}")
        return line

    def ask(self, **request: Any) -> Any:
        """Send one request and return the answer to it."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(request) + "\n")
        self._popen.stdin.flush()
        return json.loads(self.read())

    def close(self) -> None:
        """End the process."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        try:
            self._popen.wait(30)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(10)
