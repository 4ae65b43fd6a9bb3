"""Actions ``sol003+https://`` and ``tacker+https://``, sent by our own delivery worker."""

from __future__ import annotations

import json
from typing import Any

from eventalarm.delivery import action
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.ifa_shim import action_payloads
from eventalarm.ifa_shim.subscriptions.payloads import VERSION_HEADER, Style
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Delivery


class _Sender:
    """Common to both: webhooks with another body, through the same session and egress filter."""

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
        body = action_payloads.sol003(notification, at, delivery.delivery_id, self._settings, self._style)
        url = action.http_url(action_payloads.without_prefix(delivery.action))
        return await self._http.post(url, delivery, VERSION_HEADER, _content(body))


class TackerSender(_Sender):
    """Sends Tacker's fault notifications."""

    async def send(self, delivery: Delivery) -> int | None:
        """POST one notification for each fault id; none unless the alarm is raised.

        :raises DeliveryError: permanent, when the action cannot be read, and as :meth:`HttpSender.send`.
        """
        notification, at = delivery.notification, delivery.created_at
        url, bodies = action_payloads.tacker(delivery.action, notification, at, self._settings)
        status = None
        for body in bodies:
            status = await self._http.post(action.http_url(url), delivery, None, _content(body))
        return status


def _content(body: Any) -> bytes:
    return json.dumps(body).encode()
