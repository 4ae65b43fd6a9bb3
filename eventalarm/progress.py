"""Progress on stderr: a line for each step of long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

# Seconds between two lines about the same step.
EVERY: Final = 2.0


class Progress:
    """Writes one line for each step, and at most one every two seconds while a step lasts.

    :param prefix: begins every line.
    :param timed: also begin every line with the seconds since this object was made.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        prefix: str = "",
        timed: bool = True,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began = self._last = clock()
        self._prefix = prefix
        self._timed = timed

    def scope(self, prefix: str) -> None:
        """Begin every line with *prefix* from now on."""
        self._prefix = prefix

    def say(self, text: str) -> None:
        """Write a line now."""
        self._last = self._clock()
        since = f"[{self._last - self._began:6.1f} s] " if self._timed else ""
        self._stream.write(f"{since}{self._prefix}{text}\n")
        self._stream.flush()

    def tick(self, text: str) -> None:
        """Write a line unless the last one was written less than two seconds ago."""
        if self._clock() - self._last >= EVERY:
            self.say(text)
