"""Authentication at the consumers of subscriptions, with the credentials that they gave."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import cachetools

from eventalarm.delivery import action
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError

UNAUTHORIZED: Final = 401
BASIC: Final = "BASIC"
OAUTH2: Final = "OAUTH2_CLIENT_CREDENTIALS"
TLS_CERT: Final = "TLS_CERT"
SUPPORTED: Final = frozenset({BASIC, OAUTH2, TLS_CERT})

# Seconds before its expiry when a token is no longer used, and the lifetime of one without an expiry.
MARGIN: Final = 10.0
LIFETIME: Final = 300.0
MOST_TOKENS: Final = 1000

# Makes the request with these headers and returns the status, which is 2xx.
Call = Callable[[Mapping[str, str]], Awaitable[int]]


def basic(name: object, password: object) -> str:
    """Return the value of the Authorization header of HTTP basic authentication."""
    text = f"{name or ''}:{password or ''}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


class Tokens:
    """The tokens of subscriptions; used in the event loop. Each is fetched by one task at a time."""

    def __init__(self, http: HttpSender, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._monotonic = monotonic
        self._kept: cachetools.LRUCache[str, tuple[str, float]] = cachetools.LRUCache(MOST_TOKENS)
        self._locks: cachetools.LRUCache[str, asyncio.Lock] = cachetools.LRUCache(MOST_TOKENS)

    async def get(self, subscription_id: str, client: Mapping[str, Any]) -> str:
        """Return a token for *client* (``paramsOauth2ClientCredentials``).

        :raises DeliveryError: ``token`` when none can be fetched.
        """
        async with self._locks.setdefault(subscription_id, asyncio.Lock()):
            kept = self._kept.get(subscription_id)
            if kept is None or kept[1] <= self._monotonic():
                kept = await self._fetch(client)
                self._kept[subscription_id] = kept
            return kept[0]

    def refuse(self, subscription_id: str, token: str) -> None:
        """Forget *token*, which the consumer refused."""
        if self._kept.get(subscription_id, ("", 0.0))[0] == token:
            del self._kept[subscription_id]

    async def _fetch(self, client: Mapping[str, Any]) -> tuple[str, float]:
        # RFC 6749 clause 2.3.1: each is form-encoded before it goes into the header.
        name, password = (quote_plus(str(client.get(key) or "")) for key in ("clientId", "clientPassword"))
        credentials = basic(name, password)
        headers = {"Authorization": credentials, "Accept": "application/json"}
        asked_at = self._monotonic()
        try:
            url = action.http_url(str(client.get("tokenEndpoint") or ""))
            text = await self._http.ask(url, {"grant_type": "client_credentials"}, headers)
            answer = json.loads(text)
            token, seconds = answer["access_token"], float(answer.get("expires_in") or LIFETIME)
        except DeliveryError as exc:
            raise DeliveryError("token", f"the token endpoint: {exc}") from exc
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise DeliveryError("token", "the token endpoint returned no token") from exc
        return str(token), asked_at + max(0.0, seconds - MARGIN)


class Authentication:
    """Adds credentials to calls; keeps the tokens that it fetched through *http*. Used in the event loop."""

    def __init__(self, http: HttpSender) -> None:
        self._tokens = Tokens(http)

    async def call(self, subscription_id: str, secret: Mapping[str, Any], call: Call) -> int:
        """Make *call* as *secret* (SOL013's SubscriptionAuthentication) demands; a refused token is renewed.

        :raises DeliveryError: ``token`` when none can be fetched, and as *call*.
        """
        kinds = secret.get("authType") or ()
        client = secret.get("paramsOauth2ClientCredentials")
        if OAUTH2 in kinds and client:
            return await self._with_token(subscription_id, client, call)
        if BASIC in kinds:
            params = secret.get("paramsBasic") or {}
            return await call({"Authorization": basic(params.get("userName"), params.get("password"))})
        return await call({})

    async def _with_token(self, subscription_id: str, client: Mapping[str, Any], call: Call) -> int:
        token = await self._tokens.get(subscription_id, client)
        try:
            return await call({"Authorization": f"Bearer {token}"})
        except DeliveryError as exc:
            if exc.status != UNAUTHORIZED:
                raise
        self._tokens.refuse(subscription_id, token)
        token = await self._tokens.get(subscription_id, client)
        return await call({"Authorization": f"Bearer {token}"})
