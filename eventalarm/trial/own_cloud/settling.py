"""Waiting until all work of a cloud of its own is done: everything is published, evaluated and delivered."""

from __future__ import annotations

import contextlib
import time

from eventalarm.exceptions import Retryable
from eventalarm.trial.history.facts import awaited
from eventalarm.trial.own_cloud.load.runners import Publisher
from eventalarm.trial.own_cloud.monitors import depth
from eventalarm.trial.own_cloud.stage import Stage

# Seconds between two looks, and how many in a row must find nothing left.
IDLE_LOOK = 0.5
QUIET_LOOKS = 3


def settle(stage: Stage, publisher: Publisher, deadline: float) -> None:
    """Wait until queue and outbox are empty, and every expected transition is there, or until *deadline*.

    :param deadline: in seconds of the monotonic clock.
    """
    quiet = 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
        # Idle is what three looks in a row find idle.
        time.sleep(IDLE_LOOK)
        with contextlib.suppress(Retryable):
            busy = publisher.waiting or depth(stage) != 0 or stage.unfinished()
            unfinished = busy or missing(stage)
            quiet = 0 if unfinished else quiet + 1


def missing(stage: Stage) -> set[str]:
    """Return the events that should have caused a transition by now but did not."""
    due = awaited(stage.history)
    return due - stage.committed(due)
