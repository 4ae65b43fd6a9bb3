"""Occurrences of alarms on managed objects, and their transitions."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from eventalarm.model.events import Event


class Kind(enum.StrEnum):
    """How a transition changed its occurrence."""

    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"
    LATE = "late"


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """One raise-to-clear episode of an alarm on one managed object.

    ``event_time`` is the time of the newest event that set or confirmed the current state. ``hits`` counts
    the events that raised it; 0 marks a record that only notes that an event about the object has arrived.
    ``severity`` is the X.733 severity of the raising event, if it had one. ``resource_id`` is the resource
    where ``managed_object``, which distinguishes the occurrences of an alarm, holds more or something else.
    ``inhibited_by`` is the session of planned maintenance that holds its notification back, if one does;
    ``raise_inhibited``: not even the raise was notified.
    """

    occurrence_id: str
    alarm_id: str
    project_id: str
    managed_object: str
    raised: bool
    event_time: datetime.datetime
    raised_at: datetime.datetime
    changed_at: datetime.datetime | None = None
    cleared_at: datetime.datetime | None = None
    hits: int = 1
    severity: str | None = None
    resource_id: str | None = None
    inhibited_by: str | None = None
    raise_inhibited: bool = False

    @property
    def is_silent(self) -> bool:
        """Return True if the occurrence is raised but nobody was notified of it."""
        return self.raised and self.raise_inhibited


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """One change of an occurrence, with all data of its notifications.

    ``previous`` and ``current`` are Aodh alarm states. ``actions`` are the URLs to call, possibly none.
    ``raised_count`` is the number of managed objects on which a ``notification`` alarm is raised afterwards;
    None for alarms of other types. ``fault_id`` is the message id of the event that reported the fault behind
    *event*, where the event names it. ``objects`` are objects of the group that are in fault afterwards, at
    most 100; None unless the rule has ``at_least``. ``inhibited_by`` is the session of planned maintenance
    because of which the transition was not notified when it was recorded.
    """

    transition_id: str
    kind: Kind
    occurrence_id: str
    alarm_id: str
    project_id: str
    managed_object: str
    alarm_name: str
    severity: str | None
    previous: str
    current: str
    reason: str
    event: Event
    event_time: datetime.datetime
    recorded_at: datetime.datetime
    actions: tuple[str, ...] = ()
    raised_count: int | None = None
    fault_id: str | None = None
    objects: tuple[str, ...] | None = None
    inhibited_by: str | None = None

    @property
    def fault_key(self) -> str:
        """What correlated alarms have in common: the id of the fault, else of the event."""
        return self.fault_id or self.event.message_id
