"""From the rows that storage returns to the values that the mapping takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eventalarm.ifa_shim.own import StoredTransition
from eventalarm.model import Kind


def read_event(text: object) -> dict[str, Any]:
    """Return a stored event; what cannot be read is none."""
    try:
        event = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def read_step(row: Mapping[str, Any]) -> StoredTransition:
    """Return one row of transitions."""
    return StoredTransition(
        kind=Kind(row["kind"]),
        at=row["recorded_at"],
        event_time=row["event_time"],
        message_id=row["message_id"],
        event_type=row["event_type"],
        alarm_name=row["alarm_name"] or "",
        severity=row["severity"],
        reason=row["reason"],
        event=read_event(row["event"]),
    )
