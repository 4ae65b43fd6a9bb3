"""Deliveries as rows of the outbox, and back: the notification is rebuilt from its transition."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryState, JSONDict, Notification
from eventalarm.storage import events
from eventalarm.storage.tables import delivery, transition
from eventalarm.storage.text import clean

UNFINISHED: Final = (DeliveryState.PENDING.value, DeliveryState.LEASED.value)
_NOTIFIED: Final = (
    *("alarm_name", "severity", "previous", "current", "reason", "event", "event_id"),
    *("kind", "occurrence_id", "managed_object", "raised_count"),
)


class _Event(NamedTuple):
    """An event as it was stored, and its JSON; no text where there is no event, or none that can be read."""

    body: Any
    text: str


NO_EVENT: Final = _Event({}, "")


def reason_data(
    event: Any, *, kind: str | None, occurrence_id: str | None, managed_object: str | None, raised: int | None
) -> JSONDict:
    """Return what consumers find under ``reason_data``: Aodh's two fields, and which life it is about.

    Without *raised*, on how many objects the alarm is raised, only Aodh's: so for every ``event`` alarm.
    """
    said: JSONDict = {"type": "event", "event": event}
    if raised is not None:
        said["occurrence"] = {
            "id": occurrence_id,
            "managed_object": managed_object,
            "transition": kind,
            "raised": raised,
        }
    return said


def to_row(item: Delivery, transition_id: str, owner: str | None, due: datetime.datetime) -> JSONDict:
    """Return the new row of *item*: leased to *owner*, or pending and due at *due*."""
    return {
        "delivery_id": item.delivery_id,
        "transition_id": transition_id,
        "order_key": item.order_key,
        "alarm_id": item.alarm_id,
        "project_id": item.project_id,
        "action": clean(item.action),
        "state": (DeliveryState.LEASED if owner else DeliveryState.PENDING).value,
        "owner": owner,
        "attempts": item.attempts,
        "next_attempt_at": due,
        "created_at": item.created_at,
        "subscription_id": item.subscription_id or None,
        "body": clean(item.body) if item.body else None,
        "size": item.size,
    }


def read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Delivery]:
    """Return the deliveries that fulfil *which*, oldest first, as they were when they were enqueued."""
    query = (
        sa.select(delivery, *(transition.c[name] for name in _NOTIFIED))
        .outerjoin(transition, transition.c.transition_id == delivery.c.transition_id)
        .where(which)
        .order_by(delivery.c.seq)
    )
    rows = [row._mapping for row in connection.execute(query)]
    # Those of one event share what was read of it: it may be large, and they many.
    stored = events.bodies(connection, [row["event_id"] for row in rows])
    shared = {name: _read(text) for name, text in stored.items()}
    return [_delivery(row, shared) for row in rows]


def _delivery(row: sa.RowMapping, shared: Mapping[str, _Event]) -> Delivery:
    event = shared.get(row["event_id"], NO_EVENT) if row["event_id"] else _read(row["event"])
    notification = Notification(
        alarm_name=row["alarm_name"] or "",
        alarm_id=row["alarm_id"],
        severity=row["severity"],
        previous=row["previous"] or "",
        current=row["current"] or "",
        reason=row["reason"] or "",
        reason_data=reason_data(
            event.body,
            kind=row["kind"],
            occurrence_id=row["occurrence_id"],
            managed_object=row["managed_object"],
            raised=row["raised_count"],
        ),
        event_json=event.text,
    )
    return Delivery(
        delivery_id=row["delivery_id"],
        order_key=row["order_key"],
        alarm_id=row["alarm_id"],
        project_id=row["project_id"],
        # Without its transition there is nothing to tell: an action that no sender accepts.
        action=row["action"] if row["current"] is not None or row["body"] else "",
        notification=notification,
        created_at=row["created_at"],
        attempts=row["attempts"],
        seq=row["seq"],
        subscription_id=row["subscription_id"] or "",
        body=row["body"] or "",
        losses=row["losses"],
    )


def _read(text: str | None) -> _Event:
    try:
        return _Event(json.loads(text), text) if text else NO_EVENT
    except (ValueError, RecursionError):
        return NO_EVENT
