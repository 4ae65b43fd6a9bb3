"""Which deliveries are wanted, and what is shown of each."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import DeliveryState
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.column_types import to_key
from eventalarm.storage.tables import delivery, transition

_OF_TRANSITION: Final = ("alarm_name", "severity", "previous", "current", "managed_object", "event_type")
SHOWN: Final = (
    *(delivery.c[name] for name in ("seq", "delivery_id", "alarm_id", "project_id", "action", "state")),
    *(delivery.c[name] for name in ("attempts", "earlier_attempts", "status", "error", "next_attempt_at")),
    *(delivery.c[name] for name in ("created_at", "finished_at", "retried_at")),
    *(delivery.c[name] for name in ("subscription_id", "replay_id", "replay_of", "destination")),
    *(transition.c[name] for name in (*_OF_TRANSITION, "message_id")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """A filter on deliveries; an empty field matches all.

    ``destination`` is a stored one (``scheme://host:port``). ``since`` and ``until`` (aware UTC) bound the
    time of creation. ``goes_to`` returns True for the actions that match; ``hint`` is a lower-case text that
    each of these actions contains. ``profiled``: only those with a profile.
    """

    states: tuple[str, ...] = ()
    delivery_ids: tuple[str, ...] = ()
    project_id: str = ""
    alarm_id: str = ""
    destination: str = ""
    replay_id: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    goes_to: Callable[[str], bool] | None = None
    hint: str = ""
    profiled: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as it is shown to operators; the fields of its transition are empty if that was removed.

    ``attempts`` counts all attempts. ``next_attempt_at`` is None unless the next attempt has a fixed time.
    ``destination`` is ``scheme://host:port``, empty if the action is not a URL.
    """

    seq: int
    delivery_id: str
    alarm_id: str
    project_id: str
    action: str
    state: str
    attempts: int
    status: int | None
    error: str
    next_attempt_at: datetime.datetime | None
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    retried_at: datetime.datetime | None
    alarm_name: str
    severity: str
    previous: str
    current: str
    managed_object: str
    event_type: str
    message_id: str
    subscription_id: str
    replay_id: str
    replay_of: str
    destination: str


def conditions(selection: Selection) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of a filter, except ``goes_to``."""
    found: list[sa.ColumnElement[bool]] = []
    if selection.states:
        found.append(delivery.c.state.in_(selection.states))
    if selection.delivery_ids:
        found.append(delivery.c.delivery_id.in_(selection.delivery_ids))
    if selection.destination:
        found.append(delivery.c.destination == to_key(selection.destination))
    for name in ("project_id", "alarm_id", "replay_id"):
        if value := getattr(selection, name):
            found.append(delivery.c[name] == value)
    if selection.since is not None:
        found.append(delivery.c.created_at >= selection.since)
    if selection.until is not None:
        found.append(delivery.c.created_at <= selection.until)
    if selection.profiled:
        found.append(delivery.c.profile.is_not(None))
    if selection.hint:
        found.append(sa.func.lower(delivery.c.action).contains(selection.hint, autoescape=True))
    return found


def to_stored(row: sa.Row[Any]) -> StoredDelivery:
    """Return the delivery in a row of :data:`SHOWN`, which may also have the id of its transition."""
    known: dict[str, Any] = dict(row._mapping)
    known.pop("transition_id", None)
    due = known.pop("next_attempt_at")
    waits = known["state"] == DeliveryState.PENDING.value and due not in (AT_ONCE, IN_TURN)
    attempts = known.pop("attempts") + known.pop("earlier_attempts")
    named = ("error", "message_id", "subscription_id", "replay_id", "replay_of", "destination")
    texts: dict[str, Any] = {name: known.pop(name) or "" for name in (*named, *_OF_TRANSITION)}
    return StoredDelivery(**known, **texts, attempts=attempts, next_attempt_at=due if waits else None)
