"""Where subscriptions may point, and the test that somebody is there."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from eventalarm.delivery.fence import FENCED, Fence
from eventalarm.exceptions import EventAlarmError
from eventalarm.ifa_shim.options import CallbackOptions

MAX_URI: Final = 2000
NO_CONTENT: Final = 204
BASIC: Final = "BASIC"
SUPPORTED: Final = frozenset({BASIC, "OAUTH2_CLIENT_CREDENTIALS", "TLS_CERT"})


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


def check_authentication(authentication: Mapping[str, Any], options: CallbackOptions) -> None:
    """Return if we can authenticate as the subscriber asks.

    :raises BadCallback: when none of its types is ours, or the token endpoint cannot be called.
    """
    kinds = authentication.get("authType", [])
    if not SUPPORTED.intersection(kinds):
        raise BadCallback(f"this service authenticates with {', '.join(sorted(SUPPORTED))}")
    oauth = authentication.get("paramsOauth2ClientCredentials") or {}
    if "tokenEndpoint" in oauth:
        check_uri(oauth["tokenEndpoint"], options)


def test(uri: str, authentication: Mapping[str, Any] | None, options: CallbackOptions) -> None:
    """Return if the consumer at *uri* answers a GET with 204.

    One that wants other credentials than BASIC may also answer 401: it is there.

    :raises BadCallback: when it does not, in time.
    """
    try:
        status = asyncio.run(_get(uri, authentication or {}, options))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        cause = getattr(exc, "os_error", exc)
        why = FENCED if FENCED in str(cause) else type(exc).__name__
        raise BadCallback(f"the test of the callback failed: {why}") from exc
    kinds = set((authentication or {}).get("authType", ()))
    if status != NO_CONTENT and not (status == 401 and kinds - {BASIC}):
        raise BadCallback(f"the test of the callback was answered with {status}, not with {NO_CONTENT}")


async def _get(uri: str, authentication: Mapping[str, Any], options: CallbackOptions) -> int:
    params = authentication.get("paramsBasic") or {}
    headers = {}
    if params.get("userName"):
        basic = aiohttp.BasicAuth(params["userName"], params.get("password", ""), "utf-8")
        headers["Authorization"] = basic.encode()
    fence = Fence(options.deny_networks)
    connector = aiohttp.TCPConnector(socket_factory=fence.socket)
    timeout = aiohttp.ClientTimeout(total=options.timeout)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(uri, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status
