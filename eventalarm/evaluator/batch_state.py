"""The locked rows of a transaction, changed in memory by one decision after another before writing."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from eventalarm.evaluator import event_rule
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.inhibitions import NO_INHIBITIONS, Inhibitions
from eventalarm.evaluator.objects_in_fault import MOST_NAMED
from eventalarm.evaluator.options import MOST_OBJECTS, ResourceOf, no_resource
from eventalarm.evaluator.outcome import Count, Outcome, ReasonUpdate, Subject
from eventalarm.model import (
    ALARM,
    Alarm,
    Kind,
    Occurrence,
    Transition,
    fault_severity,
)

NewId = Callable[[], str]


def new_id() -> str:
    """Return a new random id."""
    return str(uuid.uuid4())


class BatchState:
    """Alarms, occurrences and seen events; each decision sees earlier ones. ``now``: the time of changes."""

    def __init__(
        self,
        alarms: dict[str, Alarm],
        occurrences: dict[tuple[str, str], Occurrence],
        raised_counts: dict[str, int],
        seen: set[tuple[str, str, str]],
        *,
        handled_elsewhere: frozenset[tuple[str, str]] = frozenset(),
        now: datetime.datetime,
        make_id: NewId = new_id,
        limit: int = MOST_OBJECTS,
        full: Collection[str] = (),
        resource_of: ResourceOf = no_resource,
        silent: Mapping[str, int] | None = None,
        inhibitions: Inhibitions = NO_INHIBITIONS,
    ) -> None:
        self.alarms = alarms
        self._occurrences = occurrences
        self._known = frozenset(occurrence.occurrence_id for occurrence in occurrences.values())
        self._raised = raised_counts
        self._seen = seen
        self._elsewhere = handled_elsewhere
        self.now = now
        self._make_id = make_id
        self._dirty: dict[str, Occurrence] = {}
        self._superseded: list[str] = []
        self._transitions: list[Transition] = []
        self._state_changes: list[Transition] = []
        self._reset = [a for a, n in raised_counts.items() if n and a in alarms and alarms[a].state != ALARM]
        self._limit = limit
        self._resource_of = resource_of
        self._silent = dict(silent or {})
        self._inhibitions = inhibitions
        self._full = set(full)
        self._counted = set(self._reset)
        self._overflowed: dict[str, str] = {}
        self._follow_resets(frozenset(self._reset))

    def _follow_resets(self, alarm_ids: frozenset[str]) -> None:
        # Their state was set through the API, which ends their raised occurrences.
        for alarm_id in alarm_ids:
            self._raised[alarm_id] = 0
            self._silent[alarm_id] = 0
        for key, occurrence in self._occurrences.items():
            if key[0] in alarm_ids and occurrence.raised:
                self._occurrences[key] = dataclasses.replace(
                    occurrence,
                    raised=False,
                    changed_at=self.now,
                    cleared_at=self.now,
                    inhibited_by=None,
                    raise_inhibited=False,
                )

    def occurrence(self, alarm_id: str, managed_object: str) -> Occurrence | None:
        """Return the latest occurrence of an alarm on a managed object."""
        return self._occurrences.get((alarm_id, managed_object))

    def others_raised(self, alarm_id: str, managed_object: str) -> int:
        """Return the number of other managed objects on which the alarm is raised."""
        occurrence = self.occurrence(alarm_id, managed_object)
        return self._raised.get(alarm_id, 0) - (1 if occurrence is not None and occurrence.raised else 0)

    def others_silent(self, alarm_id: str, managed_object: str) -> int:
        """Return on how many other managed objects the alarm is raised without anybody being notified."""
        occurrence = self.occurrence(alarm_id, managed_object)
        return self._silent.get(alarm_id, 0) - int(occurrence is not None and occurrence.is_silent)

    def inhibited_by(self, alarm: Alarm, subject: Subject) -> str | None:
        """Return the session of maintenance that inhibits the alarm on the resource of an event, or None."""
        if not self._inhibitions:
            return None
        rule = alarm.definition.rule
        resource = self._resource_of(rule, subject.managed_object, subject.event)
        return self._inhibitions.of(resource or subject.managed_object, subject.event, rule)

    def full(self, alarm_id: str) -> bool:
        """Return True if the alarm is raised on the maximum number of managed objects."""
        return self._raised.get(alarm_id, 0) >= self._limit

    def handled_elsewhere(self, alarm_id: str, subject: Subject) -> bool:
        """Return True if another evaluator has changed the alarm because of the event."""
        return (alarm_id, subject.message_key) in self._elsewhere

    def seen(self, alarm_id: str, subject: Subject) -> bool:
        """Return True if the event already caused a transition of the alarm, here or in another evaluator."""
        if self.handled_elsewhere(alarm_id, subject):
            return True
        return (alarm_id, subject.managed_object, subject.message_key) in self._seen

    def apply(
        self,
        alarm: Alarm,
        subject: Subject,
        decision: Decision,
        verdict: Verdict,
        *,
        severity: str | None = None,
        reason: str = "",
        objects: Sequence[str] | None = None,
    ) -> None:
        """Apply a decision.

        :param severity: the X.733 severity of the event, if the rule names the trait that carries it.
        :param reason: the reason of the transition; by default composed from the event and the rule.
        :param objects: the objects of the group that are in fault, for a rule with ``at_least``.
        """
        beyond = decision.reason is Reason.TOO_MANY_OBJECTS
        if beyond:
            self._overflow(alarm.alarm_id)
        if decision.kind is None:
            if decision.confirm:
                self._confirm(alarm, subject)
            return
        if beyond:
            occurrence = self._begin(alarm, subject, raised=True, severity=severity)
        else:
            occurrence = self._follow(alarm, subject, decision, severity)
        why = reason or event_rule.reason(subject.event, alarm.definition.rule, verdict)
        record = self._transition(
            alarm, subject, decision, kind=decision.kind, occurrence=occurrence, reason=why
        )
        if objects is not None:
            record = dataclasses.replace(record, objects=tuple(objects[:MOST_NAMED]))
        self._transitions.append(record)
        self._seen.add((alarm.alarm_id, subject.managed_object, subject.message_key))
        if decision.record_state:
            self._state_changes.append(record)
            self.alarms[alarm.alarm_id] = dataclasses.replace(alarm, state=decision.state)

    def _transition(
        self,
        alarm: Alarm,
        subject: Subject,
        decision: Decision,
        *,
        kind: Kind,
        occurrence: Occurrence,
        reason: str,
    ) -> Transition:
        rich = alarm.definition.type == NOTIFICATION_TYPE
        return Transition(
            transition_id=self._make_id(),
            kind=kind,
            occurrence_id=occurrence.occurrence_id,
            alarm_id=alarm.alarm_id,
            project_id=alarm.definition.project_id,
            managed_object=subject.managed_object,
            alarm_name=alarm.name,
            severity=alarm.notified_severity(occurrence.severity) if rich else alarm.severity,
            previous=decision.previous or alarm.state,
            current=decision.state,
            reason=reason,
            event=subject.event,
            event_time=subject.event_time,
            recorded_at=self.now,
            actions=alarm.actions.get(decision.state, ()) if decision.fire else (),
            raised_count=self._raised.get(alarm.alarm_id, 0) if rich else None,
            fault_id=subject.event.first_trait(("fault_id",)) or None,
            inhibited_by=decision.inhibited_by,
        )

    def _follow(self, alarm: Alarm, subject: Subject, decision: Decision, severity: str | None) -> Occurrence:
        kind = decision.kind
        before = self.occurrence(alarm.alarm_id, subject.managed_object)
        if kind is Kind.LATE and before is not None:
            return before
        if kind is Kind.RAISED or before is None or not before.raised:
            raised = kind is not Kind.CLEARED
            inhibited_by = decision.inhibited_by if raised else None
            after = dataclasses.replace(
                self._begin(alarm, subject, raised=raised, severity=severity),
                inhibited_by=inhibited_by,
                raise_inhibited=inhibited_by is not None,
            )
            if before is not None and before.hits:
                self._superseded.append(before.occurrence_id)
            elif before is not None:
                after = dataclasses.replace(after, occurrence_id=before.occurrence_id)
        else:
            cleared = kind is Kind.CLEARED
            after = dataclasses.replace(
                before,
                raised=not cleared,
                event_time=subject.event_time,
                changed_at=self.now,
                cleared_at=self.now if cleared else None,
                hits=before.hits + (0 if cleared else 1),
                severity=severity or before.severity,
                inhibited_by=None if cleared else before.inhibited_by or decision.inhibited_by,
                raise_inhibited=before.raise_inhibited and not cleared,
            )
        self._recount(alarm.alarm_id, before, after)
        return self._keep(after)

    def _recount(self, alarm_id: str, before: Occurrence | None, after: Occurrence) -> None:
        count = int(after.raised) - int(before is not None and before.raised)
        silent = int(after.is_silent) - int(before is not None and before.is_silent)
        if count or silent:
            self._raised[alarm_id] = self._raised.get(alarm_id, 0) + count
            self._silent[alarm_id] = self._silent.get(alarm_id, 0) + silent
            self._counted.add(alarm_id)

    def _overflow(self, alarm_id: str) -> None:
        if alarm_id not in self._full:
            self._full.add(alarm_id)
            self._counted.add(alarm_id)
            self._overflowed[alarm_id] = (
                f"Raised on {self._limit} managed objects, the maximum for one alarm: further ones "
                "are not recorded until some clear. Group the alarm by a trait with fewer values."
            )

    def _count(self, alarm_id: str) -> Count:
        raised = self._raised.get(alarm_id, 0)
        # A tenth must be free again, so that the owner is not notified repeatedly.
        full = alarm_id in self._full and raised > self._limit * 9 // 10
        return Count(alarm_id, raised, full, self._silent.get(alarm_id, 0))

    def _confirm(self, alarm: Alarm, subject: Subject) -> None:
        """Record the time of the last event about the managed object; an object never raised has no hits."""
        before = self.occurrence(alarm.alarm_id, subject.managed_object)
        if before is None:
            self._keep(dataclasses.replace(self._begin(alarm, subject, raised=False), hits=0))
        else:
            self._keep(dataclasses.replace(before, event_time=subject.event_time))

    def _keep(self, occurrence: Occurrence) -> Occurrence:
        self._occurrences[occurrence.alarm_id, occurrence.managed_object] = occurrence
        self._dirty[occurrence.occurrence_id] = occurrence
        return occurrence

    def _begin(
        self, alarm: Alarm, subject: Subject, *, raised: bool, severity: str | None = None
    ) -> Occurrence:
        return Occurrence(
            occurrence_id=self._make_id(),
            alarm_id=alarm.alarm_id,
            project_id=alarm.definition.project_id,
            managed_object=subject.managed_object,
            raised=raised,
            event_time=subject.event_time,
            raised_at=self.now,
            changed_at=None if raised else self.now,
            cleared_at=None if raised else self.now,
            severity=severity or fault_severity(subject.event),
            resource_id=self._resource_of(alarm.definition.rule, subject.managed_object, subject.event),
        )

    def transitions_since(self, number: int) -> list[Transition]:
        """Return the transitions recorded after the first *number*."""
        return self._transitions[number:]

    def outcome(self) -> Outcome:
        """Return all changes that must be written."""
        return Outcome(
            self._transitions,
            list(self._dirty.values()),
            self._known,
            self._superseded,
            self._reset,
            self._state_changes,
            [self._count(alarm_id) for alarm_id in sorted(self._counted)],
            [ReasonUpdate(self.alarms[alarm_id], reason) for alarm_id, reason in self._overflowed.items()],
        )
