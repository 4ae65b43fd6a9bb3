"""Where subscriptions may point, and the test that somebody is there."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import yarl

from eventalarm.delivery.action import http_url
from eventalarm.delivery.http import failure
from eventalarm.delivery.tls import TlsContexts
from eventalarm.exceptions import DeliveryError, EventAlarmError
from eventalarm.ifa_shim.options import CallbackOptions
from eventalarm.ifa_shim.tokens import basic

MAX_URI: Final = 2000
NO_CONTENT: Final = 204
UNAUTHORIZED: Final = 401
BASIC: Final = "BASIC"
OAUTH2: Final = "OAUTH2_CLIENT_CREDENTIALS"
TLS_CERT: Final = "TLS_CERT"
SUPPORTED: Final = frozenset({BASIC, OAUTH2, TLS_CERT})


class BadCallback(EventAlarmError):
    """A callback or its credentials that cannot be used; the text tells the subscriber why."""


def check_uri(uri: str, options: CallbackOptions) -> None:
    """Return if *uri* is one that we may call at all.

    :raises BadCallback: when it is none, has another scheme than the allowed ones, or carries credentials.
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        raise BadCallback("it is not a URI") from exc
    if parts.scheme.lower() not in options.schemes or not parts.hostname or port == 0:
        raise BadCallback(f"it must be an absolute URI of {' or '.join(sorted(options.schemes))}")
    if parts.username is not None or len(uri) > MAX_URI:
        raise BadCallback(f"credentials belong into authentication, and {MAX_URI} characters are enough")


class Callbacks:
    """What this service can do to reach callbacks: as webhooks are, with the same certificate.

    :raises InvalidOption: when Aodh's TLS options name files that cannot be used.
    """

    def __init__(self, options: CallbackOptions) -> None:
        self._options = options
        self._tls = TlsContexts(options.tls)

    def check(self, uri: str, authentication: Mapping[str, Any] | None) -> None:
        """Return if *uri* is one that we may call, and authenticate there as the subscriber asks.

        :raises BadCallback: also when none of the types is ours, or the token endpoint cannot be called.
        """
        check_uri(uri, self._options)
        if not authentication:
            return
        kinds = set(authentication.get("authType", []))
        if kinds & SUPPORTED == {TLS_CERT}:
            if not self._options.tls.certificate:
                raise BadCallback("this service has no certificate for TLS_CERT: its operator has to set one")
            if not uri.lower().startswith("https:"):
                raise BadCallback("TLS_CERT needs a callback of https")
        if not SUPPORTED & kinds:
            raise BadCallback(f"this service authenticates with {', '.join(sorted(SUPPORTED))}")
        oauth = authentication.get("paramsOauth2ClientCredentials") or {}
        if "tokenEndpoint" in oauth:
            check_uri(oauth["tokenEndpoint"], self._options)

    def test(self, uri: str, authentication: Mapping[str, Any] | None) -> None:
        """Return if the consumer at *uri* answers a GET with 204.

        One that wants a token, which the test does not fetch, may also answer 401: it is there.

        :raises BadCallback: when it does not, in time.
        """
        try:
            status = asyncio.run(self._get(http_url(uri), authentication or {}))
        except DeliveryError as exc:
            raise BadCallback(f"the test of the callback failed: {exc}") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise BadCallback(f"the test of the callback failed: {self._why(uri, exc)}") from exc
        kinds = (authentication or {}).get("authType", ())
        if status != NO_CONTENT and not (status == UNAUTHORIZED and OAUTH2 in kinds):
            raise BadCallback(f"the test of the callback was answered with {status}, not with {NO_CONTENT}")

    def _why(self, uri: str, error: Exception) -> str:
        why = failure(error)
        # TLS 1.3 refuses a client without certificate only after the handshake, by breaking the connection.
        broken = why.reason == "disconnected" or isinstance(error, aiohttp.ClientConnectorSSLError)
        if broken and uri.lower().startswith("https:") and not self._options.tls.certificate:
            return f"{why} (this service has no certificate to show)"
        return str(why)

    async def _get(self, url: yarl.URL, authentication: Mapping[str, Any]) -> int:
        params = authentication.get("paramsBasic") or {}
        headers = {}
        if params.get("userName"):
            headers["Authorization"] = basic(params["userName"], params.get("password"))
        connector = aiohttp.TCPConnector(
            socket_factory=self._options.fence.socket,
            ssl=self._tls.for_query(url.raw_query_string),
        )
        timeout = aiohttp.ClientTimeout(total=self._options.timeout)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status
