"""Aodh's alarms as ETSI NFV specifies them: a library that needs no server, and the API built on it.

>>> from eventalarm.ifa_shim import from_api
>>> alarm = {"alarm_id": "5b0c1b1e", "type": "gnocchi_resources_threshold", "name": "cpu", "state": "alarm",
...          "severity": "critical", "project_id": "p", "timestamp": "2026-03-01T09:00:00",
...          "gnocchi_resources_threshold_rule": {"metric": "cpu_util", "resource_type": "instance",
...                                               "resource_id": "9f7c2d80"}}
>>> history = [{"type": "state transition", "event_id": "1", "timestamp": "2026-03-01T10:00:00.412345",
...             "detail": '{"state": "alarm", "transition_reason": "above 90 %"}'}]
>>> found = from_api(alarm, history)
>>> found.managed_object_id, found.perceived_severity.value, found.state.value
('9f7c2d80', 'CRITICAL', 'FIRED')
>>> found.raised_time.isoformat()
'2026-03-01T10:00:00.412345+00:00'
"""

from eventalarm.ifa_shim.alarm import (
    AckState,
    FaultyResource,
    IfaAlarm,
    Severity,
    State,
    as_ifa005,
    as_sol003,
    rfc3339,
)
from eventalarm.ifa_shim.aodh_history import AodhAlarm, Record, read_records
from eventalarm.ifa_shim.mapping import from_api, from_history, from_occurrence
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Event, Kind, Occurrence, Transition
from eventalarm.x733 import EventType, FaultyResourceType

__all__ = [
    "AckState",
    "AodhAlarm",
    "Event",
    "EventType",
    "FaultyResource",
    "FaultyResourceType",
    "IfaAlarm",
    "Kind",
    "Occurrence",
    "Record",
    "Settings",
    "Severity",
    "State",
    "Transition",
    "as_ifa005",
    "as_sol003",
    "from_api",
    "from_history",
    "from_occurrence",
    "read_records",
    "rfc3339",
]
