"""The credentials of subscriptions: encrypted in the database, and exchanged for OAuth 2.0 tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import cachetools
from cryptography import fernet

from eventalarm.delivery import action
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError, InvalidOption


class Vault:
    """Encrypts and decrypts with the option ``credentials_key``; without a key it can do neither.

    The first of several keys, with commas between them, encrypts; each of them decrypts.

    :raises InvalidOption: when one of the keys is not valid.
    """

    def __init__(self, keys: str) -> None:
        try:
            found = [fernet.Fernet(key.strip()) for key in keys.split(",") if key.strip()]
            self._newest = found[0] if found else None
            self._fernet = fernet.MultiFernet(found) if found else None
        except ValueError as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key",
                "is not a valid Fernet key",
                "its help says how to make one",
            ) from exc

    @property
    def usable(self) -> bool:
        """Tell whether there is a key."""
        return self._fernet is not None

    def close(self, secret: Mapping[str, Any]) -> str:
        """Return *secret* encrypted; there must be a key."""
        assert self._fernet is not None
        return self._fernet.encrypt(json.dumps(secret).encode()).decode()

    def renewed(self, text: str) -> str | None:
        """Return what was encrypted with an older key encrypted with the first one; None if there is no need.

        :raises InvalidOption: when none of the keys is the one that it was encrypted with.
        """
        if self._fernet is None or self._newest is None:
            return None
        try:
            self._newest.decrypt(text.encode())
        except fernet.InvalidToken:
            return self.close(self.open(text))
        return None

    def open(self, text: str) -> dict[str, Any]:
        """Return what was encrypted.

        :raises InvalidOption: when none of the keys is the one that it was encrypted with.
        """
        try:
            opened = self._fernet.decrypt(text.encode()) if self._fernet is not None else b""
            return dict(json.loads(opened))
        except (fernet.InvalidToken, ValueError) as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key", "it does not open what is stored", "use the earlier key"
            ) from exc


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
