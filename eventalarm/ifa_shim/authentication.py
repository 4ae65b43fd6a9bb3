"""Calling a consumer with the credentials that its subscription holds, whatever the call is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError
from eventalarm.ifa_shim.subscriptions.auth import Tokens, basic

UNAUTHORIZED: Final = 401
BASIC: Final = "BASIC"
OAUTH2: Final = "OAUTH2_CLIENT_CREDENTIALS"
TLS_CERT: Final = "TLS_CERT"
SUPPORTED: Final = frozenset({BASIC, OAUTH2, TLS_CERT})

# Makes the request with these headers and returns the status, which is 2xx.
Call = Callable[[Mapping[str, str]], Awaitable[int]]


class Authentication:
    """Adds credentials to calls; keeps the tokens that it fetched through *http*. Lives in the event loop."""

    def __init__(self, http: HttpSender) -> None:
        self._tokens = Tokens(http)

    async def call(self, subscription_id: str, secret: Mapping[str, Any], call: Call) -> int:
        """Make the *call* as *secret* (SOL013's SubscriptionAuthentication) asks; a refused token is renewed.

        :raises DeliveryError: ``token`` when there is none to be had, and as *call*.
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
