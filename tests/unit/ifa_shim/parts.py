"""Short ways to say what Aodh holds: alarms, records of history, occurrences with their transitions."""

from __future__ import annotations

import itertools
import json
from typing import Any

from eventalarm.ifa_shim import AodhAlarm, IfaAlarm, Record, Settings, from_history
from eventalarm.model import ALARM, OK, UNKNOWN, Event, Kind, Occurrence, Transition
from tests.support.builders import PROJECT, UPDATE, at, event_body, rule

SERVER = "9f7c2d80-0c58-4a7c-8b6a-1d2f3c4b5a69"
REASON = "Event <id=m-1,event_type=compute.instance.update> hits the query <query=[]>."
_NUMBERS = itertools.count(1)


def alarm(state: str = ALARM, the_rule: Any = None, **fields: Any) -> AodhAlarm:
    """Return a row: an event alarm on one server, changed last long ago."""
    values: dict[str, Any] = {
        "alarm_id": "alarm-1",
        "project_id": PROJECT,
        "type": "event",
        "name": "server failed",
        "severity": "critical",
        "timestamp": at(-1000),
        "state_timestamp": at(-1000),
        "rule": rule(instance_id=SERVER, state="error") if the_rule is None else the_rule,
        **fields,
    }
    return AodhAlarm(state=state, **values)


def threshold(state: str = ALARM, **fields: Any) -> AodhAlarm:
    """Return the row of a threshold alarm on one server."""
    the_rule = {"metric": "cpu_util", "resource_type": "instance", "resource_id": SERVER}
    return alarm(state, the_rule, type="gnocchi_resources_threshold", **fields)


def raw(kind: str, seconds: float, detail: Any, **fields: Any) -> dict[str, Any]:
    """Return a record as Aodh's API answers it."""
    moment = at(seconds).replace(tzinfo=None).isoformat()
    text = detail if isinstance(detail, str) else json.dumps(detail)
    number = f"record-{next(_NUMBERS):04}"
    return {"event_id": number, "type": kind, "timestamp": moment, "detail": text, **fields}


def evaluated(state: str, seconds: float, reason: str = "", **fields: Any) -> Record:
    """Return what an evaluator writes when it changes the state."""
    detail = {"state": state, "transition_reason": reason or f"went to {state}"}
    return Record.parse(raw("state transition", seconds, detail, **fields))


def put_state(state: str, seconds: float, user: str = "someone") -> Record:
    """Return what the API writes when a person sets the state."""
    detail = {"state": state, "state_reason": "Manually set via API"}
    return Record.parse(raw("state transition", seconds, detail, user_id=user))


def created(seconds: float, state: str = "insufficient data", **fields: Any) -> Record:
    """Return what the API writes when the alarm is created."""
    detail = {"state": state, "severity": "critical", "rule": rule(instance_id=SERVER), **fields}
    return Record.parse(raw("creation", seconds, detail))


def edited(seconds: float, **changes: Any) -> Record:
    """Return what the API writes when the definition is changed."""
    return Record.parse(raw("rule change", seconds, changes))


def shown(row: AodhAlarm, *records: Record, **settings: Any) -> IfaAlarm:
    """Return what an NFVO reads of a row and its history; there must be something."""
    found = from_history(row, records, Settings(**settings))
    assert found is not None
    return found


def occurrence(managed_object: str = SERVER, *, raised: bool = True, **fields: Any) -> Occurrence:
    """Return an occurrence that our evaluator recorded, raised at 0."""
    values: dict[str, Any] = {"raised_at": at(0), "event_time": at(-1), **fields}
    return Occurrence("occurrence-1", "alarm-1", PROJECT, managed_object, raised, **values)


def transition(kind: Kind = Kind.RAISED, seconds: float = 0, **fields: Any) -> Transition:
    """Return a transition with its event, whose traits are *fields*."""
    generated = fields.pop("generated", at(seconds - 1))
    severity = fields.pop("severity_of_row", "critical")
    event_type = fields.pop("event_type", UPDATE)
    message_id = fields.pop("message_id", f"m-{next(_NUMBERS)}")
    reason = fields.pop("reason", REASON)
    body = event_body(event_type, message_id=message_id, generated=generated, **fields)
    return Transition(
        transition_id=f"transition-{next(_NUMBERS)}",
        kind=kind,
        occurrence_id="occurrence-1",
        alarm_id="alarm-1",
        project_id=PROJECT,
        managed_object=SERVER,
        alarm_name="server failed",
        severity=severity,
        previous=UNKNOWN if kind is Kind.RAISED else ALARM,
        current=OK if kind is Kind.CLEARED else ALARM,
        reason=reason,
        event=Event(body),
        event_time=at(seconds - 1),
        recorded_at=at(seconds),
    )


def details(alarm_shown: IfaAlarm) -> dict[str, str]:
    """Return the fault details as a mapping."""
    return dict(text.split("=", 1) for text in alarm_shown.fault_details)
