"""What is told of alarms: the difference between what subscribers heard last and what is so now.

Decides only; :meth:`Tale.write` puts what was told where the next teller finds it.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from eventalarm.ifa_shim import alarm as alarm_module
from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, State, rfc3339
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.subscriptions.payloads import AlarmNotification
from eventalarm.model import ALARM, FAULT_SEVERITIES, Kind, Transition
from eventalarm.storage import notification_log
from eventalarm.storage.notification_log import NotifiedAlarm


def mark(alarm: IfaAlarm) -> str:
    """Return what two tellings of one life differ in when there was a change to tell."""
    changed = rfc3339(alarm.changed_time) if alarm.changed_time is not None else ""
    return f"{alarm.perceived_severity.value} {changed}"


class NotificationChanges:
    """What was told, what is told now, and the notices of it in order, each with what it is about."""

    def __init__(self, known: Mapping[str, NotifiedAlarm], make_id: Callable[[], str]) -> None:
        self.notices: list[tuple[AlarmNotification, str]] = []
        self._known = dict(known)
        self._make_id = make_id
        self._put: dict[str, NotifiedAlarm] = {}
        self._gone: set[str] = set()

    def follow(self, alarm: IfaAlarm, transition: Transition, row: Mapping[str, Any]) -> None:
        """Tell of a transition of ours that made *alarm* what it is; *row* is Aodh's."""
        at, about = transition.recorded_at, transition.transition_id
        before = self._known.get(alarm.alarm_id)
        if transition.kind is Kind.CLEARED:
            # Who subscribed while it stood has read of it, so hears of its end too.
            heard = before.severities if before is not None else FAULT_SEVERITIES
            if before is not None and before.life != alarm.life:
                self.clear(before, at, about)
            else:
                self._cleared(alarm, heard, at, about)
        else:
            self.stands(alarm, row, at, about)

    def stands(
        self,
        alarm: IfaAlarm,
        row: Mapping[str, Any],
        at: datetime.datetime,
        about: str = "",
        until: datetime.datetime | None = None,
    ) -> None:
        """Tell that *alarm* stands, if that was not told yet or something about it changed.

        *until*: what is told for the first time is news only to those who subscribed before then.
        """
        before = self._known.get(alarm.alarm_id)
        if before is not None and before.life != alarm.life:
            self.clear(before, at, about)
            before = None
        if before is None or before.mark != mark(alarm):
            self._notice(NotificationType.ALARM, alarm, at, about, until=until if before is None else None)
        self._note(alarm, row, at)

    def _note(self, alarm: IfaAlarm, row: Mapping[str, Any], at: datetime.datetime) -> None:
        before = self._known.get(alarm.alarm_id)
        same = before.severities if before is not None else frozenset()
        self._gone.discard(alarm.alarm_id)
        self._put[alarm.alarm_id] = self._known[alarm.alarm_id] = NotifiedAlarm(
            told_id=alarm.alarm_id,
            alarm_id=alarm.aodh_alarm_id,
            project_id=alarm.project_id,
            life=alarm.life,
            severities=same | {alarm.perceived_severity.value},
            mark=mark(alarm),
            state=str(row.get("state") or ALARM),
            version=row.get("timestamp"),
            told_at=at,
            alarm=alarm_module.keep(alarm),
        )

    def clear(
        self,
        before: NotifiedAlarm,
        at: datetime.datetime,
        about: str = "",
        cleared_time: datetime.datetime | None = None,
    ) -> None:
        """Tell that what was told is over, since *cleared_time* where that is known."""
        alarm = alarm_module.read(before.alarm)
        end = max(cleared_time or at, alarm.changed_time or alarm.raised_time)
        over = dataclasses.replace(
            alarm,
            cleared_time=end,
            changed_time=end,
            state=State.CLEARED,
            perceived_severity=Severity.CLEARED,
        )
        self._cleared(over, before.severities, at, about)

    def _cleared(self, alarm: IfaAlarm, heard: Any, at: datetime.datetime, about: str) -> None:
        self._notice(NotificationType.CLEARED, alarm, at, about, heard=frozenset(map(Severity, heard)))
        self._known.pop(alarm.alarm_id, None)
        self._put.pop(alarm.alarm_id, None)
        self._gone.add(alarm.alarm_id)

    def _notice(
        self,
        kind: NotificationType,
        alarm: IfaAlarm,
        at: datetime.datetime,
        about: str,
        *,
        heard: frozenset[Severity] = frozenset(),
        until: datetime.datetime | None = None,
    ) -> None:
        notice = AlarmNotification(self._make_id(), kind, alarm, at, heard, until)
        self.notices.append((notice, about or notice.notice_id))

    def write(self, connection: sa.Connection) -> None:
        """Write down what is told now."""
        notification_log.drop(connection, self._gone)
        notification_log.put(connection, list(self._put.values()))
