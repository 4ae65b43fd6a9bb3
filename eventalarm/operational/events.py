"""The body of an operational event, as listeners receive it. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.model import (
    DATETIME,
    INTEGER,
    STRING,
    JSONDict,
    OperationalEvent,
    OperationalType,
    format_time,
    make_body,
    shown_reason,
)

# Namespace of the ids of operational events. Never change it: processes publish the same event again.
NAMESPACE: Final = uuid.UUID("5b3f0a52-6f0d-5a53-9d7e-5d1f2c5a9c11")
# X.733 severities; what ends a fault has none.
SEVERITIES: Final[Mapping[OperationalType, str]] = {
    OperationalType.DESTINATION_FAILING: "major",
    OperationalType.DESTINATION_DISABLED: "critical",
    OperationalType.DELIVERY_DEAD: "major",
    OperationalType.RULE_INVALID: "major",
    OperationalType.LISTENER_LOST: "major",
}
# The trait that repeats the managed object under its own name, by what the event is about.
NAMES: Final = {"destination": "destination", "delivery": "destination", "listener": "host"}


def body_of(event: OperationalEvent) -> JSONDict:
    """Return the body; the same event has the same ``message_id``, however often it is published."""
    traits: dict[str, tuple[int, Any]] = {
        "project_id": (STRING, event.project_id),
        "tenant_id": (STRING, event.project_id),
        "resource_id": (STRING, event.resource_id),
        "alarm_id": (STRING, event.alarm_id),
        "delivery_id": (STRING, event.delivery_id),
        "reason": (STRING, shown_reason(event.reason)),
        "severity": (STRING, SEVERITIES.get(event.event_type, "")),
    }
    if (name := NAMES.get(event.event_type.subject)) is not None:
        traits[name] = (STRING, event.resource_id)
    if event.status is not None:
        traits["status"] = (INTEGER, event.status)
    if event.since is not None:
        traits["since"] = (DATETIME, format_time(event.since))
    if event.event_type is OperationalType.DELIVERY_DEAD:
        traits["deliveries"] = (INTEGER, event.number)
    listed = ((name, dtype, value) for name, (dtype, value) in traits.items() if value != "")
    return make_body(_message_id(event), event.event_type.value, format_time(event.at), listed)


def _message_id(event: OperationalEvent) -> str:
    parts = event.project_id, event.resource_id, event.alarm_id, event.delivery_id, event.at.isoformat()
    about = event.once or "/".join(parts)
    return str(uuid.uuid5(NAMESPACE, f"{event.event_type.value}/{about}"))
