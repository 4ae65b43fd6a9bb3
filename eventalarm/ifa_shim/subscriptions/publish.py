"""Notifications of our own transitions, made in the transaction that records them.

The notification log holds what subscribers were notified of. A batch costs a constant number of statements,
however large, and none while nobody subscribed to its projects."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_utils.uuidutils import generate_uuid

from eventalarm.delivery.enqueue import Announced
from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, State, from_json, rfc3339, to_json
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.related import Related, correlated_by, records_of, transitions_of
from eventalarm.ifa_shim.subscriptions.notifications import (
    AlarmNotification,
    Snapshot,
    Style,
    Subscribers,
    recipients,
    to_delivery,
)
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, FAULT_SEVERITIES, Kind, Transition
from eventalarm.storage import notification_log
from eventalarm.storage.database import Within
from eventalarm.storage.notification_log import NotifiedAlarm
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader, OccurrenceRow


def mark(alarm: IfaAlarm) -> str:
    """Return a text that changes when subscribers have to be notified of a change of the occurrence."""
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
        """Notify of one of our transitions; *alarm* is the alarm after it, *row* Aodh's."""
        at, about = transition.recorded_at, transition.transition_id
        before = self._known.get(alarm.alarm_id)
        if transition.kind is not Kind.CLEARED:
            self.add_active(alarm, row, at, about)
        elif before is not None and before.occurrence_id != alarm.occurrence_id:
            self.add_cleared(before, at, about)
        else:
            # It is not in the log: those who subscribed while it was raised have read it in the list.
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

        The first notification goes only to subscriptions made until *until*, if given.
        """
        before = self._known.get(alarm.alarm_id)
        if before is not None and before.occurrence_id != alarm.occurrence_id:
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
            ifa_alarm_id=alarm.alarm_id,
            alarm_id=alarm.aodh_alarm_id,
            project_id=alarm.project_id,
            occurrence_id=alarm.occurrence_id,
            severities=severities | {alarm.perceived_severity.value},
            mark=mark(alarm),
            state=str(row.get("state") or ALARM),
            version=row.get("timestamp"),
            notified_at=at,
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


LOG = logging.getLogger(__name__)

NewId = Callable[[], str]


def announced(
    notifications: Iterable[tuple[AlarmNotification, str]],
    snapshot: Snapshot,
    style: Style,
    make_id: NewId = generate_uuid,
) -> list[Announced]:
    """Return the deliveries of *notifications* to all subscribers whose filters match.

    Each notification comes with the id of what it is about. One about an alarm goes to the subscriptions
    that cover its project, one about the whole list to all.
    """
    found = []
    for notification, about in notifications:
        alarm = notification.alarm
        reached = snapshot.of(alarm.project_id) if alarm is not None else snapshot.all
        for subscriber in recipients(notification, reached):
            found.append(Announced(to_delivery(notification, subscriber, make_id(), style), about))
    return found


class TransitionPublisher:
    """Makes the notifications of transitions; safe to share between threads."""

    def __init__(
        self,
        subscribers: Subscribers,
        settings: Settings,
        style: Style,
        make_id: NewId = generate_uuid,
    ) -> None:
        self._subscribers = subscribers
        self._settings = settings
        self._style = style
        self._make_id = make_id

    def announce(
        self,
        connection: sa.Connection,
        transitions: Sequence[Transition],
        subscribed: datetime.datetime | None,
    ) -> list[Announced]:
        """Return the deliveries to subscribers; update the notification log in the same transaction."""
        snapshot = self._subscribers.at_least(subscribed, connection)
        published = [t for t in transitions if t.kind is not Kind.LATE]
        projects = {project for project in {t.project_id for t in published} if snapshot.of(project)}
        published = [t for t in published if t.project_id in projects]
        if not published:
            return []
        rows = self._rows(connection, published)
        related = self._related(connection, published)
        mapped = [(t, alarm) for t in published if (alarm := self._mapped(t, rows, related)) is not None]
        known = notification_log.read(connection, {alarm.alarm_id for _, alarm in mapped})
        changes = NotificationChanges(known, self._make_id)
        for transition, alarm in mapped:
            changes.add_transition(alarm, transition, rows[transition.occurrence_id].alarm or {})
        changes.write(connection)
        return announced(changes.notifications, snapshot, self._style, self._make_id)

    def _rows(self, connection: sa.Connection, transitions: Sequence[Transition]) -> dict[str, OccurrenceRow]:
        """Return the occurrences of *transitions* with Aodh's rows, by their ids."""
        found = OccurrenceReader(Within(connection)).of_occurrences({t.occurrence_id for t in transitions})
        return {row.occurrence.occurrence_id: row for row in found if row.occurrence is not None}

    def _related(self, connection: sa.Connection, transitions: Sequence[Transition]) -> Related:
        details = OccurrenceDetails(Within(connection))
        raised = {t.fault_key for t in transitions if t.kind is Kind.RAISED}
        projects = {t.project_id for t in transitions}
        return Related(
            self._settings,
            transitions_of(details, {t.occurrence_id for t in transitions}),
            records_of(details, edited={t.alarm_id for t in transitions if t.kind is Kind.CHANGED}),
            correlated_by(details, raised, projects, self._settings),
        )

    def _mapped(
        self, transition: Transition, rows: Mapping[str, OccurrenceRow], related: Related
    ) -> IfaAlarm | None:
        """Return the alarm as the transition left it; None when it cannot be mapped (G6)."""
        try:
            return _as_of(transition, rows.get(transition.occurrence_id), related)
        except Exception:
            LOG.exception(
                "Transition %s of alarm %s cannot be mapped; subscribers are not notified of it",
                transition.transition_id,
                transition.alarm_id,
            )
            return None


def _as_of(transition: Transition, row: OccurrenceRow | None, related: Related) -> IfaAlarm | None:
    """Return the alarm as *transition* left it, though the batch may hold later ones of the occurrence."""
    if row is None or row.occurrence is None or row.alarm is None:
        return None
    cleared = transition.kind is Kind.CLEARED
    occurrence = dataclasses.replace(
        row.occurrence,
        raised=not cleared,
        cleared_at=transition.recorded_at if cleared else None,
        inhibited_by=transition.inhibited_by,
    )
    if transition.kind is Kind.RAISED:
        occurrence = dataclasses.replace(occurrence, changed_at=None, hits=1)
    recorded = related.transitions.get(occurrence.occurrence_id, ())
    until_now = [one for one in recorded if one.kind is not Kind.CLEARED or cleared]
    if transition.kind is Kind.CHANGED:
        until_now.append(transition)
    state = transition.current if cleared else ALARM
    return related.alarm(occurrence, AodhAlarm.parse({**row.alarm, "state": state}), until_now)
