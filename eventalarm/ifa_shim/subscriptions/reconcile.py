"""Telling subscribers of what others did to alarms: stock evaluators, people who edit, reset and delete.

A look at some alarms compares what was told with what is so, in one transaction that holds their rows. A
round looks for alarms worth a look, in steps of bounded size; whoever hears of a change looks at once.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterator
from typing import Final

import sqlalchemy as sa
from oslo_utils import uuidutils

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.ifa_shim.alarm import IfaAlarm, rfc3339
from eventalarm.ifa_shim.alarms import Alarms
from eventalarm.ifa_shim.subscriptions.log import NotificationChanges
from eventalarm.ifa_shim.subscriptions.payloads import Style
from eventalarm.ifa_shim.subscriptions.publish import announced
from eventalarm.ifa_shim.subscriptions.snapshot import Subscribers
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM
from eventalarm.storage import notification_log
from eventalarm.storage.alarms import NEVER, in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.notification_log import NotifiedAlarm
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import Document, OccurrenceReader, OccurrenceRow
from eventalarm.storage.transitions import Transaction
from eventalarm.storage.within import Within

SCAN: Final = 5000
AT_ONCE: Final = 100
# Aodh's clock and that of the IFA API may differ by this much; what was raised so shortly before somebody
# subscribed is told once too often.
SKEW: Final = datetime.timedelta(seconds=0.5)
ESTIMATED: Final = "raised_time=estimated"

Clock = Callable[[], datetime.datetime]


class Reconciler:
    """Looks at alarms and tells what was not told; any number of processes and threads may."""

    def __init__(
        self,
        database: Database,
        courier: OutboxEnqueuer,
        subscribers: Subscribers,
        *,
        settings: Settings,
        style: Style,
        now: Clock,
    ) -> None:
        self._database = database
        self._courier = courier
        self._subscribers = subscribers
        self._settings = settings
        self._style = style
        self._now = now

    def round(self, before: datetime.datetime | None) -> Iterator[int]:
        """Look at everything once; yield after each step how many alarms were looked at.

        *before* is when the round before began: an alarm whose raise left no time was raised since.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        place: str | None = ""
        while place is not None:
            with self._database.read() as connection:
                rows, place = notification_log.untold(connection, place, SCAN)
            snapshot = self._subscribers.snapshot
            reached = [alarm_id for alarm_id, project_id in rows if snapshot.of(project_id)]
            yield from self._look_at_all(reached, before)
        place = ""
        while place is not None:
            with self._database.read() as connection:
                found, place = notification_log.changed(connection, place, SCAN)
            yield from self._look_at_all(found, before)

    def _look_at_all(self, alarm_ids: Collection[str], before: datetime.datetime | None) -> Iterator[int]:
        for chunk in in_chunks(alarm_ids, AT_ONCE):
            self.look(chunk, before)
            yield len(chunk)

    def look(self, alarm_ids: Collection[str], before: datetime.datetime | None = None) -> None:
        """Tell what was not told of these of Aodh's alarms; a constant number of statements.

        :raises eventalarm.exceptions.Retryable: when the database failed; nothing was told then.
        """
        snapshot = self._subscribers.snapshot
        if not snapshot.all:
            return
        with self._database.begin() as connection:
            # As the evaluator does before it records and tells: what is told of one alarm is told in order.
            Transaction(connection).lock(alarm_ids)
            known = notification_log.of_alarms(connection, alarm_ids)
            tale = NotificationChanges(known, uuidutils.generate_uuid)
            rows, alarms = self._present(connection, alarm_ids, known)
            ended = self._ended(connection, known)
            for one in known.values():
                self._follow(tale, one, alarms.get(one.told_id), ended.get(one.life))
            for alarm in alarms.values():
                if alarm.active and snapshot.of(alarm.project_id):
                    row = rows.get(alarm.aodh_alarm_id) or {}
                    tale.stands(alarm, row, self._now(), until=_news_until(alarm, before))
            tale.write(connection)
            outgoing = announced(tale.notices, snapshot, self._style)
            shipment = self._courier.enqueue_deliveries(
                connection, [item.delivery for item in outgoing], [item.about for item in outgoing]
            )
        self._courier.submit(shipment)

    def _present(
        self, connection: sa.Connection, alarm_ids: Collection[str], known: dict[str, NotifiedAlarm]
    ) -> tuple[dict[str, Document], dict[str, IfaAlarm]]:
        """Return Aodh's rows, and the alarms as they are now by the ids that subscribers know."""
        inside = Within(connection)
        reader = OccurrenceReader(inside)
        raised = reader.raised_of(alarm_ids)
        alone = reader.rows_of(alarm_ids)
        rows = {row.alarm["alarm_id"]: row.alarm for row in alone if row.alarm is not None}
        ours = {row.occurrence.alarm_id for row in raised if row.occurrence is not None}
        others = [row for row in alone if row.alarm is not None and self._is_others(row, ours, known)]
        now = self._now()
        service = Alarms(inside, self._settings, now)
        shown = {alarm.alarm_id: alarm for alarm in service.show([*raised, *others])}
        if service.orphans:
            OccurrenceDetails(inside).close_deleted(service.orphans, now)
        return rows, shown

    def _is_others(self, row: OccurrenceRow, ours: Collection[str], known: dict[str, NotifiedAlarm]) -> bool:
        assert row.alarm is not None
        alarm_id, state = row.alarm["alarm_id"], row.alarm["state"]
        return alarm_id not in ours and (state == ALARM or alarm_id in known)

    def _ended(
        self, connection: sa.Connection, known: dict[str, NotifiedAlarm]
    ) -> dict[str, datetime.datetime]:
        """Return when lives of ours ended that were told."""
        lives = OccurrenceReader(Within(connection)).of_occurrences({one.life for one in known.values()})
        return {
            row.occurrence.occurrence_id: row.occurrence.cleared_at
            for row in lives
            if row.occurrence is not None and row.occurrence.cleared_at is not None
        }

    def _follow(
        self,
        tale: NotificationChanges,
        before: NotifiedAlarm,
        now: IfaAlarm | None,
        ended: datetime.datetime | None,
    ) -> None:
        """Tell what became of something told, unless it goes on: then the present says so itself."""
        same = now is not None and now.life == before.life
        if now is not None and same and now.active:
            return
        over = now.cleared_time if now is not None and same else ended
        tale.clear(before, self._now(), cleared_time=over)


def _news_until(alarm: IfaAlarm, before: datetime.datetime | None) -> datetime.datetime:
    """Return until when one must have subscribed to be told that *alarm* was raised."""
    if ESTIMATED in alarm.fault_details:
        return before or NEVER
    # Our own evaluator tells whoever subscribed before; lives that others began are named by their time.
    others = alarm.life == rfc3339(alarm.raised_time)
    return alarm.raised_time + SKEW if others else alarm.raised_time
