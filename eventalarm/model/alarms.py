"""Alarms, as Aodh stores them and as the cache of definitions keeps them, and facts about them."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.model.events import JSONDict

EVENT_ALARM: Final = "event"
NOTIFICATION_ALARM: Final = "notification"
# The types whose rules apply to events; eventalarm evaluates them.
EVENT_ALARM_TYPES: Final = frozenset({EVENT_ALARM, NOTIFICATION_ALARM})
# The types that Aodh's own evaluators evaluate.
OTHER_ALARM_TYPES: Final = (
    "composite",
    "gnocchi_aggregation_by_metrics_threshold",
    "gnocchi_aggregation_by_resources_threshold",
    "gnocchi_resources_threshold",
    "loadbalancer_member_health",
    "prometheus",
)

# The X.733 severity for each of Aodh's severities, unless the operator configures another.
DEFAULT_SEVERITIES: Final = {"critical": "CRITICAL", "moderate": "MAJOR", "low": "WARNING"}

# The traits that may name the managed object of an event, in order of preference.
RESOURCE_TRAITS: Final = (
    "resource_id",
    "instance_id",
    "server_id",
    "volume_id",
    "port_id",
    "share_id",
    "hostname",
    "host",
)


OK: Final = "ok"
ALARM: Final = "alarm"
UNKNOWN: Final = "insufficient data"

# Namespace of the ids of (alarm, managed object) pairs; must never change, because consumers keep the ids.
OBJECT_NAMESPACE: Final = uuid.UUID("6b1f3c52-8d0e-5c4b-9d57-0d6a3f1f7e21")


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmDefinition:
    """The cached part of an alarm: what is needed to match events, nothing that changes when it fires.

    ``version`` is the time of the last change of the definition (Aodh's ``alarm.timestamp``).
    """

    alarm_id: str
    project_id: str
    type: str
    version: datetime.datetime
    rule: JSONDict
    has_ok_actions: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DefinitionChange:
    """A change of an alarm definition; ``version`` is its time (Aodh's ``alarm.timestamp``)."""

    alarm_id: str
    project_id: str
    version: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Alarm:
    """One row of Aodh's ``alarm`` table, read when it was locked."""

    definition: AlarmDefinition
    enabled: bool
    name: str
    severity: str | None
    state: str
    repeat_actions: bool
    actions: Mapping[str, tuple[str, ...]]
    time_constraints: tuple[JSONDict, ...]

    @property
    def alarm_id(self) -> str:
        """The id of the alarm, which is the key of its row."""
        return self.definition.alarm_id

    def notified_severity(self, stated: str | None) -> str | None:
        """Return the severity to notify: the *stated* X.733 word in lower case if the rule asks for it."""
        if stated is None or not states_severity(self.definition.rule):
            return self.severity
        return stated.lower()


def object_alarm_id(alarm_id: str, managed_object: str) -> str:
    """Return the id of an alarm on one of several managed objects; the same pair always has the same id."""
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"{alarm_id}\n{managed_object}"))


def states_severity(rule: Mapping[str, Any]) -> bool:
    """Return True if a rule sets the severity of its occurrences itself, instead of the alarm."""
    return bool(rule.get("severity") or rule.get("severity_from"))


# Prefix of the event type of the events that timers create; the kind of the timer follows.
TIMER_EVENT_TYPE: Final = "eventalarm.timer."


class TimerKind(enum.StrEnum):
    """The part of a rule that a timer carries out.

    COUNT has no transition: its ``event`` holds the counted matches, which are forgotten when it is due. The
    ``event`` of OBJECTS holds the states of the objects of a group.
    """

    CLEAR_AFTER = "clear_after"
    ABSENCE = "absence"
    HOLD_DOWN = "hold_down"
    COUNT = "count"
    OBJECTS = "objects"


@dataclasses.dataclass(frozen=True, slots=True)
class Timer:
    """A timer of an alarm on a managed object. Times are by the database's clock, aware UTC.

    It counts from ``armed_at`` and fires at ``due_at``, or is not running if that is None. ``version`` is
    that of the definition that it was armed for. ``event`` is the body of the event that a transition of the
    timer reports; without one, a synthetic event is created.
    """

    alarm_id: str
    managed_object: str
    kind: TimerKind
    version: datetime.datetime
    armed_at: datetime.datetime
    due_at: datetime.datetime | None
    event: JSONDict | None = None

    @property
    def timer_id(self) -> str:
        """The primary key of the row."""
        return timer_id(self.alarm_id, self.managed_object, self.kind)


def objects_in_fault(document: JSONDict | None) -> tuple[str, ...]:
    """Return the objects in fault, sorted, by the ``event`` of a timer of kind OBJECTS."""
    objects = document.get("objects") if document is not None else None
    return tuple(sorted(name for name, (_, in_fault) in (objects or {}).items() if in_fault))


def timer_id(alarm_id: str, managed_object: str, kind: TimerKind) -> str:
    """Return the id of the timer of this kind for a managed object of an alarm."""
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"{kind.value}\n{alarm_id}\n{managed_object}"))
