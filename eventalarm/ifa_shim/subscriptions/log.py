"""Changes of the notification log: what subscribers were notified of, compared with what is so now.

Decides only; :meth:`NotificationChanges.write` stores the log, in the transaction of the deliveries.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, State, from_json, rfc3339, to_json
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.subscriptions.payloads import AlarmNotification
from eventalarm.model import ALARM, FAULT_SEVERITIES, Kind, Transition
from eventalarm.storage import notification_log
from eventalarm.storage.notification_log import NotifiedAlarm


def mark(alarm: IfaAlarm) -> str:
    """Return a text that differs between two states of one occurrence if subscribers have to be notified."""
    changed = rfc3339(alarm.changed_time) if alarm.changed_time is not None else ""
    return f"{alarm.perceived_severity.value} {changed}"


class NotificationChanges:
    """Compares alarms with the log that is *known*; collects the notifications, in order.

    ``notifications`` holds each notification with the id of what it is about: our transition, or itself.
    """

    def __init__(self, known: Mapping[str, NotifiedAlarm], make_id: Callable[[], str]) -> None:
        self.notifications: list[tuple[AlarmNotification, str]] = []
        self._known = dict(known)
        self._make_id = make_id
        self._put: dict[str, NotifiedAlarm] = {}
        self._dropped: set[str] = set()

    def add_transition(self, alarm: IfaAlarm, transition: Transition, row: Mapping[str, Any]) -> None:
        """Notify of one of our transitions, which made *alarm* what it is; *row* is Aodh's."""
        at, about = transition.recorded_at, transition.transition_id
        before = self._known.get(alarm.alarm_id)
        if transition.kind is not Kind.CLEARED:
            self.add_active(alarm, row, at, about)
        elif before is not None and before.life != alarm.occurrence_id:
            self.add_cleared(before, at, about)
        else:
            # Without a log, those who subscribed while it was raised have read of it.
            severities = before.severities if before is not None else FAULT_SEVERITIES
            self._clear(alarm, severities, at, about)

    def add_active(
        self,
        alarm: IfaAlarm,
        row: Mapping[str, Any],
        at: datetime.datetime,
        about: str = "",
        until: datetime.datetime | None = None,
    ) -> None:
        """Notify of an active alarm, if it is not in the log yet or something about it changed.

        *until*: the first notification of it goes only to those who subscribed before then.
        """
        before = self._known.get(alarm.alarm_id)
        if before is not None and before.life != alarm.occurrence_id:
            self.add_cleared(before, at, about)
            before = None
        if before is None or before.mark != mark(alarm):
            self._notify(NotificationType.ALARM, alarm, at, about, until=until if before is None else None)
        self._log(alarm, row, at)

    def _log(self, alarm: IfaAlarm, row: Mapping[str, Any], at: datetime.datetime) -> None:
        before = self._known.get(alarm.alarm_id)
        severities = before.severities if before is not None else frozenset()
        self._dropped.discard(alarm.alarm_id)
        self._put[alarm.alarm_id] = self._known[alarm.alarm_id] = NotifiedAlarm(
            told_id=alarm.alarm_id,
            alarm_id=alarm.aodh_alarm_id,
            project_id=alarm.project_id,
            life=alarm.occurrence_id,
            severities=severities | {alarm.perceived_severity.value},
            mark=mark(alarm),
            state=str(row.get("state") or ALARM),
            version=row.get("timestamp"),
            told_at=at,
            alarm=to_json(alarm),
        )

    def add_cleared(
        self,
        before: NotifiedAlarm,
        at: datetime.datetime,
        about: str = "",
        cleared_time: datetime.datetime | None = None,
    ) -> None:
        """Notify that an alarm of the log is cleared, at *cleared_time* where that is known."""
        alarm = from_json(before.alarm)
        end = max(cleared_time or at, alarm.changed_time or alarm.raised_time)
        cleared = dataclasses.replace(
            alarm,
            cleared_time=end,
            changed_time=end,
            state=State.CLEARED,
            perceived_severity=Severity.CLEARED,
        )
        self._clear(cleared, before.severities, at, about)

    def _clear(self, alarm: IfaAlarm, severities: Iterable[str], at: datetime.datetime, about: str) -> None:
        notified = frozenset(map(Severity, severities))
        self._notify(NotificationType.CLEARED, alarm, at, about, severities=notified)
        self._known.pop(alarm.alarm_id, None)
        self._put.pop(alarm.alarm_id, None)
        self._dropped.add(alarm.alarm_id)

    def _notify(
        self,
        kind: NotificationType,
        alarm: IfaAlarm,
        at: datetime.datetime,
        about: str,
        *,
        severities: frozenset[Severity] = frozenset(),
        until: datetime.datetime | None = None,
    ) -> None:
        notification = AlarmNotification(self._make_id(), kind, alarm, at, severities, until)
        self.notifications.append((notification, about or notification.notification_id))

    def write(self, connection: sa.Connection) -> None:
        """Store the log as it is now."""
        notification_log.drop(connection, self._dropped)
        notification_log.put(connection, list(self._put.values()))
