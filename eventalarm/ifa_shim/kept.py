"""An alarm as text and back: what was told of it is all that is left when its end must be told."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any, Final

from eventalarm.ifa_shim.record import (
    EventType,
    FaultyResource,
    IfaAlarm,
    ResourceKind,
    Severity,
    State,
    rfc3339,
)
from eventalarm.model import parse_time

TIMES: Final = ("raised_time", "changed_time", "cleared_time", "event_time", "acknowledged_time")


def keep(alarm: IfaAlarm) -> str:
    """Return *alarm* as text."""
    values = dataclasses.asdict(alarm)
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return rfc3339(value)
    raise TypeError(type(value).__name__)


def read(text: str) -> IfaAlarm:
    """Return what :func:`keep` made a text of."""
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
