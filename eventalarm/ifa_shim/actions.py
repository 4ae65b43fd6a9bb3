"""Actions ``sol003+https://`` and ``tacker+https://``: their bodies, and the senders of our delivery worker.

An action gets no more than the fields of Aodh's webhook, whichever service evaluated the alarm, so Aodh's
notifiers use the same bodies."""

from __future__ import annotations

import datetime
import json
import urllib.parse
import uuid
from collections.abc import Mapping
from typing import Any, Final

from eventalarm import tacker_action
from eventalarm.delivery import action
from eventalarm.delivery.action import without_prefix
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import AodhAlarm
from eventalarm.ifa_shim.filter_match import NotificationType
from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.subscriptions.notifications import (
    VERSION_HEADER,
    AlarmNotification,
    Style,
    notification_body,
)
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM, OK, Delivery, Event, Kind, Notification, Occurrence, Transition
from eventalarm.tacker_action import FAULT_ID, FAULT_TYPE

Document = dict[str, Any]

# Namespace of the ids of notifications. Never change it: receivers recognize repetitions by these ids.
NAMESPACE: Final = uuid.UUID("4f0a6a57-3f8e-5d0b-8a39-6d0f6e2f7c11")
HOST_ID: Final = "host_id"
OF_TACKER: Final = frozenset({FAULT_ID, FAULT_TYPE, HOST_ID})
SERVER: Final = "{server_id}"


def alarm_of(notification: Notification, at: datetime.datetime, settings: Settings) -> IfaAlarm:
    """Return the alarm as far as a webhook's fields describe it; *at* is when its state changed."""
    data = notification.reason_data if isinstance(notification.reason_data, Mapping) else {}
    raised = notification.current != OK
    kind = str(data.get("type") or "")
    occurrence = Occurrence(
        occurrence_id=notification.alarm_id,
        alarm_id=notification.alarm_id,
        project_id="",
        managed_object="",
        raised=raised,
        event_time=at,
        raised_at=at,
        cleared_at=None if raised else at,
    )
    row = AodhAlarm(
        alarm_id=notification.alarm_id,
        project_id="",
        type=kind,
        name=notification.alarm_name,
        state=notification.current if raised else ALARM,
        severity=notification.severity,
        state_reason=notification.reason,
    )
    return from_occurrence(occurrence, [_raising(notification, data.get("event"), kind, at)], row, settings)


def _raising(notification: Notification, event: object, kind: str, at: datetime.datetime) -> Transition:
    """Return the transition that a webhook reports, as if it had raised the alarm."""
    body = dict(event) if isinstance(event, Mapping) else {}
    body["message_id"] = str(body.get("message_id") or "")
    body["event_type"] = str(body.get("event_type") or f"aodh.{kind or 'alarm'}")
    return Transition(
        transition_id="",
        kind=Kind.RAISED,
        occurrence_id=notification.alarm_id,
        alarm_id=notification.alarm_id,
        project_id="",
        managed_object="",
        alarm_name=notification.alarm_name,
        severity=notification.severity,
        previous=notification.previous,
        current=notification.current,
        reason=notification.reason,
        event=Event(body),
        event_time=at,
        recorded_at=at,
    )


def sol003_notification(
    notification: Notification, at: datetime.datetime, delivery_id: str, settings: Settings, style: Style
) -> Document:
    """Return SOL003's notification for a webhook: AlarmNotification, or AlarmClearedNotification.

    The action stands for the subscription, whose id is that of the alarm.
    """
    kind = NotificationType.CLEARED if notification.current == OK else NotificationType.ALARM
    alarm = alarm_of(notification, at, settings)
    notification_id = str(uuid.uuid5(NAMESPACE, delivery_id))
    return notification_body(
        AlarmNotification(notification_id, kind, alarm, at), notification.alarm_id, style
    )


def tacker_notifications(
    action: str, notification: Notification, at: datetime.datetime, settings: Settings
) -> tuple[str, list[Document]]:
    """Return the URL to POST to, and Tacker's fault notifications: one for each ``fault_id``.

    The parameters ``fault_id`` (4 characters, repeatable), ``fault_type`` (2 characters, 10 when missing)
    and ``host_id`` of the action go into the notification; ``{server_id}`` in its path becomes the managed
    object. There are none unless the alarm is raised: Tacker has no notification of a clear.

    :raises DeliveryError: permanent, when the action has no such ``fault_id`` or ``fault_type``.
    """
    parts = urllib.parse.urlsplit(without_prefix(action))
    parameters = urllib.parse.parse_qs(parts.query)
    try:
        faults, fault_type = tacker_action.faults(action)
    except ValueError as exc:
        raise DeliveryError("bad_action", str(exc), permanent=True) from exc
    managed_object = alarm_of(notification, at, settings).managed_object_id
    kept = [part for part in parts.query.split("&") if part and part.partition("=")[0] not in OF_TACKER]
    path = parts.path.replace(urllib.parse.quote(SERVER), SERVER)
    path = path.replace(SERVER, urllib.parse.quote(managed_object, safe=""))
    url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "&".join(kept), ""))
    same = {"alarm_id": notification.alarm_id, FAULT_TYPE: fault_type}
    if HOST_ID in parameters:
        same[HOST_ID] = parameters[HOST_ID][-1]
    raised = notification.current == ALARM
    return url, [{"notification": {**same, FAULT_ID: fault}} for fault in faults if raised]


class _Sender:
    """Base of both senders: webhooks with another body, through the same session and egress filter."""

    def __init__(self, http: HttpSender, settings: Settings) -> None:
        self._http = http
        self._settings = settings

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the action."""
        return self._http.destination(delivery)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class Sol003Sender(_Sender):
    """Sends SOL003's notifications, with the credentials in the URL, if any."""

    def __init__(self, http: HttpSender, settings: Settings, style: Style) -> None:
        super().__init__(http, settings)
        self._style = style

    async def send(self, delivery: Delivery) -> int:
        """POST one notification.

        :raises DeliveryError: as :meth:`HttpSender.send`.
        """
        notification, at = delivery.notification, delivery.created_at
        body = sol003_notification(notification, at, delivery.delivery_id, self._settings, self._style)
        url = action.http_url(without_prefix(delivery.action))
        return await self._http.post(url, delivery, VERSION_HEADER, _content(body))


class TackerSender(_Sender):
    """Sends Tacker's fault notifications."""

    async def send(self, delivery: Delivery) -> int | None:
        """POST one notification for each fault id; none unless the alarm is raised.

        Those after the first are signed with an id of their own, since consumers ignore an id that they know.

        :raises DeliveryError: permanent, when the action cannot be read, and as :meth:`HttpSender.send`.
        """
        notification, at = delivery.notification, delivery.created_at
        url, bodies = tacker_notifications(delivery.action, notification, at, self._settings)
        status = None
        for number, body in enumerate(bodies):
            message_id = f"{delivery.delivery_id}-{number}" if number else ""
            status = await self._http.post(
                action.http_url(url), delivery, None, _content(body), message_id=message_id
            )
        return status


def _content(body: Any) -> bytes:
    return json.dumps(body).encode()
