"""The definition of an alarm, from Aodh's row or from what transitions hold of a deleted one. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from eventalarm import reasons
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.resource import event_types_of
from eventalarm.model import EVENT_ALARM_TYPES, Occurrence, Transition


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """The definition of the alarm, or what is known of it once it is deleted."""

    alarm_id: str
    project_id: str
    type: str
    name: str
    severity: str | None
    enabled: bool
    deleted: bool
    rule: Mapping[str, Any]


def quoted_rule(raising: Transition | None) -> Mapping[str, Any]:
    """Return the rule of a deleted alarm, as far as the reason of a transition still quotes it."""
    if raising is None:
        return {}
    event = raising.event
    query = reasons.query_in(raising.reason, event.message_id, event.event_type)
    return {"query": query, "event_type": event.event_type}


def definition_of(alarm: AodhAlarm) -> Definition:
    """Return the definition that Aodh's row holds."""
    return Definition(
        alarm.alarm_id,
        alarm.project_id,
        alarm.type,
        alarm.name,
        alarm.severity,
        alarm.enabled,
        deleted=False,
        rule=alarm.rule,
    )


def deleted_definition(occurrence: Occurrence, transitions: Sequence[Transition]) -> Definition:
    """Return what the transitions still hold of the definition of a deleted alarm."""
    last = max(transitions, key=lambda t: t.recorded_at, default=None)
    return Definition(
        occurrence.alarm_id,
        occurrence.project_id,
        type="",
        name=last.alarm_name if last is not None else "",
        severity=last.severity if last is not None else None,
        enabled=True,
        deleted=True,
        rule={},
    )


def fault_type_of(alarm: AodhAlarm) -> str:
    """Return the fault type that the rule implies: its event types, or the alarm type and its metric."""
    if alarm.type in EVENT_ALARM_TYPES:
        return ",".join(event_types_of(alarm.rule)) or f"aodh.{alarm.type}"
    metric = alarm.rule.get("metric")
    return f"aodh.{alarm.type}.{metric}" if isinstance(metric, str) and metric else f"aodh.{alarm.type}"
