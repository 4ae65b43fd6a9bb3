"""The events that the runner ``events`` reports, and the alarm that they fire. Pure.

Each event is about a resource of its own, so that no event makes another one late. All fire one alarm; the
history has an alarm for each resource, since its checker knows alarms on one resource only.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventalarm.trial.history.records import Alarm, Event

EVENT_TYPE: Final = "trial.probe"
STATE: Final = "down"
# Where the receiver gets the webhooks of these alarms.
PROBE_PATH: Final = "/probe"
# The status of the receiver's answer to GET.
RECEIVING: Final = 204


@dataclass(frozen=True)
class ProbeAlarm:
    """The alarm of one trial: its events have *token* in common; *webhook* is the URL of the receiver."""

    token: str
    webhook: str

    @property
    def name(self) -> str:
        """How it is named in Aodh."""
        return f"eventalarm-trial {self.token}"

    @property
    def path(self) -> str:
        """The path of its webhook."""
        return f"{PROBE_PATH}/{self.token}"

    def definition(self) -> dict[str, Any]:
        """Return the body of Aodh's ``POST /v2/alarms``."""
        return {
            "name": self.name,
            "type": "notification",
            "severity": "low",
            "description": "Made by eventalarm-trial, which deletes it at its end.",
            "notification_rule": {
                "event_type": EVENT_TYPE,
                "query": [{"field": "traits.trial", "value": self.token}],
                "group_by": ["resource_id"],
            },
            "alarm_actions": [f"{self.webhook}{self.path}"],
            "repeat_actions": True,
        }

    def report(self, number: int, project: str, message_id: str, at: float) -> dict[str, Any]:
        """Return the body of ``POST /v1/events`` with the event of a number."""
        details = {
            "project_id": project,
            "resource_id": self.resource(number),
            "trial": self.token,
            "status": STATE,
        }
        return {"event": {"time": iso(at), "type": EVENT_TYPE, "id": message_id, "details": details}}

    def resource(self, number: int) -> str:
        """Return what the event of a number is about."""
        return f"{self.token}-{number}"

    def records(
        self, number: int, project: str, message_id: str, at: float, *, alarm_id: str, made: float
    ) -> tuple[Alarm, Event]:
        """Return the alarm on the resource of an event, which exists since *made*, and the event."""
        resource = self.resource(number)
        alarm = Alarm(
            made, probe_alarm(alarm_id, resource), project, resource, STATE, self.name, (self.path,)
        )
        return alarm, Event(message_id, project, resource, STATE, at)


def probe_alarm(alarm_id: str, resource: str) -> str:
    """Return the id that the history has for the alarm on a resource."""
    return f"{alarm_id}/{resource}"


def iso(at: float) -> str:
    """Return epoch seconds as a time of RFC 3339."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()


def seconds_of(text: str) -> float:
    """Return a time in epoch seconds; 0 if *text* is not one. A time without a zone is UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def event_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the event in the body of a webhook, or an empty object."""
    reason = body.get("reason_data")
    event = reason.get("event") if isinstance(reason, Mapping) else None
    return event if isinstance(event, Mapping) else {}
