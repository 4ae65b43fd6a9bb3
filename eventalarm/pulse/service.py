"""The service: runs each check at its interval in one process of all, and publishes what changed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from eventalarm.exceptions import EventAlarmError, Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import JSONDict
from eventalarm.model.findings import TargetState
from eventalarm.pulse.checks import Check
from eventalarm.pulse.events import body_of
from eventalarm.pulse.hold_down import Patience, advance
from eventalarm.pulse.runner import Round, Runner
from eventalarm.rounds import Rounds
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.pulse import PulseStore, PulseWrites

LOG = logging.getLogger(__name__)

LEASE_NAME: Final = "pulse"
# Seconds of the leader lease, between two of its renewals, and between two looks for what is due.
LEASE: Final = 10.0
RENEWAL: Final = 2.0
TICK: Final = 0.1
# Seconds after which events are published again whose publication failed.
AGAIN: Final = 1.0
# The first round of each check begins at a random part of this share of its interval.
JITTER: Final = 0.1


@dataclasses.dataclass(slots=True)
class _Scheduled:
    """A check and its interval in seconds; ``due`` is monotonic time."""

    name: str
    check: Check
    interval: float
    due: float
    busy: bool = False


class Recorder:
    """Writes what a round found to the database, and publishes the events that follow."""

    def __init__(
        self,
        store: PulseStore,
        publish: Callable[[list[JSONDict]], None],
        now: Callable[[], datetime.datetime],
        patience: Patience,
    ) -> None:
        self._store = store
        self._publish = publish
        self._now = now
        self._patience = patience
        self._publishing = threading.Lock()

    def record(self, name: str, found: Round) -> None:
        """Write what the check *name* found, and publish.

        :raises Retryable: when the database failed; the next round of the check reports what is still so.
        """
        now = self._now()

        def decide(known: Mapping[str, TargetState]) -> PulseWrites:
            result = advance(known, found.findings, self._patience, now, complete=found.complete)
            events = [body_of(name, report) for report in result.reports]
            return PulseWrites(result.states, result.removed, result.changed, events)

        self._store.update(name, decide)
        self.publish()

    def publish(self) -> None:
        """Publish what waits.

        :raises PublishError: when the broker did not accept it; it waits for the next call.
        """
        with self._publishing:
            while page := self._store.waiting():
                self._publish([body for _, body in page])
                self._store.published([seq for seq, _ in page])


class PulseService:
    """Runs the checks while this process holds the leader lease.

    :param checks: the checks with their intervals in seconds.
    """

    def __init__(
        self,
        checks: Sequence[tuple[str, Check, float]],
        runner: Runner,
        recorder: Recorder,
        lease: LeaderLease,
        metrics: Metrics,
        *,
        chance: random.Random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._recorder = recorder
        self._lease = lease
        self._metrics = metrics
        self._monotonic = monotonic
        self._leads = False
        now = monotonic()
        self._checks = [
            _Scheduled(name, check, interval, now + chance.uniform(0.0, JITTER * interval))
            for name, check, interval in checks
        ]
        self._rounds = (
            Rounds(self.take_lease, name="lease", pause=RENEWAL, complaint="Health checks wait"),
            Rounds(self.begin_due, name="schedule", pause=TICK, complaint="Health checks wait"),
            Rounds(self._publish_again, name="events", pause=AGAIN, complaint="Events are published later"),
        )

    def start(self) -> None:
        """Start the threads."""
        for one in self._rounds:
            one.start()

    def stop(self) -> None:
        """End the threads, and leave the lease; checks on their way are not waited for."""
        for one in self._rounds:
            one.stop()
        with contextlib.suppress(Retryable):
            self._lease.leave()

    def take_lease(self) -> None:
        """Acquire or renew the lease; without it, and while the database is away, nothing is checked."""
        leads, self._leads = self._leads, False
        self._leads = self._lease.take()
        if self._leads and not leads:
            LOG.info("This process runs the health checks")

    def begin_due(self) -> None:
        """Begin each check that is due, in a thread of its own."""
        now = self._monotonic()
        for one in self._checks:
            if not self._leads or one.busy or one.due > now:
                continue
            one.busy = True
            one.due = max(one.due + one.interval, now)
            threading.Thread(target=self._run, args=(one,), name=f"check {one.name}", daemon=True).start()

    def _run(self, one: _Scheduled) -> None:
        try:
            found = self._runner.run(one.name, one.check)
            for finding in found.findings:
                self._metrics.count("pulse_findings", check=one.name, health=finding.health.name.lower())
            if self._leads:
                self._recorder.record(one.name, found)
        except EventAlarmError as exc:
            LOG.warning("What the check %s found is reported later: %s", one.name, exc)
        except Exception:
            LOG.exception("The check %s failed", one.name)
        finally:
            one.busy = False

    def _publish_again(self) -> None:
        if self._leads:
            self._recorder.publish()
