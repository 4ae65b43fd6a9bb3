"""Progress lines on stderr: what is under way, since when, and how far; and waiting with such lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

EVERY = 2.0


class Progress:
    """Writes one line for each step, and one every two seconds while a step lasts."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = self._last = clock()
        self._prefix = ""

    def scope(self, prefix: str) -> None:
        """Begin every line with *prefix* from now on."""
        self._prefix = prefix

    def say(self, text: str) -> None:
        """Write a line now."""
        self._last = self._clock()
        self._stream.write(f"[{self._last - self._began:6.1f} s] {self._prefix}{text}\n")
        self._stream.flush()

    def tick(self, text: str) -> None:
        """Write a line unless one was written less than two seconds ago."""
        if self._clock() - self._last >= EVERY:
            self.say(text)


class NotInTime(Exception):
    """What was waited for did not happen."""


def wait(
    condition: Callable[[], bool],
    timeout: float,
    progress: Progress,
    describe: Callable[[], str],
    pause: float = 0.02,
) -> None:
    """Return as soon as *condition* holds, saying every two seconds how far it is.

    :raises NotInTime: after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {timeout:.0f} s: {describe()}")
        progress.tick(describe())
        time.sleep(pause)
