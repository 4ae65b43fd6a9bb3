"""Destinations of actions for the command line: shown without secrets, and matched by --destination."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Final

from eventalarm.delivery import action
from eventalarm.exceptions import DeliveryError

MASK: Final = "***"


def masked(url: str) -> str:
    """Return *url* without credentials: user information, query values and fragments become ``***``.

    Names of query parameters stay, so that actions can be told apart. Of what is not a URL only the scheme
    stays.
    """
    try:
        parts = action.split(url)
    except DeliveryError:
        return f"{action.scheme(url)}:{MASK}" if ":" in url else MASK
    _, at, place = parts.netloc.rpartition("@")
    path = parts.path
    if not parts.netloc and "@" in path:
        path = f"{MASK}@{path.rpartition('@')[2]}"
    return urllib.parse.urlunsplit(
        (
            parts.scheme,
            f"{MASK}@{place}" if at else place,
            path,
            "&".join(";".join(map(_masked, piece.split(";"))) for piece in parts.query.split("&")),
            MASK if parts.fragment else "",
        )
    )


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
        if action.end_of_place(place_and_path) < len(place_and_path):
            return lambda url: _bare(url).startswith(beginning)
        place = action.place(wanted)
        return lambda url: bool(place[1]) and action.place(url) == place
    host, port = _host_and_port(wanted)
    return lambda url: _is_at(action.place(url), host, port)


def hint(wanted: str) -> str:
    """Return a lower-case text, for SQL's LIKE, that every action matched by ``goes_to(wanted)`` contains."""
    if "://" in wanted:
        return action.place(wanted)[1]
    return _host_and_port(wanted)[0]


def _bare(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    end = action.end_of_place(rest)
    place, path = rest[:end], rest[end:]
    return f"{scheme.lower()}{separator}{place.rpartition('@')[2].lower()}{path}"


def _host_and_port(wanted: str) -> tuple[str, int]:
    _, host, port = action.place(f"any://{wanted}")
    if not host:
        # An IPv6 address without its brackets.
        _, host, port = action.place(f"any://[{wanted}]")
    return host, port


def _is_at(place: tuple[str, str, int], host: str, port: int) -> bool:
    return bool(host) and place[1] == host and port in (0, place[2])
