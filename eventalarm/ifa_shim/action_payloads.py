"""From the fields of Aodh's webhook to what receivers of NFV software read. Pure.

An action knows no more than those fields, whoever evaluated the alarm: so these functions serve our own
delivery worker and Aodh's notifier alike.
"""

from __future__ import annotations

import datetime
import urllib.parse
import uuid
from collections.abc import Mapping
from typing import Any, Final

from eventalarm import tacker_action
from eventalarm.exceptions import DeliveryError
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.own import StoredTransition
from eventalarm.ifa_shim.subscriptions.payloads import AlarmNotification, Style, body
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, OK, Kind, Notification, Occurrence
from eventalarm.tacker_action import FAULT_ID, FAULT_TYPE

Document = dict[str, Any]

# Names what one action is told: never change it, receivers tell repetitions by these ids.
NAMESPACE: Final = uuid.UUID("4f0a6a57-3f8e-5d0b-8a39-6d0f6e2f7c11")
HOST_ID: Final = "host_id"
OF_TACKER: Final = frozenset({FAULT_ID, FAULT_TYPE, HOST_ID})
SERVER: Final = "{server_id}"


def alarm_of(told: Notification, at: datetime.datetime, settings: Settings) -> IfaAlarm:
    """Return the alarm as far as a webhook's fields tell of it; *at* is when its state changed."""
    data = told.reason_data if isinstance(told.reason_data, Mapping) else {}
    event = data.get("event")
    event = event if isinstance(event, Mapping) else {}
    standing = told.current != OK
    step = StoredTransition(
        kind=Kind.RAISED,
        at=at,
        event_time=at,
        message_id=str(event.get("message_id") or ""),
        event_type=str(event.get("event_type") or f"aodh.{data.get('type') or 'alarm'}"),
        alarm_name=told.alarm_name,
        severity=told.severity,
        reason=told.reason,
        event=event,
    )
    life = Occurrence(
        occurrence_id=told.alarm_id,
        alarm_id=told.alarm_id,
        project_id="",
        managed_object="",
        raised=standing,
        event_time=at,
        raised_at=at,
        cleared_at=None if standing else at,
    )
    row = AodhAlarm(
        alarm_id=told.alarm_id,
        project_id="",
        type=str(data.get("type") or ""),
        name=told.alarm_name,
        state=told.current if standing else ALARM,
        severity=told.severity,
        state_reason=told.reason,
    )
    return from_occurrence(life, [step], row, settings)


def sol003(
    told: Notification, at: datetime.datetime, delivery_id: str, settings: Settings, style: Style
) -> Document:
    """Return SOL003's notification of what a webhook tells: AlarmNotification, or of the clear.

    The action stands for the subscription; its id is that of the alarm.
    """
    kind = NotificationType.CLEARED if told.current == OK else NotificationType.ALARM
    notice_id = str(uuid.uuid5(NAMESPACE, delivery_id))
    return body(AlarmNotification(notice_id, kind, alarm_of(told, at, settings), at), told.alarm_id, style)


def without_prefix(action: str) -> str:
    """Return the URL of an action ``language+https://…``."""
    return action.strip().partition("+")[2]


def tacker(
    action: str, told: Notification, at: datetime.datetime, settings: Settings
) -> tuple[str, list[Document]]:
    """Return the URL to POST to, and Tacker's fault notifications: one for each ``fault_id``.

    The parameters ``fault_id`` (4 characters, repeatable), ``fault_type`` (2 characters, 10 when missing)
    and ``host_id`` of the action go into the notification; ``{server_id}`` in its path becomes the managed
    object. There are none while the alarm does not stand: Tacker knows no clear.

    :raises DeliveryError: permanent, when the action has no such ``fault_id`` or ``fault_type``.
    """
    parts = urllib.parse.urlsplit(without_prefix(action))
    asked = urllib.parse.parse_qs(parts.query)
    try:
        faults, fault_type = tacker_action.faults(action)
    except ValueError as exc:
        raise DeliveryError("bad_action", str(exc), permanent=True) from exc
    managed_object = alarm_of(told, at, settings).managed_object_id
    kept = [part for part in parts.query.split("&") if part and part.partition("=")[0] not in OF_TACKER]
    path = parts.path.replace(urllib.parse.quote(SERVER), SERVER)
    path = path.replace(SERVER, urllib.parse.quote(managed_object, safe=""))
    url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "&".join(kept), ""))
    same = {"alarm_id": told.alarm_id, FAULT_TYPE: fault_type}
    if HOST_ID in asked:
        same[HOST_ID] = asked[HOST_ID][-1]
    standing = told.current == ALARM
    return url, [{"notification": {**same, FAULT_ID: fault}} for fault in faults if standing]
