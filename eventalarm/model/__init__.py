"""Immutable data that the rooms exchange: events, alarms, occurrences, transitions and deliveries.

All times are aware UTC datetimes unless a docstring says otherwise.
"""

from __future__ import annotations

from eventalarm.model.alarms import (
    ALARM,
    OBJECT_NAMESPACE,
    OK,
    UNKNOWN,
    Alarm,
    AlarmDefinition,
    DefinitionChange,
    object_alarm_id,
)
from eventalarm.model.deliveries import (
    FINISHED,
    UNFINISHED,
    Delivery,
    DeliveryResult,
    DeliveryState,
    Notification,
)
from eventalarm.model.events import (
    DATETIME,
    DEFAULT_LIMITS,
    FAULT_SEVERITIES,
    FLOAT,
    INTEGER,
    STRING,
    Event,
    EventLimits,
    JSONDict,
    TraitValue,
    convert,
    fault_severity,
    severity_word,
)
from eventalarm.model.occurrences import Kind, Occurrence, Transition
from eventalarm.model.times import EPOCH, UTC, parse_time

__all__ = [
    "ALARM",
    "DATETIME",
    "DEFAULT_LIMITS",
    "EPOCH",
    "FAULT_SEVERITIES",
    "FINISHED",
    "FLOAT",
    "INTEGER",
    "OBJECT_NAMESPACE",
    "OK",
    "STRING",
    "UNFINISHED",
    "UNKNOWN",
    "UTC",
    "Alarm",
    "AlarmDefinition",
    "DefinitionChange",
    "Delivery",
    "DeliveryResult",
    "DeliveryState",
    "Event",
    "EventLimits",
    "JSONDict",
    "Kind",
    "Notification",
    "Occurrence",
    "TraitValue",
    "Transition",
    "convert",
    "fault_severity",
    "object_alarm_id",
    "parse_time",
    "severity_word",
]
