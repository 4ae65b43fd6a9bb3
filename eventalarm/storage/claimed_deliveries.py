"""Reads deliveries that were claimed, with what their notifications say of the transition and its event."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventalarm.model import Delivery, DeliveryState, Kind, Notification, Profile
from eventalarm.storage.claims import by_index, is_unfinished
from eventalarm.storage.deliveries import notified_reason, reason_data
from eventalarm.storage.tables import delivery, event, transition

_SENT: Final = (
    *("delivery_id", "order_key", "alarm_id", "project_id", "action", "created_at", "attempts", "seq"),
    *("subscription_id", "body", "losses", "destination", "replay_id", "replay_of", "state", "owner"),
    *("retried_at", "profile"),
)
_NOTIFIED: Final = (
    *("alarm_name", "severity", "previous", "current", "reason", "event", "event_id"),
    *("kind", "occurrence_id", "managed_object", "raised_count", "objects", "inhibited_by"),
)
_SEQS: Final[Any] = sa.bindparam("seqs", expanding=True)
READ: Final = (
    sa.select(*(delivery.c[name] for name in _SENT), *(transition.c[name] for name in _NOTIFIED))
    .outerjoin(transition, transition.c.transition_id == delivery.c.transition_id)
    .where(delivery.c.seq.in_(_SEQS))
    .order_by(delivery.c.seq)
)


def _later() -> sa.ColumnElement[Any]:
    """Return the id of an unfinished delivery that makes one unnecessary, or NULL.

    It has the same order key and managed object, and is later. What somebody asked to be sent, by a retry or
    a replay, is never unnecessary, and a replay makes nothing unnecessary, since it repeats old states. The
    databases are made to begin with the transitions of the managed object, which are few: the deliveries
    that wait under one order key can be many.
    """
    later, after = delivery.alias("later"), transition.alias("after")
    column = later.c.order_key.type
    query = (
        sa.select(later.c.delivery_id)
        .join_from(after, later, later.c.transition_id == after.c.transition_id)
        .where(
            after.c.alarm_id == transition.c.alarm_id,
            after.c.managed_object == transition.c.managed_object,
            _is_state(after),
            # By expressions, else PostgreSQL may begin with what waits.
            later.c.order_key.concat(sa.literal_column("''", column)) == delivery.c.order_key,
            later.c.seq + 0 > delivery.c.seq,
            is_unfinished(later),
            later.c.replay_id.is_(None),
            later.c.subscription_id.is_(None),
        )
    )
    query = by_index(query, later, "transition")
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(after, "FORCE INDEX (uq_eventalarm_transition_once)", dialect)
    may_be = sa.and_(
        _is_state(transition),
        *(delivery.c[name].is_(None) for name in ("replay_id", "retried_at", "subscription_id")),
    )
    return sa.case((may_be, query.limit(1).correlate(delivery, transition).scalar_subquery()))


def _is_state(table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition for transitions of ``notification`` alarms that set the state of an object.

    One of an ``event`` alarm has no number of raised objects: each of its events is an incident by itself.
    """
    return sa.and_(table.c.raised_count.is_not(None), table.c.kind != Kind.LATE.value)


READ_SUPERSEDED: Final = READ.add_columns(_later().label("superseded_by"))
# Deliveries of one event share its parsed body: it may be large, and they may be many.
READ_EVENTS: Final = sa.select(event.c.event_id, event.c.body).where(
    event.c.event_id.in_(
        sa.select(transition.c.event_id)
        .join(delivery, delivery.c.transition_id == transition.c.transition_id)
        .where(delivery.c.seq.in_(_SEQS))
    )
)


class _Event(NamedTuple):
    """A stored event and its JSON; ``text`` is empty if there is no event or it cannot be read."""

    body: Any
    text: str


NO_EVENT: Final = _Event({}, "")


class AskedDeliveries:
    """Deliveries that are asked for now and read later: in a pipeline, with what else is done meanwhile.

    :param superseded: whether to find out which of them need not be sent.
    """

    def __init__(self, connection: sa.Connection, seqs: Sequence[int], *, superseded: bool = False) -> None:
        self._rows = connection.execute(READ_SUPERSEDED if superseded else READ, {"seqs": seqs})
        self._events = connection.execute(READ_EVENTS, {"seqs": seqs})

    def read(self, worker_id: str, which: Collection[int]) -> list[Delivery]:
        """Return those of the numbers *which* that *worker_id* holds, oldest first, as they were enqueued."""
        rows = [row._mapping for row in self._rows if row.seq in which and row.owner == worker_id]
        shared = {row.event_id: _read(row.body) for row in self._events}
        return [_delivery(row, shared) for row in rows if row["state"] == DeliveryState.LEASED.value]


def _delivery(row: sa.RowMapping, shared: Mapping[str, _Event]) -> Delivery:
    known = shared.get(row["event_id"], NO_EVENT) if row["event_id"] else _read(row["event"])
    return Delivery(
        delivery_id=row["delivery_id"],
        order_key=row["order_key"],
        alarm_id=row["alarm_id"],
        project_id=row["project_id"],
        # Without its transition nothing can be sent: an empty action, which no sender accepts.
        action=row["action"] if row["current"] is not None or row["body"] else "",
        notification=_notification(row, known),
        created_at=row["created_at"],
        attempts=row["attempts"],
        seq=row["seq"],
        subscription_id=row["subscription_id"] or "",
        body=row["body"] or "",
        losses=row["losses"],
        destination=row["destination"] or "",
        replay_id=row["replay_id"] or "",
        replay_of=row["replay_of"] or "",
        retried_at=row["retried_at"],
        superseded_by=row.get("superseded_by") or "",
        profile=Profile.parse(row["profile"]),
    )


def _notification(row: sa.RowMapping, known: _Event) -> Notification:
    return Notification(
        alarm_name=row["alarm_name"] or "",
        alarm_id=row["alarm_id"],
        severity=row["severity"],
        previous=row["previous"] or "",
        current=row["current"] or "",
        reason=notified_reason(row["reason"] or "", row["inhibited_by"]),
        reason_data=reason_data(
            known.body,
            kind=row["kind"],
            occurrence_id=row["occurrence_id"],
            managed_object=row["managed_object"],
            raised=row["raised_count"],
            objects=row["objects"],
            inhibited_by=row["inhibited_by"],
        ),
        event_json=known.text,
    )


def _read(text: str | None) -> _Event:
    try:
        return _Event(json.loads(text), text) if text else NO_EVENT
    except (ValueError, RecursionError):
        return NO_EVENT
