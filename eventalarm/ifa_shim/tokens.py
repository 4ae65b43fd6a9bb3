"""OAuth 2.0 client credentials: tokens fetched, kept while they are valid, given up when they are refused."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import cachetools

from eventalarm.delivery import action
from eventalarm.delivery.http import HttpSender
from eventalarm.exceptions import DeliveryError

# Seconds before its end from which a token is not used any more, and for which one is kept that names no end.
MARGIN: Final = 10.0
LIFETIME: Final = 300.0
MOST: Final = 1000


def basic(name: object, password: object) -> str:
    """Return the header of HTTP's basic authentication."""
    text = f"{name or ''}:{password or ''}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


class Tokens:
    """The tokens of subscriptions; lives in the event loop. Fetches each once at a time."""

    def __init__(self, http: HttpSender, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._monotonic = monotonic
        self._kept: cachetools.LRUCache[str, tuple[str, float]] = cachetools.LRUCache(MOST)
        self._locks: cachetools.LRUCache[str, asyncio.Lock] = cachetools.LRUCache(MOST)

    async def get(self, subscription_id: str, client: Mapping[str, Any]) -> str:
        """Return a token for *client* (``paramsOauth2ClientCredentials``).

        :raises DeliveryError: ``token`` when there is none to be had.
        """
        async with self._locks.setdefault(subscription_id, asyncio.Lock()):
            kept = self._kept.get(subscription_id)
            if kept is None or kept[1] <= self._monotonic():
                kept = await self._fetch(client)
                self._kept[subscription_id] = kept
            return kept[0]

    def refuse(self, subscription_id: str, token: str) -> None:
        """Forget *token*: the consumer does not take it."""
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
            raise DeliveryError("token", "the token endpoint answered no token") from exc
        return str(token), asked_at + max(0.0, seconds - MARGIN)
