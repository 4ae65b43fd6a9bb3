"""Builders of events, rules and alarms: a test states what matters to it, everything else has a default."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from eventalarm.model import (
    ALARM,
    DATETIME,
    FLOAT,
    INTEGER,
    OK,
    STRING,
    UNKNOWN,
    UTC,
    Alarm,
    AlarmDefinition,
    Event,
)

NOW = datetime.datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
PROJECT = "project-a"
RESOURCE_TRAITS = ("resource_id", "instance_id", "host")
UPDATE = "compute.instance.update"

_NUMBERS = itertools.count(1)


def at(seconds: float) -> datetime.datetime:
    """Return the moment *seconds* after NOW."""
    return NOW + datetime.timedelta(seconds=seconds)


def dtype_of(value: object) -> int:
    """Return the trait type that Ceilometer gives to a Python value."""
    if isinstance(value, datetime.datetime):
        return DATETIME
    if isinstance(value, float):
        return FLOAT
    return INTEGER if isinstance(value, int) else STRING


def event_body(
    event_type: str = UPDATE,
    *,
    message_id: str = "",
    generated: Any = None,
    project: str | None = PROJECT,
    traits: Sequence[Any] = (),
    raw: Any = None,
    **values: Any,
) -> dict[str, Any]:
    """Return an event as Ceilometer publishes it; *values* become traits of their natural type."""
    listed: list[Any] = [[name, dtype_of(value), value] for name, value in values.items()]
    if project is not None:
        listed.append(["project_id", STRING, project])
    if isinstance(generated, datetime.datetime):
        generated = generated.isoformat()
    return {
        "message_id": message_id or f"message-{next(_NUMBERS)}",
        "event_type": event_type,
        "generated": generated or NOW.isoformat(),
        "traits": [*listed, *traits],
        "raw": raw or {},
    }


def fault(**fields: Any) -> dict[str, Any]:
    """Return an event about an error of vm-1, generated now."""
    moment = datetime.datetime.now(UTC)
    return event_body(**{"state": "error", "resource_id": "vm-1", "generated": moment, **fields})


def event(event_type: str = UPDATE, **fields: Any) -> Event:
    """Return :func:`event_body` as an event."""
    return Event.parse(event_body(event_type, **fields))


def condition(field: str, value: Any, op: str = "eq", type_name: str | None = None) -> dict[str, Any]:
    """Return one condition of a query; a field without a dot is a trait."""
    type_name = type_name or {int: "integer", float: "float", bool: "boolean"}.get(type(value), "string")
    name = field if "." in field else f"traits.{field}"
    return {"field": name, "op": op, "type": type_name, "value": value}


def rule(event_type: str = UPDATE, *conditions: Mapping[str, Any], **equal: Any) -> dict[str, Any]:
    """Return an event rule; *equal* are conditions ``eq`` on traits."""
    return {
        "event_type": event_type,
        "query": [*conditions, *(condition(name, value) for name, value in equal.items())],
    }


def definition(
    alarm_id: str = "alarm-1", the_rule: Any = None, *, version: float = 0, **fields: Any
) -> AlarmDefinition:
    """Return a definition whose version is *version* seconds after NOW."""
    values: dict[str, Any] = {"project_id": PROJECT, "type": "event", "has_ok_actions": False, **fields}
    return AlarmDefinition(
        alarm_id, rule=rule() if the_rule is None else the_rule, version=at(version), **values
    )


def alarm(
    alarm_id: str = "alarm-1", the_rule: Any = None, *, state: str = OK, version: float = 0, **fields: Any
) -> Alarm:
    """Return a row: enabled, without repetition, with the action ``http://STATE`` for each state."""
    actions = {ALARM: ("http://alarm",), OK: ("http://ok",), UNKNOWN: ("http://unknown",)}
    project_id = fields.pop("project_id", PROJECT)
    values: dict[str, Any] = {
        "enabled": True,
        "name": f"name of {alarm_id}",
        "severity": "low",
        "repeat_actions": False,
        "actions": actions,
        "time_constraints": (),
        **fields,
    }
    made = definition(
        alarm_id, the_rule, version=version, project_id=project_id, has_ok_actions=bool(values["actions"][OK])
    )
    return Alarm(made, state=state, **values)
