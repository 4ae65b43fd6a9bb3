"""Telling subscribers of our own transitions, in the transaction that records them.

A constant number of statements for a batch, whatever it holds, and none while nobody listens to its projects.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from oslo_utils.uuidutils import generate_uuid

from eventalarm.delivery.enqueue import Announced
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, read_records
from eventalarm.ifa_shim.mapping import alarm_id_of, from_occurrence
from eventalarm.ifa_shim.own import StoredTransition
from eventalarm.ifa_shim.stored import read_step
from eventalarm.ifa_shim.subscriptions.log import NotificationChanges
from eventalarm.ifa_shim.subscriptions.payloads import AlarmNotification, Style, audience, delivery
from eventalarm.ifa_shim.subscriptions.snapshot import Snapshot, Subscribers
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, Kind, Transition
from eventalarm.storage import notification_log
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_queries import OccurrenceReader, OccurrenceRow
from eventalarm.storage.within import Within

LOG = logging.getLogger(__name__)

NewId = Callable[[], str]


def announced(
    notices: Iterable[tuple[AlarmNotification, str]],
    snapshot: Snapshot,
    style: Style,
    make_id: NewId = generate_uuid,
) -> list[Announced]:
    """Return the deliveries of *notices*, each with the id of what it is about, to all who want to hear.

    A notice about an alarm goes to those that its project is the business of.
    """
    found = []
    for notice, about in notices:
        reached = snapshot.of(notice.alarm.project_id) if notice.alarm is not None else snapshot.all
        for subscriber in audience(notice, reached):
            found.append(Announced(delivery(notice, subscriber, make_id(), style), about))
    return found


@dataclasses.dataclass(frozen=True)
class _Background:
    """What the database knows of the transitions of a batch."""

    lives: dict[str, OccurrenceRow]
    steps: dict[str, list[StoredTransition]]
    edits: dict[str, list[Record]]
    related: dict[tuple[str, str], list[str]]


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
        """Return what goes to subscribers; write down what they are told, in the same transaction."""
        snapshot = self._subscribers.at_least(subscribed, connection)
        heard = {t.project_id for t in transitions if t.kind is not Kind.LATE}
        projects = {project for project in heard if snapshot.of(project)}
        ours = [t for t in transitions if t.kind is not Kind.LATE and t.project_id in projects]
        if not ours:
            return []
        background = self._background(connection, ours)
        mapped = [(t, alarm) for t in ours if (alarm := self._mapped(t, background)) is not None]
        known = notification_log.read(connection, {alarm.alarm_id for _, alarm in mapped})
        tale = NotificationChanges(known, self._make_id)
        for transition, alarm in mapped:
            row = background.lives[transition.occurrence_id].alarm or {}
            tale.follow(alarm, transition, row)
        tale.write(connection)
        return announced(tale.notices, snapshot, self._style, self._make_id)

    def _background(self, connection: sa.Connection, transitions: Sequence[Transition]) -> _Background:
        inside = Within(connection)
        details = OccurrenceDetails(inside)
        ids = {t.occurrence_id for t in transitions}
        lives = {
            row.occurrence.occurrence_id: row
            for row in OccurrenceReader(inside).of_occurrences(ids)
            if row.occurrence is not None
        }
        steps: dict[str, list[StoredTransition]] = {}
        for stored in details.turning_points(ids):
            steps.setdefault(stored["occurrence_id"], []).append(read_step(stored))
        edits: dict[str, list[dict[str, object]]] = {}
        for stored in details.records(
            {t.alarm_id for t in transitions if t.kind is Kind.CHANGED}, [RULE_CHANGE]
        ):
            edits.setdefault(stored["alarm_id"], []).append(stored)
        related: dict[tuple[str, str], list[str]] = {}
        for stored in details.correlated({t.event.message_id for t in transitions if t.kind is Kind.RAISED}):
            rule = stored["rule"] if isinstance(stored["rule"], dict) else {}
            named = alarm_id_of(stored["alarm_id"], stored["managed_object"], rule, self._settings)
            related.setdefault((stored["message_id"], stored["project_id"]), []).append(named)
        read = {alarm_id: read_records(bodies)[0] for alarm_id, bodies in edits.items()}
        return _Background(lives, steps, read, related)

    def _mapped(self, transition: Transition, background: _Background) -> IfaAlarm | None:
        """Return the alarm as the transition left it; None when it cannot be mapped (G6)."""
        try:
            return self._as_of(transition, background)
        except Exception:
            LOG.exception(
                "Subscribers are not told of transition %s of alarm %s",
                transition.transition_id,
                transition.alarm_id,
            )
            return None

    def _as_of(self, transition: Transition, background: _Background) -> IfaAlarm | None:
        row = background.lives.get(transition.occurrence_id)
        if row is None or row.occurrence is None or row.alarm is None:
            return None
        over = transition.kind is Kind.CLEARED
        life = dataclasses.replace(
            row.occurrence, raised=not over, cleared_at=transition.recorded_at if over else None
        )
        if transition.kind is Kind.RAISED:
            life = dataclasses.replace(life, changed_at=None, hits=1)
        steps = [
            step
            for step in background.steps.get(life.occurrence_id, [])
            if step.kind is not Kind.CLEARED or over
        ]
        if transition.kind is Kind.CHANGED:
            steps.append(_step(transition))
        raising = next((step.message_id for step in steps if step.kind is Kind.RAISED), "")
        return from_occurrence(
            life,
            steps,
            AodhAlarm.parse({**row.alarm, "state": transition.current if over else ALARM}),
            self._settings,
            edits=background.edits.get(life.alarm_id, ()),
            correlated=background.related.get((raising, life.project_id), ()),
        )


def _step(transition: Transition) -> StoredTransition:
    return StoredTransition(
        kind=transition.kind,
        at=transition.recorded_at,
        event_time=transition.event_time,
        message_id=transition.event.message_id,
        event_type=transition.event.event_type,
        alarm_name=transition.alarm_name,
        severity=transition.severity,
        reason=transition.reason,
        event=transition.event.body,
    )
