"""Sends notifications to subscribers, with their credentials and through the egress filter of callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eventalarm.delivery import action
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, InvalidOption
from eventalarm.ifa_shim.subscriptions.auth import Authentication
from eventalarm.ifa_shim.subscriptions.payloads import VERSION_HEADER
from eventalarm.ifa_shim.subscriptions.snapshot import Subscribers
from eventalarm.model import Delivery
from eventalarm.storage.subscriptions import Subscription

# Decrypts the authentication of a subscription; raises InvalidOption when no key decrypts it.
OpenSecret = Callable[[str], Mapping[str, Any]]


class SubscriberSender:
    """Sends deliveries with a ``subscription_id``; any 2xx status means that the consumer accepted it."""

    def __init__(self, subscribers: Subscribers, http: HttpSender, open_secret: OpenSecret) -> None:
        self._subscribers = subscribers
        self._http = http
        self._open_secret = open_secret
        self._authentication = Authentication(http)
        self._database = Threads("subscriptions", 1)

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the callback."""
        return self._http.destination(delivery)

    async def send(self, delivery: Delivery) -> int:
        """POST the notification to the callback.

        :raises DeliveryError: ``unsubscribed`` and ``suspended`` (permanent) when nothing may be sent to it,
            ``credentials`` and ``token`` when we cannot authenticate, and as :meth:`HttpSender.send`.
        """
        to = await self._subscription(delivery.subscription_id)
        secret = self._secret(to)
        url = action.http_url(to.callback_uri)

        async def post(headers: Mapping[str, str]) -> int:
            content = delivery.body.encode()
            return await self._http.post(url, delivery, {**VERSION_HEADER, **headers}, content)

        return await self._authentication.call(to.subscription_id, secret, post)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def _subscription(self, subscription_id: str) -> Subscription:
        found = self._subscribers.snapshot.get(subscription_id)
        if found is None or not found.listening:
            snapshot = await self._database.run(self._subscribers.refresh)
            found = snapshot.get(subscription_id)
        if found is None:
            raise DeliveryError("unsubscribed", "the subscription ended", permanent=True)
        if not found.listening:
            raise DeliveryError("suspended", "the subscription is suspended", permanent=True)
        return found

    def _secret(self, to: Subscription) -> Mapping[str, Any]:
        if not to.authentication:
            return {}
        try:
            return self._open_secret(to.authentication)
        except InvalidOption as exc:
            raise DeliveryError("credentials", "credentials_key does not decrypt the credentials") from exc
