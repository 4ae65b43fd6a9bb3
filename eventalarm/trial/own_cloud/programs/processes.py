"""Programs of a trial: they are started, awaited, killed, and end with a stage."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T | None], timeout: float = 30.0, what: str = "") -> T:
    """Return the first true result of *predicate*; raise AssertionError after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate}; last answer {answer!r}")
        time.sleep(0.01)


def console_script(name: str) -> str:
    """Return the path of an installed console script."""
    return str(pathlib.Path(sys.executable).parent / name)


class Process:
    """A program under test: its output goes to *log*; ``close`` ends it and all its children."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        log: pathlib.Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def text(self) -> str:
        """Return what the program printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Return the first match of *pattern* in the output; fails if the program ends before."""

        def look() -> re.Match[str] | None:
            ended = self.popen.poll()
            match = re.search(pattern, self.text())
            if match is None and ended is not None:
                raise AssertionError(f"ended with {ended} before {pattern!r}:\n{self.text()[-4000:]}")
            return match

        try:
            match = wait_until(look, timeout, pattern)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.text()[-4000:]}") from None
        assert match is not None
        return match

    def terminate(self, timeout: float = 30.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.popen.terminate()
        return self.popen.wait(timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """Return the exit code once the program has ended by itself."""
        return self.popen.wait(timeout)

    def suspend(self) -> None:
        """Send SIGSTOP, and wait until every thread of the program has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Send SIGKILL to the program and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(10)

    def close(self) -> None:
        """End the program with SIGTERM, then with SIGKILL."""
        if self.popen.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate(10)
        self.kill()


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
