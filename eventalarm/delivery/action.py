"""Reading action URLs: which scheme and destination, and the URL to call just as the tenant wrote it."""

from __future__ import annotations

import urllib.parse
from typing import Final

import yarl

from eventalarm.exceptions import DeliveryError

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# What a request line can carry as it is; anything else is quoted, as Aodh's HTTP client does.
CLEAN: Final = frozenset(map(chr, range(ord("!"), ord("~") + 1))).difference('"<>\\^`{|}')
CONTROL: Final = frozenset(map(chr, [*range(0x20), 0x7F]))
ENDS_PLACE: Final = "/?#"
HIDDEN: Final = "***"


def split(action: str) -> urllib.parse.SplitResult:
    """Split *action*.

    :raises DeliveryError: permanent, when it is not a URL or holds control characters.
    """
    if not CONTROL.isdisjoint(action):
        raise _bad("it holds control characters")
    try:
        parts = urllib.parse.urlsplit(action.strip())
        parts.port  # noqa: B018 - reading it is the check
    except ValueError as exc:
        raise _bad("it is not a URL") from exc
    return parts


def scheme(action: str) -> str:
    """Return the scheme in lower case, or what stands in its place."""
    return action.partition(":")[0].strip().lower()


def without_userinfo(action: str) -> str:
    """Return *action* with ``***`` in the place of a user name and password, if it has any."""
    start_of, separator, rest = action.partition("://")
    end = end_of_place(rest)
    userinfo, at, host = rest[:end].rpartition("@")
    return f"{start_of}{separator}{HIDDEN}@{host}{rest[end:]}" if at and userinfo else action


def place(action: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) with default ports filled in; empty for what cannot be read."""
    try:
        parts = split(action)
    except DeliveryError:
        return "", "", 0
    port = parts.port or DEFAULT_PORTS.get(parts.scheme.rpartition("+")[2], 0)
    return parts.scheme, parts.hostname or "", port


def start(action: str) -> str:
    """Return the text of *action* up to and including the character after the host and port."""
    _, separator, rest = action.partition("://")
    end = end_of_place(rest)
    return action if not separator or end == len(rest) else action[: len(action) - len(rest) + end + 1]


def end_of_place(rest: str) -> int:
    """Return where host and port end in what follows ``://``: at the path, query or fragment."""
    return min((found for found in map(rest.find, ENDS_PLACE) if found >= 0), default=len(rest))


def http_url(action: str) -> yarl.URL:
    """Return the http or https URL to call; path and query stay byte for byte what was written.

    :raises DeliveryError: permanent, when it cannot be called.
    """
    text = action.strip()
    if not CONTROL.isdisjoint(text):
        raise _bad("it holds control characters")
    try:
        url = yarl.URL(text, encoded=CLEAN.issuperset(text))
        # Reading them is the check: a host that IDNA refuses, credentials that HTTP cannot carry.
        f"{url.user or ''}:{url.password or ''}".encode("latin-1")
    except ValueError as exc:
        raise _bad("it is not a URL that can be called") from exc
    if not url.raw_host or not url.port:
        raise _bad("it names no host and port that can be called")
    return url


def _bad(problem: str) -> DeliveryError:
    return DeliveryError("bad_action", problem, permanent=True)
