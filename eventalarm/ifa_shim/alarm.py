"""The alarm that consumers read: one typed record per alarm and managed object, and its JSON forms."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import json
import urllib.parse
from typing import Any, Final

from eventalarm.model import UTC, parse_time
from eventalarm.x733 import EventType, FaultyResourceType


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
        """Doctor's integer severity: higher is worse, CLEARED is -1."""
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


class AckState(enum.StrEnum):
    """Whether an operator has acknowledged the alarm (SOL003 only)."""

    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"


@dataclasses.dataclass(frozen=True, slots=True)
class FaultyResource:
    """The virtualised resource at fault; ``type`` is the name of its type in Heat, or empty."""

    resource_id: str
    kind: FaultyResourceType
    type: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IfaAlarm:
    """One alarm of one managed object in the terms of IFA 005 clause 8.6.4, with what SOL003 adds.

    Times are UTC-aware. ``raised_time`` ≤ ``changed_time`` ≤ ``cleared_time``; ``event_time`` is the time of
    the source, which may be earlier or later. ``fault_details`` are sorted ``key=value`` texts.
    ``occurrence_id`` identifies the occurrence, to which an acknowledgement applies: the id that our
    evaluator gave it, or the raise time if it was read from Aodh's history. ``object_key`` is the managed
    object as the evaluator distinguishes occurrences: with ``group_by`` it may hold more than the resource.
    ``aodh_alarm_id`` and ``project_id`` are for access control. ``fault`` is the name of the entry of the
    fault catalogue, or empty. None of the five is rendered.
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
    object_key: str = ""
    fault: str = ""

    @property
    def active(self) -> bool:
        """Return True unless the alarm is cleared."""
        return self.state is not State.CLEARED

    @property
    def is_unresolved(self) -> bool:
        """Return True if the alarm is about no known resource, so that its own id stands for one."""
        return self.detail("managed_object") == "unresolved"

    def detail(self, key: str) -> str:
        """Return the value of the first fault detail of that key, or an empty string."""
        start = f"{key}="
        return next((one.removeprefix(start) for one in self.fault_details if one.startswith(start)), "")

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
            resource["resource_id"], FaultyResourceType(resource["kind"]), resource["type"]
        )
    values["state"] = State(values["state"])
    values["perceived_severity"] = Severity(values["perceived_severity"])
    values["event_type"] = EventType(values["event_type"])
    return IfaAlarm(**values)


Document = dict[str, Any]


def alarm_link(root: str, alarm_id: str) -> str:
    """Return the URL of an alarm in the fault management interface at *root*; an id may be any text."""
    return f"{root}/alarms/{urllib.parse.quote(alarm_id, safe='')}"


def _times(alarm: IfaAlarm) -> Document:
    times: Document = {"alarmRaisedTime": rfc3339(alarm.raised_time)}
    if alarm.changed_time is not None:
        times["alarmChangedTime"] = rfc3339(alarm.changed_time)
    if alarm.cleared_time is not None:
        times["alarmClearedTime"] = rfc3339(alarm.cleared_time)
    return times


def as_ifa005(alarm: IfaAlarm) -> Document:
    """Return the alarm in the names of IFA 005 clause 8.6.4."""
    return {
        "alarmId": alarm.alarm_id,
        "managedObjectId": alarm.managed_object_id,
        **_times(alarm),
        "state": alarm.state.value,
        "perceivedSeverity": alarm.perceived_severity.value,
        "eventTime": rfc3339(alarm.event_time),
        "faultType": alarm.fault_type,
        "probableCause": alarm.probable_cause,
        "isRootCause": alarm.is_root_cause,
        "correlatedAlarmId": list(alarm.correlated_alarm_ids),
        "faultDetails": list(alarm.fault_details),
    }


def as_sol003(alarm: IfaAlarm, *, root: str = "", vim_connection_id: str = "") -> Document:
    """Return the alarm in the names of SOL003 clause 7.5.2.4.

    *root* is the URL of the API (``https://host/vnffm/v1``), for the links. A VIM has no VNFs, so the managed
    object is the resource itself and ``objectInstance`` is left out.
    """
    body: Document = {
        "id": alarm.alarm_id,
        "managedObjectId": alarm.managed_object_id,
        **_times(alarm),
        "ackState": alarm.ack_state.value,
        "perceivedSeverity": alarm.perceived_severity.value,
        "eventTime": rfc3339(alarm.event_time),
        "eventType": alarm.event_type.value,
        "faultType": alarm.fault_type,
        "probableCause": alarm.probable_cause,
        "isRootCause": alarm.is_root_cause,
        "correlatedAlarmIds": list(alarm.correlated_alarm_ids),
        "faultDetails": list(alarm.fault_details),
        "_links": {"self": {"href": alarm_link(root, alarm.alarm_id)}},
    }
    if alarm.acknowledged_time is not None:
        body["alarmAcknowledgedTime"] = rfc3339(alarm.acknowledged_time)
    if alarm.faulty_resource is not None:
        body["rootCauseFaultyResource"] = _faulty(alarm.faulty_resource, vim_connection_id)
    return body


def _faulty(resource: FaultyResource, vim_connection_id: str) -> Document:
    handle = {"resourceId": resource.resource_id}
    if vim_connection_id:
        handle["vimConnectionId"] = vim_connection_id
    if resource.type:
        handle["vimLevelResourceType"] = resource.type
    return {"faultyResource": handle, "faultyResourceType": resource.kind.value}


def etag(alarm: IfaAlarm) -> str:
    """Return a strong entity tag, quoted; it differs after every change that a consumer can see."""
    text = json.dumps([as_sol003(alarm), as_ifa005(alarm)], sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
