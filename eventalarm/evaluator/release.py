"""Notifies, at the end of a maintenance, of the alarms that it inhibited and that are still raised.

Any number of processes look for them, and none owns one: the process that locks the alarm first releases the
occurrence, and the others find nothing held back. What a process had not committed when it ended is released
by another.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.time_constraints import within_time_constraints
from eventalarm.exceptions import Retryable
from eventalarm.log_fields import fields
from eventalarm.model import ALARM, Alarm, Transition
from eventalarm.storage import inhibitions
from eventalarm.storage.alarm_counts import AlarmCount
from eventalarm.storage.database import Database, Within
from eventalarm.storage.inhibitions import Inhibited
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.transitions import Transaction

LOG = logging.getLogger(__name__)

# Seconds between two queries for occurrences to release, and the maximum number that is released at a time.
INTERVAL: Final = 1.0
MOST: Final = 500
# Seconds after which an alarm is retried whose notification its time constraints or an error prevented.
POSTPONED: Final = 60.0

# Called after each commit with the number of occurrences by outcome.
Report = Callable[[Mapping[str, int]], None]

NOTIFIED: Final = "notified"
DROPPED: Final = "dropped"


def releases(alarm: Alarm, count: AlarmCount, inhibited: Sequence[Inhibited]) -> dict[str, tuple[str, ...]]:
    """Return the actions to call for each occurrence of an alarm that is released, by its id. Pure.

    They are those that would be called if the occurrences were raised only now: without ``repeat_actions``,
    those of the first one, unless the alarm is raised on other objects.

    :param count: the counts of the alarm before the release.
    """
    found: dict[str, tuple[str, ...]] = {}
    notified = count.raised - count.inhibited
    for one in inhibited:
        fire = alarm.repeat_actions or notified <= 0
        found[one.occurrence_id] = alarm.actions.get(ALARM, ()) if fire else ()
        notified += int(one.silent)
    return found


class InhibitionRelease:
    """Releases occurrences that nothing inhibits any more; belongs to one thread.

    :param enqueuer: may be shared with the engine, since it keeps no state between calls.
    """

    def __init__(
        self,
        database: Database,
        enqueuer: OutboxEnqueuer,
        *,
        report: Report = lambda outcomes: None,
        clock: Callable[[], datetime.datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._report = report
        self._clock = clock or database.about_now
        self._monotonic = monotonic
        self._after = ""
        self._next = 0.0
        self._postponed: dict[str, float] = {}

    def run_once(self) -> None:
        """Release a bounded number of occurrences, unless the last look was just before.

        :raises Retryable: when the database failed; nothing is lost, and calling again is safe.
        """
        if self._monotonic() < self._next:
            return
        with self._database.read() as connection:
            found = inhibitions.due(connection, self._after, MOST)
        more = len(found) == MOST
        self._after = found[-1].occurrence_id if more else ""
        self._next = 0.0 if more else self._monotonic() + INTERVAL
        self._postponed = {name: at for name, at in self._postponed.items() if at > self._monotonic()}
        if ready := [one for one in found if one.alarm_id not in self._postponed]:
            self._release_or_postpone(ready)

    def _release_or_postpone(self, ready: Sequence[Inhibited]) -> None:
        """Release occurrences; find the alarm whose content prevents it, and postpone only that (G6)."""
        try:
            self.release(ready)
        except Retryable:
            raise
        except Exception as exc:
            if len(ready) > 1:
                half = len(ready) // 2
                self._release_or_postpone(ready[:half])
                self._release_or_postpone(ready[half:])
                return
            LOG.exception(
                "The notification of alarm %s after a maintenance failed and is retried in a minute: %s",
                ready[0].alarm_id,
                type(exc).__name__,
                extra=fields(alarm_id=ready[0].alarm_id),
            )
            self._postpone(ready[0].alarm_id)

    def release(self, found: Collection[Inhibited]) -> None:
        """Lock the alarms, release the occurrences that are still due, commit, and start the deliveries."""
        ids = {one.occurrence_id for one in found}
        names = {one.alarm_id for one in found}
        with self._database.begin() as connection:
            transaction = Transaction(connection)
            # Those of alarms that another session keeps locked are released later, and not touched now: that
            # session may wait for an alarm that is locked here.
            free = names - transaction.held_elsewhere(names)
            alarms = transaction.lock(free)
            gone = free.difference(alarms)
            inhibitions.uninhibit(connection, [one.occurrence_id for one in found if one.alarm_id in gone])
            due = [one for one in inhibitions.still_due(connection, ids) if one.alarm_id in alarms]
            counts = inhibitions.counts(connection, {one.alarm_id for one in due})
            now = self._clock()
            released = [one for one in due if self._is_in_time(alarms[one.alarm_id], now)]
            transitions = self._transitions(connection, _to_notify(alarms, counts, released), now)
            inhibitions.release(connection, released, counts, now)
            enqueued = self._enqueuer.enqueue(
                connection, transitions, None, inhibitions.subscriptions_changed_at(connection)
            )
        self._enqueuer.submit(enqueued)
        self._report({NOTIFIED: len(transitions), DROPPED: len(released) - len(transitions)})

    def _is_in_time(self, alarm: Alarm, now: datetime.datetime) -> bool:
        in_time = within_time_constraints(alarm.time_constraints, now)
        if not in_time:
            self._postpone(alarm.alarm_id)
        return in_time

    def _postpone(self, alarm_id: str) -> None:
        self._postponed[alarm_id] = self._monotonic() + POSTPONED

    def _transitions(
        self, connection: sa.Connection, notified: Mapping[str, tuple[str, ...]], now: datetime.datetime
    ) -> list[Transition]:
        """Return the last inhibited transition of each occurrence, to be notified now, with its actions."""
        last = OccurrenceDetails(Within(connection)).last_inhibited(notified)
        # The time of the notification; in the history, the transition keeps its own.
        return [
            dataclasses.replace(last[name], actions=actions, recorded_at=now)
            for name, actions in notified.items()
            if name in last
        ]


def _to_notify(
    alarms: Mapping[str, Alarm], counts: Mapping[str, AlarmCount], released: Sequence[Inhibited]
) -> dict[str, tuple[str, ...]]:
    """Return the occurrences to notify of, with the actions to call."""
    found: dict[str, tuple[str, ...]] = {}
    for alarm_id, count in counts.items():
        alarm = alarms[alarm_id]
        # Nobody is notified of an alarm that was disabled or reset meanwhile.
        if alarm.enabled and alarm.state == ALARM:
            found |= releases(alarm, count, [one for one in released if one.alarm_id == alarm_id])
    return found
