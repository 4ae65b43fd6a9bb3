"""Maps an occurrence of an Aodh alarm to the alarm that ETSI's consumers read. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, State, rfc3339
from eventalarm.ifa_shim.aodh_history import AodhAlarm, Record, event_of, read_records
from eventalarm.ifa_shim.aodh_occurrences import fold
from eventalarm.ifa_shim.definition import (
    Definition,
    definition_of,
    deleted_definition,
    fault_type_of,
    quoted_rule,
)
from eventalarm.ifa_shim.fault_details import fault_details
from eventalarm.ifa_shim.occurrences import OccurrenceView, recorded_occurrence
from eventalarm.ifa_shim.resource import (
    component_of,
    faulty_resource,
    is_made_up,
    is_root_cause,
    object_of_rule,
    resource_of,
    targets,
)
from eventalarm.ifa_shim.tables import InsufficientData, Naming, Settings
from eventalarm.model import (
    Event,
    Kind,
    Occurrence,
    Transition,
    fault_severity,
    object_alarm_id,
    parse_time,
)
from eventalarm.x733 import EVENT_TYPES


@dataclasses.dataclass(frozen=True, slots=True)
class _Sources:
    """The input of the mapping of one alarm.

    ``managed_object`` distinguishes its occurrences, ``resource`` is what it is about; both may be empty.
    """

    definition: Definition
    view: OccurrenceView
    occurrence_id: str
    alarm_id: str
    managed_object: str
    resource: str
    naming: Naming
    event: Event | None
    event_time: datetime.datetime
    message_id: str = ""
    severity: str | None = None
    correlated: Sequence[str] = ()
    objects: Sequence[str] = ()
    inhibited_by: str | None = None

    @property
    def event_type(self) -> str:
        """The type of the event that raised it, where that is known and may differ from the fault type."""
        return self.event.event_type if self.event is not None else self.naming.fault_type


def from_history(
    alarm: AodhAlarm, records: Iterable[Record], settings: Settings | None = None
) -> IfaAlarm | None:
    """Return the newest occurrence of an alarm of any type, read from Aodh's own history.

    *alarm* is the row as it is now, *records* all that is known of its history, in any order. None: the alarm
    was never raised.
    """
    settings = settings or Settings()
    views = occurrences_of(alarm, records, settings)
    return from_view(alarm, views[-1], settings) if views else None


def from_api(
    alarm: Mapping[str, Any], history: Iterable[Mapping[str, Any]], settings: Settings | None = None
) -> IfaAlarm | None:
    """Return what :func:`from_history` does, from responses of Aodh's API."""
    records, _ = read_records(history)
    return from_history(AodhAlarm.parse(alarm), records, settings)


def occurrences_of(alarm: AodhAlarm, records: Iterable[Record], settings: Settings) -> list[OccurrenceView]:
    """Return all occurrences that Aodh's history shows, the oldest first."""

    def object_of(rule: Mapping[str, Any]) -> str:
        return object_of_rule(dataclasses.replace(alarm, rule=rule), settings)

    return fold(alarm, records, settings, object_of)


def from_view(alarm: AodhAlarm, view: OccurrenceView, settings: Settings) -> IfaAlarm:
    """Return the alarm of one occurrence that was read from Aodh's history."""
    then = dataclasses.replace(alarm, rule=view.rule) if view.rule is not None else alarm
    message_id, event_type = event_of(view.first.reason)
    named = object_of_rule(then, settings)
    sources = _Sources(
        definition=definition_of(then),
        view=view,
        occurrence_id=rfc3339(view.raised_at),
        alarm_id=alarm.alarm_id,
        managed_object=named,
        resource=named,
        naming=settings.naming(event_type or fault_type_of(then)),
        event=None,
        event_time=view.raised_at,
        message_id=message_id,
    )
    return _build(sources, settings)


def from_occurrence(
    occurrence: Occurrence,
    transitions: Sequence[Transition],
    alarm: AodhAlarm | None,
    settings: Settings | None = None,
    *,
    edits: Sequence[Record] = (),
    correlated: Sequence[str] = (),
    view: OccurrenceView | None = None,
    objects: Sequence[str] = (),
) -> IfaAlarm:
    """Return the alarm of an occurrence that our evaluator recorded.

    *transitions* are those of the occurrence that are still kept, *alarm* the row (None: deleted), *edits*
    records of Aodh's history, *correlated* the ids of alarms that the same event raised, *objects* those in
    fault, of a rule with ``at_least``. *view* is the occurrence at an earlier moment; without it the alarm is
    as it is now.
    """
    settings = settings or Settings()
    raising = next((t for t in transitions if t.kind is Kind.RAISED), None)
    event = raising.event if raising is not None else None
    rule = alarm.rule if alarm is not None else quoted_rule(raising)
    sources = _Sources(
        definition=definition_of(alarm) if alarm is not None else deleted_definition(occurrence, transitions),
        view=view or recorded_occurrence(occurrence, transitions, alarm, edits, settings),
        occurrence_id=occurrence.occurrence_id,
        alarm_id=alarm_id_of(occurrence.alarm_id, occurrence.managed_object, rule, settings),
        managed_object=occurrence.managed_object,
        resource=_resource(occurrence, event, rule, settings),
        naming=_naming(event, alarm, settings),
        event=event,
        event_time=_generated(raising) or occurrence.raised_at,
        message_id=event.message_id if event is not None else "",
        severity=occurrence.severity,
        correlated=correlated,
        objects=objects,
        inhibited_by=occurrence.inhibited_by if occurrence.raised else None,
    )
    return _build(sources, settings)


def alarm_id_of(aodh_alarm_id: str, managed_object: str, rule: Mapping[str, Any], settings: Settings) -> str:
    """Return the id that consumers see: Aodh's where the rule is bound to this one managed object."""
    bound = not managed_object or any(t.value == managed_object for t in targets(rule, settings))
    return aodh_alarm_id if bound else object_alarm_id(aodh_alarm_id, managed_object)


def _resource(
    occurrence: Occurrence, event: Event | None, rule: Mapping[str, Any], settings: Settings
) -> str:
    """Return what an occurrence is about: as recorded, else as *rule* finds it in the raising event."""
    found = occurrence.resource_id or ""
    if not found and event is not None:
        found = resource_of(rule, occurrence.managed_object, event, settings)
    return found or occurrence.managed_object


def _naming(event: Event | None, alarm: AodhAlarm | None, settings: Settings) -> Naming:
    """Return how an occurrence is named: by the event that raised it, but an absence by the rule."""
    if event is not None and not is_made_up(event.event_type):
        return settings.naming_of(event)
    if alarm is not None:
        return settings.naming(fault_type_of(alarm))
    return settings.naming(event.event_type if event is not None else "unknown")


def _generated(raising: Transition | None) -> datetime.datetime | None:
    if raising is None:
        return None
    with contextlib.suppress(ValueError):
        return parse_time(raising.event.body.get("generated"))
    return raising.event_time


def _build(sources: _Sources, settings: Settings) -> IfaAlarm:
    view, event, definition = sources.view, sources.event, sources.definition
    naming = sources.naming
    named_cause = event.first_trait(["probable_cause"]) if event is not None else ""
    correlated = {*sources.correlated, *_named_correlations(event)} - {sources.alarm_id}
    return IfaAlarm(
        alarm_id=sources.alarm_id,
        managed_object_id=sources.resource or definition.alarm_id,
        raised_time=view.raised_at,
        changed_time=view.changed_at,
        cleared_time=view.cleared_at,
        state=_state(view),
        perceived_severity=_severity(sources, settings),
        event_time=sources.event_time,
        event_type=EVENT_TYPES.get(named_cause, naming.cause.event_type),
        fault_type=naming.fault_type,
        probable_cause=named_cause or naming.cause.probable_cause,
        is_root_cause=event is not None and is_root_cause(event, naming.fault),
        correlated_alarm_ids=tuple(sorted(correlated)),
        fault_details=fault_details(_definition_details(sources), view, event, naming.fault_type),
        faulty_resource=faulty_resource(sources.resource, naming.family, definition.rule, settings),
        aodh_alarm_id=definition.alarm_id,
        project_id=definition.project_id,
        occurrence_id=sources.occurrence_id,
        object_key=sources.managed_object,
        fault=naming.fault.name if naming.fault is not None else "",
    )


def _state(view: OccurrenceView) -> State:
    if not view.active:
        return State.CLEARED
    return State.FIRED if view.changed_at is None else State.UPDATED


def _severity(sources: _Sources, settings: Settings) -> Severity:
    """Return the severity now: cleared, unknown, set by the operator, named by the event, or Aodh's."""
    if not sources.view.active:
        return Severity.CLEARED
    if sources.view.unknown and settings.insufficient_data is InsufficientData.INDETERMINATE:
        return Severity.INDETERMINATE
    definition, naming = sources.definition, sources.naming
    fixed = settings.override(definition.name, naming.fault_type, sources.event_type)
    named = sources.severity or (fault_severity(sources.event) if sources.event is not None else None)
    return fixed or (Severity(named) if named else settings.severity(definition.severity, naming.fault))


def _named_correlations(event: Event | None) -> list[str]:
    named = event.first_trait(["correlated_alarm_ids"]) if event is not None else ""
    return [one.strip() for one in named.split(",") if one.strip()]


def _definition_details(sources: _Sources) -> dict[str, str]:
    definition = sources.definition
    return {
        "aodh.alarm_id": definition.alarm_id,
        "aodh.alarm_name": definition.name,
        "aodh.alarm_type": definition.type,
        "component": component_of(definition.rule, sources.managed_object, sources.resource),
        "deleted": "true" if definition.deleted else "",
        "enabled": "" if definition.enabled else "false",
        "event.message_id": sources.message_id,
        "objects": ", ".join(sources.objects),
        "inhibitedBy": sources.inhibited_by or "",
        "managed_object": "" if sources.resource else "unresolved",
        "proposedAction": sources.naming.fault.repair_action if sources.naming.fault is not None else "",
    }
