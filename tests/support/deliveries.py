"""Builders of deliveries and calls, and the options of what sends them."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import uuid
from typing import Any

from aodh import opts as aodh_opts
from oslo_config import cfg

from eventalarm import conf
from eventalarm.delivery.queues import Call
from eventalarm.delivery.senders.base import Destination
from eventalarm.model import UTC, Delivery, Notification
from eventalarm.storage.deliveries import order_key

NOW = datetime.datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
EVENT = {
    "message_id": "m",
    "event_type": "compute.instance.update",
    "generated": "2026-05-01T11:59:59",
    "traits": [["state", 1, "error"], ["display_name", 1, "caf\u00e9"]],
}

_NUMBERS = itertools.count(1)


def make_delivery(action: str = "http://127.0.0.1:1/", alarm_id: str = "", **fields: Any) -> Delivery:
    """Return a delivery; each has its own alarm unless *alarm_id* is given."""
    alarm_id = alarm_id or f"alarm-{next(_NUMBERS)}"
    notification = Notification(
        alarm_name="disk",
        alarm_id=alarm_id,
        severity="low",
        previous="ok",
        current="alarm",
        reason="because",
        reason_data={"type": "event", "event": EVENT},
    )
    known: dict[str, Any] = {
        "delivery_id": str(uuid.uuid4()),
        "order_key": order_key(alarm_id, action),
        "alarm_id": alarm_id,
        "project_id": "p",
        "action": action,
        "notification": notification,
        "created_at": datetime.datetime.now(UTC),
    }
    return Delivery(**{**known, **fields})


def make_change(
    action: str, managed_object: str, transition: str = "raised", alarm_id: str = "a", **fields: Any
) -> Delivery:
    """Return a delivery of a ``notification`` alarm about *managed_object*."""
    made = make_delivery(action, alarm_id, **fields)
    occurrence = {"id": "o", "managed_object": managed_object, "transition": transition, "raised": 1}
    data = {**made.notification.reason_data, "occurrence": occurrence}
    return dataclasses.replace(made, notification=dataclasses.replace(made.notification, reason_data=data))


def make_call(host: str, limit: int = 16, total: int = 0, **fields: Any) -> Call:
    """Return a call for *host*; *fields* are those of its delivery."""
    return Call("me", make_delivery(**fields), Destination("http", host, 80, limit, total))


def sender_options() -> cfg.ConfigOpts:
    """Return the options of Aodh and eventalarm, with their defaults."""
    made = cfg.ConfigOpts()
    for group, opts in aodh_opts.list_opts():
        made.register_opts(list(opts), group=None if group == "DEFAULT" else group)
    conf.register_opts(made)
    made([], default_config_files=[])
    return made


def longest(low: float, high: float) -> float:
    """Stand in for random.uniform: always return the longest wait."""
    return high
