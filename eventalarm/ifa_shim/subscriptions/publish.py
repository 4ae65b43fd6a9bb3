"""Notifications of our own transitions, made in the transaction that records them.

A constant number of statements for a batch, however large, and none while nobody subscribed to its projects.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa
from oslo_utils.uuidutils import generate_uuid

from eventalarm.delivery.enqueue import Announced
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.related import Related, correlated_by, records_of, transitions_of
from eventalarm.ifa_shim.subscriptions.log import NotificationChanges
from eventalarm.ifa_shim.subscriptions.payloads import AlarmNotification, Style, recipients, to_delivery
from eventalarm.ifa_shim.subscriptions.snapshot import Snapshot, Subscribers
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, Kind, Transition
from eventalarm.storage import notification_log
from eventalarm.storage.database import Within
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader, OccurrenceRow

LOG = logging.getLogger(__name__)

NewId = Callable[[], str]


def announced(
    notifications: Iterable[tuple[AlarmNotification, str]],
    snapshot: Snapshot,
    style: Style,
    make_id: NewId = generate_uuid,
) -> list[Announced]:
    """Return the deliveries of *notifications* to all subscribers who want them.

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
        raised = {t.event.message_id for t in transitions if t.kind is Kind.RAISED}
        return Related(
            self._settings,
            transitions_of(details, {t.occurrence_id for t in transitions}),
            records_of(details, edited={t.alarm_id for t in transitions if t.kind is Kind.CHANGED}),
            correlated_by(details, raised, self._settings),
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
        row.occurrence, raised=not cleared, cleared_at=transition.recorded_at if cleared else None
    )
    if transition.kind is Kind.RAISED:
        occurrence = dataclasses.replace(occurrence, changed_at=None, hits=1)
    recorded = related.transitions.get(occurrence.occurrence_id, ())
    until_now = [one for one in recorded if one.kind is not Kind.CLEARED or cleared]
    if transition.kind is Kind.CHANGED:
        until_now.append(transition)
    state = transition.current if cleared else ALARM
    return related.alarm(occurrence, AodhAlarm.parse({**row.alarm, "state": state}), until_now)
