"""Reconciliation: notifies subscribers of what others did to alarms.

Others are Aodh's evaluators, and people who edit, reset and delete alarms. Alarms are compared with the
notification log in transactions that lock their rows. A round compares all alarms, in chunks of bounded size;
an alarm that Aodh sends a notification about is compared at once.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import sqlalchemy as sa
from oslo_utils import uuidutils

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.ifa_shim.alarm import IfaAlarm, rfc3339
from eventalarm.ifa_shim.alarms import AlarmReader
from eventalarm.ifa_shim.fault_details import ESTIMATED_RAISE
from eventalarm.ifa_shim.subscriptions.notifications import Style, Subscribers
from eventalarm.ifa_shim.subscriptions.publish import NotificationChanges, announced
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM
from eventalarm.storage import notification_log
from eventalarm.storage.alarms import NEVER
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database, Within
from eventalarm.storage.notification_log import NotifiedAlarm
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import Document, OccurrenceReader, OccurrenceRow
from eventalarm.storage.transitions import Transaction

# Rows that one query of a round reads, and alarms that one transaction compares.
SCAN: Final = 5000
AT_ONCE: Final = 100
# Aodh's clock and that of the IFA API may differ by this much: a subscriber is also notified of alarms that
# were raised this shortly before it subscribed.
SKEW: Final = datetime.timedelta(seconds=0.5)

Clock = Callable[[], datetime.datetime]


class Reconciler:
    """Compares alarms with the notification log; any number of processes and threads may do so at once."""

    def __init__(
        self,
        database: Database,
        enqueuer: OutboxEnqueuer,
        subscribers: Subscribers,
        *,
        settings: Settings,
        style: Style,
        now: Clock,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._subscribers = subscribers
        self._settings = settings
        self._style = style
        self._now = now

    def round(self, before: datetime.datetime | None) -> Iterator[int]:
        """Compare all alarms once; yield the number of alarms of each chunk.

        *before* is when the previous round began: an alarm with an unknown raise time was raised since.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        place: str | None = ""
        while place is not None:
            with self._database.read() as connection:
                rows, place = notification_log.not_notified(connection, place, SCAN)
            snapshot = self._subscribers.snapshot
            reached = [alarm_id for alarm_id, project_id in rows if snapshot.of(project_id)]
            yield from self._look_at_all(reached, before)
        place = ""
        while place is not None:
            with self._database.read() as connection:
                found, place = notification_log.changed(connection, place, SCAN)
            yield from self._look_at_all(found, before)

    def close_deleted(self) -> Iterator[int]:
        """Clear the occurrences of deleted alarms; yield the number of deleted alarms of each chunk.

        Aodh does not record when an alarm is deleted, so the clear time is when this method finds it missing.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        details, after = OccurrenceDetails(self._database), None
        while True:
            deleted, after = details.deleted_alarms(after, SCAN)
            details.close_deleted(deleted, self._now())
            yield len(deleted)
            if after is None:
                return

    def _look_at_all(self, alarm_ids: Collection[str], before: datetime.datetime | None) -> Iterator[int]:
        for chunk in in_chunks(alarm_ids, AT_ONCE):
            self.look(chunk, before)
            yield len(chunk)

    def look(self, alarm_ids: Collection[str], before: datetime.datetime | None = None) -> None:
        """Notify of changes of these alarms (Aodh's ids); uses a constant number of statements.

        :raises eventalarm.exceptions.Retryable: when the database failed; nothing was sent or logged then.
        """
        snapshot = self._subscribers.snapshot
        if not snapshot.all:
            return
        with self._database.begin() as connection:
            # As the evaluator does before it records: the notifications of one alarm stay in order.
            Transaction(connection).lock(alarm_ids)
            known = notification_log.of_alarms(connection, alarm_ids)
            changes = NotificationChanges(known, uuidutils.generate_uuid)
            rows, alarms, inhibited = self._present(connection, alarm_ids, known)
            self._add_cleared(connection, changes, known, alarms)
            for alarm in alarms.values():
                # The end of the maintenance releases what it inhibits.
                if alarm.occurrence_id in inhibited:
                    continue
                if alarm.active and snapshot.of(alarm.project_id):
                    row = rows.get(alarm.aodh_alarm_id) or {}
                    changes.add_active(alarm, row, self._now(), until=_subscribed_until(alarm, before))
            changes.write(connection)
            outgoing = announced(changes.notifications, snapshot, self._style)
            enqueued = self._enqueuer.enqueue_deliveries(
                connection, [item.delivery for item in outgoing], [item.about for item in outgoing]
            )
        self._enqueuer.submit(enqueued)

    def _present(
        self, connection: sa.Connection, alarm_ids: Collection[str], known: Mapping[str, NotifiedAlarm]
    ) -> tuple[dict[str, Document], dict[str, IfaAlarm], set[str]]:
        """Return Aodh's rows, the alarms as they are now by the ids that subscribers know, and the inhibited.

        The last are ids of occurrences.
        """
        inside = Within(connection)
        reader = OccurrenceReader(inside)
        alone = [row for row in reader.rows_of(alarm_ids) if row.alarm is not None]
        rows = {row.alarm["alarm_id"]: row.alarm for row in alone if row.alarm is not None}
        OccurrenceDetails(inside).close_deleted(set(alarm_ids) - rows.keys(), self._now())
        raised = reader.raised_of(alarm_ids)
        ours = {row.occurrence.alarm_id for row in raised if row.occurrence is not None}
        others = [row for row in alone if _is_of_others(row, ours, known)]
        shown = AlarmReader(inside, self._settings).show([*raised, *others])
        inhibited = {
            row.occurrence.occurrence_id
            for row in raised
            if row.occurrence is not None and row.occurrence.inhibited_by is not None
        }
        return rows, {alarm.alarm_id: alarm for alarm in shown}, inhibited

    def _add_cleared(
        self,
        connection: sa.Connection,
        changes: NotificationChanges,
        known: Mapping[str, NotifiedAlarm],
        alarms: Mapping[str, IfaAlarm],
    ) -> None:
        """Notify of the alarms of the log whose occurrence is over."""
        ended = _clear_times(connection, {one.occurrence_id for one in known.values()})
        for before in known.values():
            alarm = alarms.get(before.ifa_alarm_id)
            same = alarm is not None and alarm.occurrence_id == before.occurrence_id
            if alarm is not None and same and alarm.active:
                continue
            cleared_time = (
                alarm.cleared_time if alarm is not None and same else ended.get(before.occurrence_id)
            )
            changes.add_cleared(before, self._now(), cleared_time=cleared_time)


def _is_of_others(row: OccurrenceRow, ours: Collection[str], known: Mapping[str, NotifiedAlarm]) -> bool:
    """Return True if another evaluator raised the alarm, or may have cleared it."""
    assert row.alarm is not None
    alarm_id, state = row.alarm["alarm_id"], row.alarm["state"]
    return alarm_id not in ours and (state == ALARM or alarm_id in known)


def _clear_times(connection: sa.Connection, occurrence_ids: Collection[str]) -> dict[str, datetime.datetime]:
    """Return when occurrences that our evaluator recorded were cleared, of those that were."""
    return {
        row.occurrence.occurrence_id: row.occurrence.cleared_at
        for row in OccurrenceReader(Within(connection)).of_occurrences(occurrence_ids)
        if row.occurrence is not None and row.occurrence.cleared_at is not None
    }


def _subscribed_until(alarm: IfaAlarm, before: datetime.datetime | None) -> datetime.datetime:
    """Return until when a subscription must have been made to be notified that *alarm* was raised."""
    if ESTIMATED_RAISE in alarm.fault_details:
        return before or NEVER
    # Our evaluator notifies earlier subscribers itself. Other occurrences are named by their raise time.
    others = alarm.occurrence_id == rfc3339(alarm.raised_time)
    return alarm.raised_time + SKEW if others else alarm.raised_time
