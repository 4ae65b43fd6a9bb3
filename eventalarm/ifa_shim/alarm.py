"""The alarm that consumers read: one typed record per alarm and managed object, and its JSON form."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Any, Final

from eventalarm.model import UTC, parse_time


class Severity(enum.StrEnum):
    """X.733 perceived severities, as IFA 005 and SOL003 spell them."""

    CRITICAL = "CRITICAL"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    WARNING = "WARNING"
    INDETERMINATE = "INDETERMINATE"
    CLEARED = "CLEARED"

    @property
    def rank(self) -> int:
        """Doctor's integer severity, higher is worse; CLEARED is no fault, so it is below all."""
        return RANKS.index(self) - 1


RANKS: Final = (
    Severity.CLEARED,
    Severity.INDETERMINATE,
    Severity.WARNING,
    Severity.MINOR,
    Severity.MAJOR,
    Severity.CRITICAL,
)


class State(enum.StrEnum):
    """The state of an alarm (IFA 005)."""

    FIRED = "FIRED"
    UPDATED = "UPDATED"
    CLEARED = "CLEARED"


class EventType(enum.StrEnum):
    """The event types of X.733, as SOL003 spells them."""

    COMMUNICATIONS = "COMMUNICATIONS_ALARM"
    PROCESSING_ERROR = "PROCESSING_ERROR_ALARM"
    ENVIRONMENTAL = "ENVIRONMENTAL_ALARM"
    QOS = "QOS_ALARM"
    EQUIPMENT = "EQUIPMENT_ALARM"


class ResourceKind(enum.StrEnum):
    """SOL003's kinds of virtualised resources."""

    COMPUTE = "COMPUTE"
    STORAGE = "STORAGE"
    NETWORK = "NETWORK"


class AckState(enum.StrEnum):
    """Whether an operator has acknowledged the alarm (SOL003 only)."""

    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"


@dataclasses.dataclass(frozen=True, slots=True)
class FaultyResource:
    """The virtualised resource at fault; ``type`` is the name of its type in Heat, or empty."""

    resource_id: str
    kind: ResourceKind
    type: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IfaAlarm:
    """One alarm of one managed object in the terms of IFA 005 clause 8.6.4, with what SOL003 adds.

    Times are aware UTC. ``raised_time`` ≤ ``changed_time`` ≤ ``cleared_time``; ``event_time`` is the time of
    the source, which may be earlier or later. ``fault_details`` are sorted ``key=value`` texts.
    ``occurrence_id`` names the occurrence, to which an acknowledgement applies: our own id, or the raise time
    of one that was read from Aodh's history. ``aodh_alarm_id`` and ``project_id`` are for access control and
    are not rendered.
    """

    alarm_id: str
    managed_object_id: str
    raised_time: datetime.datetime
    changed_time: datetime.datetime | None
    cleared_time: datetime.datetime | None
    state: State
    perceived_severity: Severity
    event_time: datetime.datetime
    event_type: EventType
    fault_type: str
    probable_cause: str
    is_root_cause: bool
    correlated_alarm_ids: tuple[str, ...]
    fault_details: tuple[str, ...]
    faulty_resource: FaultyResource | None
    aodh_alarm_id: str
    project_id: str
    occurrence_id: str
    acknowledged_time: datetime.datetime | None = None

    @property
    def active(self) -> bool:
        """Return True unless the alarm is cleared."""
        return self.state is not State.CLEARED

    @property
    def ack_state(self) -> AckState:
        """Whether this occurrence of the alarm is acknowledged."""
        return AckState.UNACKNOWLEDGED if self.acknowledged_time is None else AckState.ACKNOWLEDGED


def rfc3339(moment: datetime.datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, always with microseconds (``2026-03-01T10:00:00.000000Z``)."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


TIMES: Final = ("raised_time", "changed_time", "cleared_time", "event_time", "acknowledged_time")


def to_json(alarm: IfaAlarm) -> str:
    """Return *alarm* as JSON, which :func:`from_json` reads."""
    values = dataclasses.asdict(alarm)
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return rfc3339(value)
    raise TypeError(type(value).__name__)


def from_json(text: str) -> IfaAlarm:
    """Return the alarm that :func:`to_json` wrote."""
    values = json.loads(text)
    for name in TIMES:
        values[name] = None if values[name] is None else parse_time(values[name])
    for name in ("correlated_alarm_ids", "fault_details"):
        values[name] = tuple(values[name])
    resource = values["faulty_resource"]
    if resource is not None:
        values["faulty_resource"] = FaultyResource(
            resource["resource_id"], ResourceKind(resource["kind"]), resource["type"]
        )
    values["state"] = State(values["state"])
    values["perceived_severity"] = Severity(values["perceived_severity"])
    values["event_type"] = EventType(values["event_type"])
    return IfaAlarm(**values)
