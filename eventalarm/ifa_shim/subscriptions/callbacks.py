"""Callbacks of subscriptions: which are allowed, the test of a callback, and sending notifications."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import re2

from eventalarm.delivery import action
from eventalarm.delivery.action import http_url
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.network import VERIFY_OPTION, TlsContexts
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, EventAlarmError, InvalidOption
from eventalarm.ifa_shim.options import CallbackOptions
from eventalarm.ifa_shim.subscriptions.auth import SUPPORTED, TLS_CERT, Authentication
from eventalarm.ifa_shim.subscriptions.notifications import VERSION_HEADER, Subscribers
from eventalarm.model import Delivery
from eventalarm.storage.subscriptions import Subscription

MAX_URI: Final = 2000
NO_CONTENT: Final = 204
# The characters that RFC 3986 allows in a URI.
URI_CHARACTERS: Final = re2.compile(r"[!-~]*")


class BadCallback(EventAlarmError):
    """A callback or its credentials cannot be used; the text explains it to the subscriber."""


def check_uri(field: str, uri: str, options: CallbackOptions) -> None:
    """Check that *uri*, the value of *field*, is a URI that may be called.

    :raises BadCallback: when it is not a URI of an allowed scheme, or contains credentials or a fragment.
    """
    if not URI_CHARACTERS.fullmatch(uri):
        raise BadCallback(
            f"{field}: blanks, control characters and non-ASCII characters must be percent-encoded"
        )
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        raise BadCallback(f"{field} must be a URI") from exc
    if parts.scheme.lower() not in options.schemes or not parts.hostname or port == 0:
        raise BadCallback(f"{field} must be an absolute {' or '.join(sorted(options.schemes))} URI")
    if parts.fragment:
        raise BadCallback(f"{field}: remove the fragment (#): it is never sent")
    if VERIFY_OPTION in urllib.parse.parse_qs(parts.query, keep_blank_values=True):
        raise BadCallback(
            f"{field}: remove {VERIFY_OPTION}: the operator decides which certificates are verified"
        )
    if parts.username is not None or len(uri) > MAX_URI:
        raise BadCallback(
            f"{field}: move credentials to authentication; a URI must have at most {MAX_URI} characters"
        )


class Callbacks:
    """Checks and tests callbacks, which are called as webhooks are, with the same certificate.

    :raises InvalidOption: when Aodh's TLS options name files that cannot be used.
    """

    def __init__(self, options: CallbackOptions) -> None:
        self._options = options
        self._tls = TlsContexts(options.tls)

    def check(self, uri: str, authentication: Mapping[str, Any] | None) -> None:
        """Check that *uri* may be called, and that we can authenticate there as the subscriber demands.

        :raises BadCallback: when it may not, when none of the authentication types is supported, or when the
            token endpoint may not be called.
        """
        check_uri("callbackUri", uri, self._options)
        if not authentication:
            return
        kinds = set(authentication.get("authType", []))
        if kinds & SUPPORTED == {TLS_CERT}:
            if not self._options.tls.certificate:
                raise BadCallback("no certificate for TLS_CERT: the operator must configure one")
            if not uri.lower().startswith("https:"):
                raise BadCallback("TLS_CERT requires an https callback")
        if not SUPPORTED & kinds:
            raise BadCallback(f"authType must be one of {', '.join(sorted(SUPPORTED))}")
        oauth = authentication.get("paramsOauth2ClientCredentials") or {}
        if "tokenEndpoint" in oauth:
            check_uri("tokenEndpoint", oauth["tokenEndpoint"], self._options)

    def test(self, uri: str, authentication: Mapping[str, Any] | None) -> None:
        """Check that the consumer at *uri* answers 204 to a GET that is made as a later POST will be.

        Headers, credentials (a token is fetched), TLS and the encoding of the URL are those of the POST.

        :raises BadCallback: when it answers something else, or not in time.
        """
        try:
            status = asyncio.run(self._get(uri, authentication or {}))
        except TimeoutError as exc:
            raise BadCallback("the test of the callback failed: no answer in time") from exc
        except DeliveryError as exc:
            if exc.status is None:
                raise BadCallback(f"the test of the callback failed: {self._why(uri, exc)}") from exc
            status = exc.status
        if status != NO_CONTENT:
            raise BadCallback(f"the test of the callback was answered with {status} instead of {NO_CONTENT}")

    def _why(self, uri: str, why: DeliveryError) -> str:
        # A TLS 1.3 server refuses a client without certificate after the handshake, by disconnecting.
        broken = why.reason == "disconnected" or isinstance(why.__cause__, aiohttp.ClientConnectorSSLError)
        if broken and uri.lower().startswith("https:") and not self._options.tls.certificate:
            return f"{why} (this service has no client certificate)"
        return str(why)

    async def _get(self, uri: str, authentication: Mapping[str, Any]) -> int:
        url, seconds = http_url(uri), self._options.timeout
        http = HttpSender(
            DeliveryOptions(connect_timeout=seconds, total_timeout=seconds),
            egress=self._options.egress,
            tls=self._tls,
        )

        async def get(headers: Mapping[str, str]) -> int:
            return await http.get(url, {**VERSION_HEADER, **headers})

        try:
            async with asyncio.timeout(seconds):
                return await Authentication(http).call("", authentication, get)
        finally:
            await http.close()


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

        :raises DeliveryError: ``unsubscribed`` or ``suspended`` (permanent) when the subscription ended or is
            suspended, ``credentials`` or ``token`` when we cannot authenticate, and as
            :meth:`HttpSender.send`.
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
