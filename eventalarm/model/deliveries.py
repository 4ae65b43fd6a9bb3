"""Notifications of transitions, and their deliveries to actions."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Final

from eventalarm.model.events import JSONDict
from eventalarm.model.profiles import Profile


@dataclasses.dataclass(frozen=True, slots=True)
class Notification:
    """The fields of Aodh's webhook body, in Aodh's order.

    ``event_json`` is ``reason_data["event"]`` as JSON, one text for all notifications of the event; it is
    empty where the event was never encoded.
    """

    alarm_name: str
    alarm_id: str
    severity: str | None
    previous: str
    current: str
    reason: str
    reason_data: JSONDict
    event_json: str = dataclasses.field(default="", compare=False)

    def body(self) -> JSONDict:
        """Return the webhook body (Aodh ``notifier/rest.py``)."""
        return {
            "alarm_name": self.alarm_name,
            "alarm_id": self.alarm_id,
            "severity": self.severity,
            "previous": self.previous,
            "current": self.current,
            "reason": self.reason,
            "reason_data": self.reason_data,
        }

    def encoded(self) -> bytes:
        """Return the body as JSON; the event, which may be large, is not encoded again."""
        if not self.event_json:
            return json.dumps(self.body()).encode()
        fields = {**self.body(), "reason_data": None}
        data = dict.fromkeys(self.reason_data) | {
            name: value for name, value in self.reason_data.items() if name != "event"
        }
        before, after = json.dumps(data).split('"event": null', 1)
        head = json.dumps(fields).removesuffix("null}")
        return f'{head}{before}"event": {self.event_json}{after}}}'.encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One call of an action, owed for one transition; its row in the outbox outlives any process.

    ``order_key`` is shared by the deliveries of one alarm to one action, which are sent in the order of
    ``seq``. ``attempts`` counts finished attempts. A delivery to a subscriber of the IFA API has a
    ``subscription_id``, and a ``body`` that is sent instead of the notification's. ``losses`` counts
    how often a process ended, or lost its lease, while it may have been sending the delivery. A delivery that
    repeats the one named ``replay_of`` has the ``replay_id`` of its replay. ``destination`` is what receives
    the action, for searches and for its circuit. ``retried_at`` is when it was last retried by hand.
    ``superseded_by`` is a later unfinished delivery of the same order key and managed object, because of
    which this one need not be sent; empty unless the outbox was asked for it.
    ``profile`` is that of its event, if that is profiled.
    """

    delivery_id: str
    order_key: str
    alarm_id: str
    project_id: str
    action: str
    notification: Notification
    created_at: datetime.datetime
    attempts: int = 0
    seq: int = 0
    subscription_id: str = ""
    body: str = ""
    losses: int = 0
    destination: str = ""
    replay_id: str = ""
    replay_of: str = ""
    retried_at: datetime.datetime | None = None
    superseded_by: str = ""
    profile: Profile | None = dataclasses.field(default=None, compare=False)

    @property
    def owed_since(self) -> datetime.datetime:
        """When it was created, or last retried by hand; its age counts from then."""
        return self.retried_at or self.created_at

    @property
    def size(self) -> int:
        """Size of the body to send, in characters; 0 if its event was never encoded."""
        return len(self.body) or len(self.notification.event_json)


class DeliveryState(enum.StrEnum):
    """State of a delivery.

    A deferred one waits until the circuit of its destination closes. A superseded one was not sent, because
    a later one with a newer state of the same managed object was owed already.
    """

    PENDING = "pending"
    LEASED = "leased"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPERSEDED = "superseded"


# The states as the database stores them.
UNFINISHED: Final = (
    DeliveryState.PENDING.value,
    DeliveryState.LEASED.value,
    DeliveryState.DEFERRED.value,
)
FINISHED: Final = (
    DeliveryState.FAILED.value,
    DeliveryState.DELIVERED.value,
    DeliveryState.SUPERSEDED.value,
)


@dataclasses.dataclass(frozen=True, slots=True)
class DeliveryResult:
    """Result of one attempt: delivered, to be retried after ``retry_in`` seconds, deferred, or failed.

    Or superseded, without an attempt.

    A non-empty ``action`` replaces that of the delivery in the database. ``latency`` is how long the attempt
    took, in seconds, and None if none was made. A non-empty ``profile`` is stored with the delivery.
    """

    delivery_id: str
    state: DeliveryState
    attempts: int
    status: int | None = None
    error: str = ""
    retry_in: float = 0.0
    action: str = ""
    latency: float | None = None
    profile: str = ""


# The text behind these reasons comes from plugins of Aodh, which may name servers of the operator.
_INTERNAL: Final = frozenset({"plugin_error", "plugin_unusable"})


def shown_reason(error: str) -> str:
    """Return the error of an attempt as its project sees it."""
    reason = error.partition(":")[0]
    return f"{reason}: see the log of the listener" if reason in _INTERNAL else error
