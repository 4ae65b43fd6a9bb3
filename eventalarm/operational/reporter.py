"""Publishes operational events: reads what changes have written to the database, and removes what is sent."""

from __future__ import annotations

import contextlib
import datetime
from collections import deque
from collections.abc import Callable
from typing import Final

from eventalarm.exceptions import InvalidRule, Retryable
from eventalarm.model import AlarmDefinition, JSONDict, OperationalEvent, OperationalType
from eventalarm.operational.events import body_of
from eventalarm.rounds import Rounds
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.operational_events import PAGE, OperationalEvents

# Seconds between two rounds, and of the leader lease, which is renewed with every page.
PAUSE: Final = 1.0
LEASE: Final = 30.0
LEASE_NAME: Final = "operational-events"
# The most invalid rules that wait to be written, and that one transaction writes.
INVALID: Final = 10_000
TOGETHER: Final = 500


class OperationalReporter:
    """Publishes the events of all processes, one process at a time.

    An event is removed once the broker has confirmed it. If the process ends in between, the event is
    published again with the same id, which listeners have evaluated already.

    :param publish: sends events to the listeners; raises PublishError if the broker did not accept them.
    :param now: the database's clock.
    """

    def __init__(
        self,
        events: OperationalEvents,
        lease: LeaderLease,
        publish: Callable[[list[JSONDict]], None],
        now: Callable[[], datetime.datetime],
        *,
        pause: float = PAUSE,
    ) -> None:
        self._events = events
        self._lease = lease
        self._publish = publish
        self._now = now
        self._invalid: deque[tuple[AlarmDefinition, str]] = deque(maxlen=INVALID)
        complaint = "Operational events are published later"
        self._rounds = Rounds(self.run_once, name="operational events", pause=pause, complaint=complaint)

    def start(self) -> None:
        """Start a thread that publishes in rounds."""
        self._rounds.start()

    def stop(self) -> None:
        """End the thread after its round, and leave the lease."""
        self._rounds.stop()
        with contextlib.suppress(Retryable):
            self._lease.leave()

    def invalid_rule(self, definition: AlarmDefinition, error: InvalidRule) -> None:
        """Note that a rule cannot be evaluated, without I/O; the next round writes it. Thread-safe.

        Other processes note it too: one event comes of it for each version of the alarm.
        """
        self._invalid.append((definition, str(error)))

    def run_once(self) -> None:
        """Write and publish what waits.

        :raises Retryable: when the database failed; nothing is lost.
        :raises PublishError: when the broker did not accept the events; they wait for the next round.
        """
        self._write_invalid()
        while self._events.waiting() and self._lease.take():
            self._events.gather()
            page = self._events.ready()
            if page:
                self._publish([body_of(one.event) for one in page])
                self._events.published(page)
            if len(page) < PAGE:
                return

    def _write_invalid(self) -> None:
        while self._invalid:
            some = list(self._invalid)[:TOGETHER]
            self._events.add([self._about_rule(*one) for one in some])
            for _ in some:
                self._invalid.popleft()

    def _about_rule(self, definition: AlarmDefinition, error: str) -> OperationalEvent:
        return OperationalEvent(
            OperationalType.RULE_INVALID,
            definition.project_id or "",
            definition.alarm_id,
            self._now(),
            alarm_id=definition.alarm_id,
            reason=error,
            since=definition.version,
            once=f"{definition.alarm_id}/{definition.version.isoformat()}",
        )
