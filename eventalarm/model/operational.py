"""Operational events: what eventalarm reports of itself to those whom it concerns, as events of theirs."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from eventalarm.model.alarms import TIMER_EVENT_TYPE
from eventalarm.model.circuits import Circuit, CircuitState
from eventalarm.model.events import JSONDict


class OperationalType(enum.StrEnum):
    """The event types of operational events."""

    DESTINATION_FAILING = "eventalarm.destination.failing"
    DESTINATION_DISABLED = "eventalarm.destination.disabled"
    DESTINATION_RECOVERED = "eventalarm.destination.recovered"
    DELIVERY_DEAD = "eventalarm.delivery.dead"
    RULE_INVALID = "eventalarm.rule.invalid"
    LISTENER_LOST = "eventalarm.listener.lost"

    @property
    def subject(self) -> str:
        """What it is about, as in ``[eventalarm] operational_events``."""
        return self.value.split(".")[1]


@dataclasses.dataclass(frozen=True, slots=True)
class OperationalEvent:
    """What an operational event says; times are aware UTC.

    ``resource_id`` is the managed object: a destination without secrets, the id of an alarm, or a host.
    Without a ``project_id`` it is for the infrastructure projects. ``at`` is when it happened, ``since`` when
    that began. ``status`` is the HTTP status. ``number`` is how many deliveries a dead one stands for, of
    which it has the id of the first. ``once`` identifies what several processes may report.
    """

    event_type: OperationalType
    project_id: str
    resource_id: str
    at: datetime.datetime
    alarm_id: str = ""
    delivery_id: str = ""
    reason: str = ""
    status: int | None = None
    since: datetime.datetime | None = None
    number: int = 1
    once: str = ""


def event_of_circuit(
    before: Circuit | None, after: Circuit, now: datetime.datetime, why: str = ""
) -> OperationalEvent | None:
    """Return the operational event of the change of a circuit at *now*, None if it does not matter to owners.

    *before* is None if the circuit had no row, so was closed; *why* is the reason if the circuit has none.
    """
    was = before.state if before is not None else CircuitState.CLOSED
    if after.state == CircuitState.DISABLED and was != CircuitState.DISABLED:
        event_type = OperationalType.DESTINATION_DISABLED
    elif after.defers and was == CircuitState.CLOSED:
        event_type = OperationalType.DESTINATION_FAILING
    elif after.state == CircuitState.CLOSED and was != CircuitState.CLOSED:
        event_type = OperationalType.DESTINATION_RECOVERED
    else:
        return None
    since = after.failing_since or (before.failing_since if before is not None else None)
    return OperationalEvent(
        event_type,
        after.project_id,
        after.destination,
        now,
        reason=after.error or why,
        status=after.status,
        since=since,
    )


def destination_of(event: object) -> str:
    """Return the destination that the body of an operational event is about, "" for any other event.

    Of an event of a timer it is the managed object, whatever that is: its alarm may be about a destination.
    """
    event_type = event.get("event_type") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(event_type, str):
        return ""
    if event_type in _ABOUT_DESTINATIONS:
        return _trait(event, "destination")
    return _trait(event, "resource_id") if event_type.startswith(TIMER_EVENT_TYPE) else ""


_ABOUT_DESTINATIONS = frozenset(
    one.value for one in OperationalType if one.subject in {"destination", "delivery"}
)


def _trait(event: JSONDict, name: str) -> str:
    for trait in event.get("traits") or ():
        if isinstance(trait, list | tuple) and len(trait) == 3 and trait[0] == name:
            return trait[2] if isinstance(trait[2], str) else ""
    return ""
