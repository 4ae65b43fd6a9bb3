"""A correct history of a disruption trial, and changes that make false ones of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from eventalarm.trial.history.records import (
    Alarm,
    Committed,
    Delivery,
    Edit,
    Event,
    Final,
    Publish,
    Receipt,
    Record,
    Run,
    Transition,
)

NOON = 1_767_268_800.0
T = TypeVar("T")
Change = Callable[[list[Any]], list[Any]]


def alarm(name: str, project: str = "p", resource: str = "vm", **fields: Any) -> Alarm:
    return Alarm(NOON - 60, name, project, resource, "error", name, (f"http://c:1/steady/{name}",), **fields)


def publish(at: float, *events: Event) -> Publish:
    return Publish(NOON + at, NOON + at + 0.01, events)


def event(message: str, at: float, state: str = "error", project: str = "p", resource: str = "vm") -> Event:
    return Event(message, project, resource, state, NOON + at)


def row(name: str, message: str, kind: str, at: float, recorded: float | None = None) -> Transition:
    moment = NOON + (at + 0.05 if recorded is None else recorded)
    return Transition(f"t-{name}-{message}", name, message, kind, NOON + at, moment, name)


def delivery(seq: int, name: str, message: str, state: str = "delivered") -> Delivery:
    return Delivery(seq, f"d-{name}-{message}", f"t-{name}-{message}", f"http://c:1/steady/{name}", state, 1)


def receipt(name: str, message: str, at: float, status: int = 200) -> Receipt:
    moment = NOON + at
    return Receipt(moment, moment, "steady", f"/steady/{name}", f"d-{name}-{message}", message, status)


# ``often`` fires thrice, the second event late; ``clears`` recovers; ``edited`` is renamed, then disabled;
# ``other`` watches the same resource name in another project.
GOOD: tuple[Record, ...] = (
    Run("good"),
    alarm("often", repeats=True),
    alarm("clears", resource="disk", clears=True),
    alarm("edited", resource="net", repeats=True),
    alarm("other", project="q", repeats=True),
    publish(1, event("m1", 1)),
    publish(1.5, event("m3", 3)),
    publish(2, event("m2", 1.2)),
    publish(2, event("m2", 1.2)),
    publish(4, event("fault", 4, resource="disk")),
    Committed(NOON + 4.5, ("fault",)),
    publish(5, event("recovery", 5, "active", resource="disk")),
    publish(6, event("e1", 6, resource="net")),
    Committed(NOON + 6.5, ("e1",)),
    Edit(NOON + 7, NOON + 7.1, "edited", {"name": "renamed"}),
    publish(8, event("e2", 8, resource="net")),
    Committed(NOON + 8.5, ("e2",)),
    Edit(NOON + 9, NOON + 9.1, "edited", {"enabled": False}),
    publish(10, event("e3", 10, resource="net")),
    publish(11, event("q1", 11, project="q")),
    row("often", "m1", "raised", 1),
    row("often", "m3", "changed", 1.6),
    row("often", "m2", "late", 1.2, 2.1),
    row("clears", "fault", "raised", 4),
    row("clears", "recovery", "cleared", 5),
    row("edited", "e1", "raised", 6),
    dataclasses.replace(row("edited", "e2", "raised", 8), alarm_name="renamed"),
    row("other", "q1", "raised", 11),
    delivery(1, "often", "m1"),
    delivery(2, "often", "m3"),
    delivery(3, "clears", "fault"),
    delivery(4, "clears", "recovery"),
    delivery(5, "edited", "e1"),
    delivery(6, "edited", "e2"),
    delivery(7, "other", "q1", "failed"),
    receipt("often", "m1", 1.1),
    receipt("often", "m3", 1.7),
    receipt("clears", "fault", 4.1),
    receipt("clears", "recovery", 5.1),
    receipt("edited", "e1", 6.1),
    receipt("edited", "e2", 8.1, 503),
    receipt("edited", "e2", 8.2),
    receipt("other", "q1", 11.1, 410),
    Final("edited", True, {"name": "renamed", "enabled": False}),
)


def place_of(kind: type[T], found: Sequence[Any], **fields: Any) -> int:
    return next(
        number
        for number, one in enumerate(found)
        if isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items())
    )


def without(kind: type[Any], **fields: Any) -> Change:
    return lambda found: [one for n, one in enumerate(found) if n != place_of(kind, found, **fields)]


def plus(*more: Record) -> Change:
    return lambda found: [*found, *more]


def but(change: dict[str, Any], kind: type[Any], **fields: Any) -> Change:
    def changed(found: list[Any]) -> list[Any]:
        place = place_of(kind, found, **fields)
        found = list(found)
        found[place] = dataclasses.replace(found[place], **change)
        return found

    return changed


def each(*changes: Change) -> Change:
    def all_of(found: list[Any]) -> list[Any]:
        for change in changes:
            found = change(found)
        return found

    return all_of


def no_trace(message: str) -> Change:
    """Remove the transition of an event, its delivery and its webhook."""
    return lambda found: [
        one
        for one in found
        if not (isinstance(one, Transition | Receipt) and one.message_id == message)
        and not (isinstance(one, Delivery) and one.delivery_id.endswith(f"-{message}"))
    ]


def anew(message: str, name: str, kind: str, at: float, seq: int) -> Change:
    """Add a transition with its delivery and its webhook."""
    return plus(row(name, message, kind, at), delivery(seq, name, message), receipt(name, message, at + 0.1))
