"""Actions ``cloudevents+http`` and ``cloudevents+https``: Aodh's webhook as a CloudEvent in binary mode."""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.delivery import action
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.model import UTC, Delivery, Notification

SCHEMES: Final = frozenset({"cloudevents+http", "cloudevents+https"})
SPEC_VERSION: Final = "1.0"
TYPE_PREFIX: Final = "org.openstack.aodh.alarm"
# The printable characters of ASCII that a header holds as they are; all others are percent-encoded
# (CloudEvents 1.0, HTTP Protocol Binding, section 3.1.3.2).
SAFE: Final = "".join(set(map(chr, range(ord("!"), ord("~") + 1))) - {'"', "%"})


def headers(notification: Notification, event_id: str, at: datetime.datetime) -> dict[str, str]:
    """Return the CloudEvents attributes of a webhook, as HTTP headers of the binary content mode.

    The source is the alarm's path in Aodh's API, the subject the managed object (the alarm id if Aodh does
    not know one), and the type ends with the new state: ``alarm``, ``ok`` or ``insufficient_data``.

    :param event_id: must be the same in every attempt.
    :param at: when the state changed.
    """
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event_id,
        "source": f"/v2/alarms/{urllib.parse.quote(notification.alarm_id)}",
        "type": f"{TYPE_PREFIX}.{notification.current.replace(' ', '_')}",
        "subject": _managed_object(notification.reason_data) or notification.alarm_id,
        "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    return {f"ce-{name}": _encoded(value) for name, value in attributes.items()}


def _encoded(value: str) -> str:
    # A lone surrogate, which UTF-8 cannot encode, becomes a question mark.
    return urllib.parse.quote(value.encode(errors="replace"), safe=SAFE)


def _managed_object(reason_data: Any) -> str:
    occurrence = reason_data.get("occurrence") if isinstance(reason_data, Mapping) else None
    return str(occurrence.get("managed_object") or "") if isinstance(occurrence, Mapping) else ""


class CloudEventsSender:
    """Sends webhooks with the headers of a CloudEvent; body, limits and egress filter are those of http."""

    def __init__(self, http: HttpSender) -> None:
        self._http = http

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the action."""
        return self._http.destination(delivery)

    async def send(self, delivery: Delivery) -> int:
        """POST the notification; the id is the delivery id, the same in every attempt.

        :raises DeliveryError: as :meth:`HttpSender.send`.
        """
        url = action.http_url(action.without_prefix(delivery.action))
        attributes = headers(delivery.notification, delivery.delivery_id, delivery.created_at)
        return await self._http.post(url, delivery, attributes)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
