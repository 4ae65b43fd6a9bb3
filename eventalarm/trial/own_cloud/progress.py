"""Waiting with progress lines on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable

from eventalarm.progress import Progress

__all__ = ["NotInTime", "Progress", "wait"]


class NotInTime(Exception):
    """An awaited condition did not become true in time."""


def wait(
    condition: Callable[[], bool],
    timeout: float,
    progress: Progress,
    describe: Callable[[], str],
    pause: float = 0.02,
) -> None:
    """Wait until *condition* holds, and report progress every two seconds.

    :raises NotInTime: after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {timeout:.0f} s: {describe()}")
        progress.tick(describe())
        time.sleep(pause)
