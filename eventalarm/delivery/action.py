"""Action URLs: parsed, called exactly as the tenant wrote them, shown without secrets, and matched."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Final

import yarl

from eventalarm.exceptions import DeliveryError

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Characters that a request line can carry unquoted; all others are quoted, as Aodh's HTTP client does.
CLEAN: Final = frozenset(map(chr, range(ord("!"), ord("~") + 1))).difference('"<>\\^`{|}')
CONTROL: Final = frozenset(map(chr, [*range(0x20), 0x7F]))
ENDS_PLACE: Final = "/?#"
MASK: Final = "***"
# Parts of paths of this length may be secrets, but ids of OpenStack, with or without hyphens, are not.
TOKEN_LENGTH: Final = 20
UUID_LENGTH: Final = 32
HEXADECIMAL: Final = frozenset("0123456789abcdef")


def split(action: str) -> urllib.parse.SplitResult:
    """Split *action*.

    :raises DeliveryError: ``bad_action``, permanent, if it is not a URL or contains control characters.
    """
    if not CONTROL.isdisjoint(action):
        raise _bad("the URL contains control characters")
    try:
        parts = urllib.parse.urlsplit(action.strip())
        parts.port  # noqa: B018 - raises if it is invalid
    except ValueError as exc:
        raise _bad("the action is not a valid URL") from exc
    return parts


def scheme(action: str) -> str:
    """Return what precedes the first colon, in lower case; for a URL that is its scheme."""
    return action.partition(":")[0].strip().lower()


def without_prefix(action: str) -> str:
    """Return the URL of an action whose scheme has a prefix, such as ``sol003+https://…``."""
    return action.strip().partition("+")[2]


def place(action: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) with default ports filled in; ("", "", 0) if it cannot be parsed."""
    try:
        parts = split(action)
    except DeliveryError:
        return "", "", 0
    port = parts.port or DEFAULT_PORTS.get(parts.scheme.rpartition("+")[2], 0)
    return parts.scheme, parts.hostname or "", port


def destination(action: str) -> str:
    """Return what receives *action* as ``scheme://host:port``; "" if it cannot be parsed.

    The default port is filled in; schemes without a host, such as ``zaqar://``, are a destination each.
    """
    scheme, host, port = place(action)
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}{f':{port}' if port else ''}" if scheme else ""


def start(action: str) -> str:
    """Return *action* up to and including the character that follows host and port."""
    _, separator, rest = action.partition("://")
    end = end_of_place(rest)
    return action if not separator or end == len(rest) else action[: len(action) - len(rest) + end + 1]


def end_of_place(rest: str) -> int:
    """Return where host and port end in what follows ``://``: at the path, query or fragment."""
    return min((found for found in map(rest.find, ENDS_PLACE) if found >= 0), default=len(rest))


def http_url(action: str) -> yarl.URL:
    """Return the http or https URL to call, with path and query byte for byte as written.

    :raises DeliveryError: ``bad_action``, permanent, if it cannot be called.
    """
    text = action.strip()
    if not CONTROL.isdisjoint(text):
        raise _bad("the URL contains control characters")
    try:
        url = yarl.URL(text, encoded=CLEAN.issuperset(text))
        # Raises for a host that IDNA rejects and for credentials that HTTP cannot carry.
        f"{url.user or ''}:{url.password or ''}".encode("latin-1")
    except ValueError as exc:
        raise _bad("the action is not a valid URL") from exc
    if not url.raw_host or not url.port:
        raise _bad("the URL must name a host and a valid port")
    return url


def _bad(problem: str) -> DeliveryError:
    return DeliveryError("bad_action", problem, permanent=True)


def masked(url: str) -> str:
    """Return *url* without secrets: user information, query values and fragments become ``***``.

    So does a part of the path that looks like a token: 20 characters or more, letters and digits, and not a
    UUID. Names of query parameters are kept, so that actions can be distinguished. Of a text that is not a
    URL only the scheme is kept.
    """
    try:
        parts = split(url)
    except DeliveryError:
        return f"{scheme(url)}:{MASK}" if ":" in url else MASK
    _, at, host = parts.netloc.rpartition("@")
    path = "/".join(MASK if _is_token(part) else part for part in parts.path.split("/"))
    if not parts.netloc and "@" in path:
        path = f"{MASK}@{path.rpartition('@')[2]}"
    return urllib.parse.urlunsplit(
        (
            parts.scheme,
            f"{MASK}@{host}" if at else host,
            path,
            "&".join(";".join(map(_masked, piece.split(";"))) for piece in parts.query.split("&")),
            MASK if parts.fragment else "",
        )
    )


def _is_token(part: str) -> bool:
    if len(part) < TOKEN_LENGTH or not (any(map(str.isdigit, part)) and any(map(str.isalpha, part))):
        return False
    plain = part.replace("-", "").lower()
    return len(plain) != UUID_LENGTH or not HEXADECIMAL.issuperset(plain)


def _masked(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if equals:
        return f"{name}={MASK}"
    return MASK if name else ""


def goes_to(wanted: str) -> Callable[[str], bool]:
    """Return a predicate for actions that go to *wanted*: a host, ``host:port``, or the beginning of a URL.

    The beginning of a URL is compared without user information and never ends within a host name: without a
    path it means the whole host.
    """
    if "://" in wanted:
        beginning = _bare(wanted)
        place_and_path = beginning.partition("://")[2]
        if end_of_place(place_and_path) < len(place_and_path):
            return lambda url: _bare(url).startswith(beginning)
        whole = place(wanted)
        return lambda url: bool(whole[1]) and place(url) == whole
    host, port = _host_and_port(wanted)
    return lambda url: _is_at(place(url), host, port)


def hint(wanted: str) -> str:
    """Return a lower-case text, for SQL's LIKE, that every action matched by ``goes_to(wanted)`` contains."""
    if "://" in wanted:
        return place(wanted)[1]
    return _host_and_port(wanted)[0]


def _bare(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    end = end_of_place(rest)
    address, path = rest[:end], rest[end:]
    return f"{scheme.lower()}{separator}{address.rpartition('@')[2].lower()}{path}"


def _host_and_port(wanted: str) -> tuple[str, int]:
    _, host, port = place(f"any://{wanted}")
    if not host:
        # An IPv6 address without its brackets.
        _, host, port = place(f"any://[{wanted}]")
    return host, port


def _is_at(found: tuple[str, str, int], host: str, port: int) -> bool:
    return bool(host) and found[1] == host and port in (0, found[2])
