"""Aodh's alarms and history records as plain data, read from its API or from its tables."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm import reasons
from eventalarm.model import EPOCH, UNKNOWN, parse_time

CREATION: Final = "creation"
RULE_CHANGE: Final = "rule change"
STATE_TRANSITION: Final = "state transition"
TYPES: Final = frozenset({CREATION, RULE_CHANGE, STATE_TRANSITION})

MANUAL: Final = "Manually set via API"
NEVER: Final = EPOCH


def _time(value: object) -> datetime.datetime:
    try:
        return parse_time(value)
    except ValueError:
        return NEVER


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclasses.dataclass(frozen=True, slots=True)
class AodhAlarm:
    """An alarm of any type, as far as the mapping needs it; naive times are taken as UTC, as Aodh does."""

    alarm_id: str
    project_id: str
    type: str
    name: str
    state: str
    severity: str | None = None
    enabled: bool = True
    state_reason: str = ""
    timestamp: datetime.datetime = NEVER
    state_timestamp: datetime.datetime = NEVER
    rule: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    repeat_actions: bool = False

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> AodhAlarm:
        """Read an alarm as Aodh's API returns it (``GET /v2/alarms/{id}``), or as its row holds it."""
        kind = str(body.get("type") or "")
        rule = body.get("rule") if body.get("rule") is not None else body.get(f"{kind}_rule")
        return cls(
            alarm_id=str(body["alarm_id"]),
            project_id=str(body.get("project_id") or ""),
            type=kind,
            name=str(body.get("name") or ""),
            state=str(body.get("state") or UNKNOWN),
            severity=body.get("severity"),
            enabled=bool(body.get("enabled", True)),
            state_reason=str(body.get("state_reason") or ""),
            timestamp=_time(body.get("timestamp")),
            state_timestamp=_time(body.get("state_timestamp")),
            rule=_mapping(rule),
            repeat_actions=bool(body.get("repeat_actions")),
        )

    @property
    def manual(self) -> bool:
        """Return True if a user set the present state."""
        return self.state_reason == MANUAL


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record of Aodh's history, in any of the shapes that Aodh writes.

    ``state`` is the state that the alarm took, or None; ``manual`` is True if a user set it.
    """

    record_id: str
    type: str
    at: datetime.datetime
    detail: Mapping[str, Any]
    user_id: str = ""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Record:
        """Read a record as Aodh's API, its table or its notifications have it (``detail`` text or mapping).

        :raises ValueError: when the type is unknown, the time is missing, or the detail is not a JSON
            object.
        """
        kind = body.get("type")
        if kind not in TYPES:
            raise ValueError(f"unknown type of history record {kind!r:.40}")
        detail = body.get("detail")
        if isinstance(detail, str | bytes):
            detail = json.loads(detail)
        if not isinstance(detail, Mapping):
            raise ValueError("the detail must be a JSON object")
        return cls(
            record_id=str(body.get("event_id") or ""),
            type=str(kind),
            at=parse_time(body.get("timestamp")),
            detail=detail,
            user_id=str(body.get("user_id") or ""),
        )

    @property
    def state(self) -> str | None:
        """The state that the alarm took, or None if the record is about something else."""
        state = self.detail.get("state")
        return state if isinstance(state, str) else None

    @property
    def reason(self) -> str:
        """The reason, as the evaluator (``transition_reason``) or the API (``state_reason``) wrote it."""
        return str(self.detail.get("transition_reason") or self.detail.get("state_reason") or "")

    @property
    def manual(self) -> bool:
        """Return True if a user set the state through the API."""
        return self.state is not None and self.detail.get("state_reason") == MANUAL


def read_records(bodies: Iterable[object]) -> tuple[list[Record], int]:
    """Return the readable records, each once, and the number of unreadable ones."""
    found: dict[object, Record] = {}
    skipped = 0
    for body in bodies:
        try:
            record = Record.parse(_mapping(body))
        except (ValueError, RecursionError):
            skipped += 1
            continue
        found.setdefault(record.record_id or object(), record)
    return list(found.values()), skipped


def event_of(reason: str) -> tuple[str, str]:
    """Return the message id and event type that the reason of an event alarm names, or empty texts."""
    read = reasons.parse(reason)
    return (read.message_id, read.event_type) if read is not None else ("", "")
