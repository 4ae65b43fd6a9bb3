"""The two JSON forms of an alarm: IFA 005's information element and SOL003's resource."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from eventalarm.ifa_shim.alarm import FaultyResource, IfaAlarm, rfc3339

Document = dict[str, Any]


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
        "_links": {"self": {"href": f"{root}/alarms/{alarm.alarm_id}"}},
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
    """Return a strong entity tag, quoted; every change that a consumer can see changes it."""
    text = json.dumps([as_sol003(alarm), as_ifa005(alarm)], sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
