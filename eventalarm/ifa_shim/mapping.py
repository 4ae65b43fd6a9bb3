"""From a life of an Aodh alarm to the alarm that ETSI's consumers read. Pure: values in, values out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, State, rfc3339
from eventalarm.ifa_shim.aodh_history import AodhAlarm, Record, event_of, read_records
from eventalarm.ifa_shim.occurrences import OccurrenceView, fold
from eventalarm.ifa_shim.own import StoredTransition, own_life
from eventalarm.ifa_shim.resource import (
    EVENT_TYPES,
    faulty_resource,
    object_of_event,
    object_of_rule,
    targets,
)
from eventalarm.ifa_shim.tables import InsufficientData, Settings
from eventalarm.ifa_shim.x733 import EVENT_TYPES as EVENT_TYPES_OF_CAUSES
from eventalarm.model import Event, Kind, Occurrence, fault_severity, object_alarm_id, parse_time
from eventalarm.reasons import query_of

DETAIL_LENGTH: Final = 255
MAX_DETAILS: Final = 64
TRUE_WORDS: Final = frozenset({"true", "yes", "1"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Subject:
    """Whose life is mapped: what the definition says, or what is left of it once it is deleted."""

    alarm_id: str
    project_id: str
    type: str
    name: str
    severity: str | None
    enabled: bool
    deleted: bool
    rule: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Case:
    """All that an alarm is made of; ``managed_object`` is empty when nothing names one."""

    subject: _Subject
    life: OccurrenceView
    life_id: str
    alarm_id: str
    managed_object: str
    fault_type: str
    event: Event | None
    event_time: datetime.datetime
    acknowledged: datetime.datetime | None
    message_id: str = ""
    severity: str | None = None
    correlated: Sequence[str] = ()


def from_history(
    alarm: AodhAlarm, records: Iterable[Record], settings: Settings | None = None
) -> IfaAlarm | None:
    """Return the newest life of an alarm of any type from Aodh's own history, or None if it never was raised.

    *alarm* is the row as it is now, *records* all that is known of its history, in any order.
    """
    settings = settings or Settings()
    lives = lives_of(alarm, records, settings)
    return from_life(alarm, lives[-1], settings) if lives else None


def from_api(
    alarm: Mapping[str, Any], history: Iterable[Mapping[str, Any]], settings: Settings | None = None
) -> IfaAlarm | None:
    """Do as :func:`from_history` with the answers of Aodh's API, for use without any server of ours."""
    records, _ = read_records(history)
    return from_history(AodhAlarm.parse(alarm), records, settings)


def lives_of(alarm: AodhAlarm, records: Iterable[Record], settings: Settings) -> list[OccurrenceView]:
    """Return all lives that Aodh's history tells of, the oldest first."""

    def object_of(rule: Mapping[str, Any]) -> str:
        return object_of_rule(dataclasses.replace(alarm, rule=rule), settings)

    return fold(alarm, records, settings, object_of)


def from_life(
    alarm: AodhAlarm, life: OccurrenceView, settings: Settings, acknowledged: datetime.datetime | None = None
) -> IfaAlarm:
    """Return one life that Aodh's history told of."""
    then = dataclasses.replace(alarm, rule=life.rule) if life.rule is not None else alarm
    message_id, event_type = event_of(life.first.reason)
    case = _Case(
        subject=_subject(then),
        life=life,
        life_id=rfc3339(life.raised_at),
        alarm_id=alarm.alarm_id,
        managed_object=object_of_rule(then, settings),
        fault_type=event_type or _fault_type(then),
        event=None,
        event_time=life.raised_at,
        acknowledged=acknowledged,
        message_id=message_id,
    )
    return _build(case, settings)


def from_occurrence(
    occurrence: Occurrence,
    transitions: Sequence[StoredTransition],
    alarm: AodhAlarm | None,
    settings: Settings | None = None,
    *,
    edits: Sequence[Record] = (),
    correlated: Sequence[str] = (),
    acknowledged: datetime.datetime | None = None,
) -> IfaAlarm:
    """Return the life that our evaluator recorded.

    *transitions* are those of the occurrence that are still kept, *alarm* the row (None: deleted), *edits*
    records of Aodh's history, *correlated* the ids of alarms that the same event raised.
    """
    settings = settings or Settings()
    raising = next((t for t in transitions if t.kind is Kind.RAISED), None)
    event = raising.parsed() if raising is not None else None
    subject = _subject(alarm) if alarm is not None else _remains(occurrence, transitions)
    rule_type = str(subject.rule.get("event_type") or "unknown")
    case = _Case(
        subject=subject,
        life=own_life(occurrence, transitions, alarm, edits, settings),
        life_id=occurrence.occurrence_id,
        alarm_id=alarm_id_of(
            occurrence.alarm_id,
            occurrence.managed_object,
            alarm.rule if alarm is not None else {"query": _quoted_query(raising)},
            settings,
        ),
        managed_object=occurrence.managed_object or (object_of_event(event, settings) if event else ""),
        fault_type=event.event_type if event is not None else rule_type,
        event=event,
        event_time=_generated(raising) or occurrence.raised_at,
        acknowledged=acknowledged,
        message_id=event.message_id if event is not None else "",
        severity=occurrence.severity,
        correlated=correlated,
    )
    return _build(case, settings)


def alarm_id_of(aodh_alarm_id: str, managed_object: str, rule: Mapping[str, Any], settings: Settings) -> str:
    """Return the id that consumers see: Aodh's where the definition is bound to this one managed object."""
    bound = not managed_object or any(t.value == managed_object for t in targets(rule, settings))
    return aodh_alarm_id if bound else object_alarm_id(aodh_alarm_id, managed_object)


def _quoted_query(raising: StoredTransition | None) -> Any:
    """Return the query of an alarm that was deleted: nothing else tells of it."""
    return query_of(raising.reason, raising.message_id, raising.event_type) if raising is not None else None


def _generated(raising: StoredTransition | None) -> datetime.datetime | None:
    if raising is None:
        return None
    with contextlib.suppress(ValueError):
        return parse_time(raising.event.get("generated"))
    return raising.event_time


def _subject(alarm: AodhAlarm) -> _Subject:
    return _Subject(
        alarm.alarm_id,
        alarm.project_id,
        alarm.type,
        alarm.name,
        alarm.severity,
        alarm.enabled,
        deleted=False,
        rule=alarm.rule,
    )


def _remains(occurrence: Occurrence, transitions: Sequence[StoredTransition]) -> _Subject:
    last = max(transitions, key=lambda t: t.at, default=None)
    return _Subject(
        occurrence.alarm_id,
        occurrence.project_id,
        type="",
        name=last.alarm_name if last is not None else "",
        severity=last.severity if last is not None else None,
        enabled=True,
        deleted=True,
        rule={},
    )


def _fault_type(alarm: AodhAlarm) -> str:
    if alarm.type in EVENT_TYPES:
        event_type = alarm.rule.get("event_type")
        if isinstance(event_type, list):
            event_type = ",".join(str(one) for one in event_type)
        return str(event_type or f"aodh.{alarm.type}")
    metric = alarm.rule.get("metric")
    return f"aodh.{alarm.type}.{metric}" if isinstance(metric, str) and metric else f"aodh.{alarm.type}"


def _build(case: _Case, settings: Settings) -> IfaAlarm:
    life, event = case.life, case.event
    cause = settings.cause(case.fault_type)
    named_cause = event.first_trait(["probable_cause"]) if event is not None else ""
    return IfaAlarm(
        alarm_id=case.alarm_id,
        managed_object_id=case.managed_object or case.subject.alarm_id,
        raised_time=life.raised_at,
        changed_time=life.changed_at,
        cleared_time=life.cleared_at,
        state=_state(life),
        perceived_severity=_perceived(case, settings),
        event_time=case.event_time,
        event_type=EVENT_TYPES_OF_CAUSES.get(named_cause, cause.event_type),
        fault_type=case.fault_type,
        probable_cause=named_cause or cause.probable_cause,
        is_root_cause=event is not None and event.first_trait(["is_root_cause"]).lower() in TRUE_WORDS,
        correlated_alarm_ids=tuple(sorted({*case.correlated, *_named_correlations(event)} - {case.alarm_id})),
        fault_details=_details(case),
        faulty_resource=faulty_resource(case.managed_object, case.fault_type, case.subject.rule, settings),
        aodh_alarm_id=case.subject.alarm_id,
        project_id=case.subject.project_id,
        life=case.life_id,
        acknowledged_time=case.acknowledged,
    )


def _state(life: OccurrenceView) -> State:
    if not life.open:
        return State.CLEARED
    return State.FIRED if life.changed_at is None else State.UPDATED


def _perceived(case: _Case, settings: Settings) -> Severity:
    """Return the severity now: over, not known, fixed by the deployer, said by the event, or Aodh's."""
    if not case.life.open:
        return Severity.CLEARED
    if case.life.unknown and settings.insufficient_data is InsufficientData.INDETERMINATE:
        return Severity.INDETERMINATE
    fixed = settings.override(case.subject.name, case.fault_type)
    said = case.severity or (fault_severity(case.event) if case.event is not None else None)
    return fixed or (Severity(said) if said else settings.severity(case.subject.severity))


def _named_correlations(event: Event | None) -> list[str]:
    named = event.first_trait(["correlated_alarm_ids"]) if event is not None else ""
    return [one.strip() for one in named.split(",") if one.strip()]


def _details(case: _Case) -> tuple[str, ...]:
    """Return what else is known as sorted ``key=value`` texts, bounded in number and length."""
    subject, life = case.subject, case.life
    first, last = life.steps[0], life.steps[-1]
    manual = first.manual or (last.manual and not life.open)
    found: dict[str, Any] = {
        "aodh.alarm_id": subject.alarm_id,
        "aodh.alarm_name": subject.name,
        "aodh.alarm_type": subject.type,
        "cleared_time": "estimated" if last.estimated and not life.open else "",
        "deleted": "true" if subject.deleted else "",
        "enabled": "" if subject.enabled else "false",
        "event.message_id": case.message_id,
        "hits": life.hits if life.hits > 1 else "",
        "last_event_time": rfc3339(life.last_hit_at) if life.last_hit_at is not None else "",
        "managed_object": "" if case.managed_object else "unresolved",
        "manual": "true" if manual else "",
        "raised_time": "estimated" if first.estimated else "",
        "reason": last.reason or first.reason,
        "user_id": (last.user_id or first.user_id) if manual else "",
    }
    texts = [f"{key}={_short(value)}" for key, value in found.items() if value != ""]
    return tuple(sorted([*texts, *_traits(case.event)[: MAX_DETAILS - len(texts)]]))


def _traits(event: Event | None) -> list[str]:
    traits = event.body.get("traits") if event is not None else None
    if event is None or not isinstance(traits, list):
        return []
    named = sorted({t[0] for t in traits if isinstance(t, list | tuple) and t and isinstance(t[0], str)})
    return [_trait(name, event.trait(name)) for name in named[:MAX_DETAILS]]


def _trait(name: str, value: object) -> str:
    text = f"trait.{name}={'' if value is None else value}"
    # Nearly all are short as they are.
    return text if len(text) <= DETAIL_LENGTH else f"trait.{_short(name)}={_short(value)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= DETAIL_LENGTH else f"{text[: DETAIL_LENGTH - 1]}…"
