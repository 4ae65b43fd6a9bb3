"""Collects the events of one transaction, and the decisions about them that made no transition."""

from __future__ import annotations

import datetime
from collections.abc import Collection

import sqlalchemy as sa

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.decide import Reason
from eventalarm.evaluator.evaluation import Match
from eventalarm.model import Event, JSONDict
from eventalarm.storage import recorded_events
from eventalarm.storage.column_types import to_key
from eventalarm.storage.events import REST_OF_ROW, EventTexts
from eventalarm.storage.recorded_events import RecordedDecision


class MatchedEvents:
    """The events that one transaction evaluates, as they are recorded.

    :param resource_traits: the traits that may name the resource of an event, in order of preference.
    :param now: the time of the transaction, aware UTC.
    """

    def __init__(self, texts: EventTexts, resource_traits: Collection[str], now: datetime.datetime) -> None:
        self._texts = texts
        self._resource_traits = resource_traits
        self._now = now
        self._events: dict[str, JSONDict] = {}
        self._ids: dict[tuple[int, str], str] = {}
        self._decisions: list[RecordedDecision] = []

    def add(self, match: Match, reason: Reason, state: BatchState, *, changed: bool) -> int:
        """Add a match and the reason of its decision; return the bytes that this adds to the transaction.

        :param state: the rows after the decision.
        :param changed: whether it made a transition, which is stored anyway.
        """
        subject = match.subject
        key = (id(subject.event), match.project_id)
        name = self._ids.get(key)
        size = 0
        if name is None:
            name = self._ids[key] = self._add_event(match)
            size += REST_OF_ROW + self._events[name]["size"]
        # An event that is received again has its first result.
        again = reason is Reason.DUPLICATE and not state.handled_elsewhere(match.alarm_id, subject)
        if not changed and not again:
            alarm = state.alarms.get(match.alarm_id)
            self._decisions.append(
                RecordedDecision(
                    name,
                    match.alarm_id,
                    subject.managed_object,
                    reason.value,
                    alarm.state if alarm is not None else "",
                    self._now,
                )
            )
            size += REST_OF_ROW
        return size

    def _add_event(self, match: Match) -> str:
        event = match.subject.event
        row = recorded_events.event_row(
            event,
            match.project_id,
            self._texts(event),
            managed_object=self._resource(event),
            event_time=match.subject.event_time,
            now=self._now,
        )
        name: str = row["record_id"]
        self._events.setdefault(name, row)
        return name

    def _resource(self, event: Event) -> str:
        return to_key(event.first_trait(self._resource_traits))

    def write(self, connection: sa.Connection) -> None:
        """Write what was added; what is recorded already stays as it is."""
        recorded_events.write(connection, self._events, self._decisions)
