"""The monitor of a cloud of its own: waiting messages and deliveries, and memory of listeners."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from eventalarm.exceptions import Retryable
from eventalarm.trial.fields import Fields
from eventalarm.trial.history.records import Receipt
from eventalarm.trial.own_cloud.consumers import ANSWERS, OK
from eventalarm.trial.own_cloud.monitors import EVERY, MIB, depth
from eventalarm.trial.own_cloud.trial_stage import own_cloud_of
from eventalarm.trial.plugins import Context, Notification, Options, Sample


class BacklogMonitor:
    """Samples queue, outbox and memory; a sample is good if broker and database answer."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        self.interval: float | None = fields.number("interval", EVERY, 0.1, 3600.0)
        fields.done()
        self._clock = context.clock
        self._cloud = own_cloud_of(context)

    def plan(self) -> Sequence[str]:
        """Return what is asked."""
        return (f"every {self.interval:g} s: depth of the queue, unfinished deliveries, memory of listeners",)

    def start(self) -> None:
        """Do nothing: the stage is open."""

    def sample(self) -> Sample:
        """Ask broker and database, and read the memory of the listeners."""
        at, began = self._clock(), time.monotonic()
        stage = self._cloud.stage
        self._cloud.receive()
        queue, outbox = depth(stage), None
        with contextlib.suppress(Retryable):
            outbox = stage.unfinished()
        away = [name for name, one in (("broker", queue), ("database", outbox)) if one is None]
        figures: dict[str, float] = {
            "memory of the largest listener (MiB)": max(one.memory() for one in stage.listeners) // MIB
        }
        figures |= {name: one for name, one in (("queue", queue), ("outbox", outbox)) if one is not None}
        seconds = time.monotonic() - began
        return Sample(at, seconds, not away, f"no answer: {', '.join(away)}" if away else "", figures)

    def notifications(self) -> Sequence[Notification]:
        """Return the accepted webhooks of the runners' alarms; which state each reports is not recorded."""
        accepted = ANSWERS[OK][0]
        found = [one for one in self._cloud.history.of(Receipt) if one.status == accepted]
        return [_notification(one.began, one.path.rpartition("/")[2]) for one in found]

    def stop(self) -> None:
        """Do nothing."""


def _notification(at: float, alarm: str) -> Notification:
    return Notification(at, alarm, "", resource=alarm, is_probe=True)
