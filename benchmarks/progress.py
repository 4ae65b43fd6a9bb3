"""Waiting with progress lines on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable

from eventalarm.cmd.command import Progress

__all__ = ["NotInTime", "Progress", "wait"]


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
