"""The thread that repeats a task."""

from __future__ import annotations

import logging
import threading

import pytest

from eventalarm.exceptions import Retryable
from eventalarm.rounds import Rounds


def test_no_failure_ends_the_rounds(caplog: pytest.LogCaptureFixture) -> None:
    """A defect too: nobody would notice that no snapshot is taken. Repeated failures are logged once."""
    failures: list[Exception] = [Retryable("gone"), RuntimeError("a defect"), RuntimeError("a defect")]
    done = threading.Event()

    def task() -> None:
        if failures:
            raise failures.pop(0)
        done.set()

    rounds = Rounds(task, name="test", pause=0.001, complaint="The snapshot failed")
    with caplog.at_level(logging.WARNING):
        rounds.start()
        assert done.wait(30)
        rounds.stop()
    assert caplog.messages == ["The snapshot failed: gone", "The snapshot failed"]
