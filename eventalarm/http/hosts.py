"""Validation of the header Host (RFC 9112 clause 3.2), and known hosts for services without authentication.

A malicious web page can reach a service on loopback under its own host name (DNS rebinding). The browser then
sends that name as Host, so a service without authentication answers only to known names.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import re2

HOST: Final = re2.compile(r"(?P<name>[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{0,5}))?")
LOCALHOST: Final = "localhost"
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def problem(environ: Mapping[str, Any]) -> str:
    """Return why the header Host of a WSGI request is not acceptable, or an empty string.

    HTTP/1.0 may omit it. A repeated header arrives here as one value with commas.
    """
    host = environ.get("HTTP_HOST")
    if host is None:
        old = environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/0.9")
        return "" if old else "missing header Host"
    return "" if _name(host) is not None else "the header Host must be one host name with an optional port"


def _name(host: str) -> str | None:
    """Return the host without its port, in lower case; None when *host* is malformed."""
    match = HOST.fullmatch(host)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    return str(match["name"]).lower().rstrip(".").strip("[]")


def is_loopback(name: str) -> bool:
    """Return True if *name* always refers to this machine: ``localhost`` or an address of loopback."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == LOCALHOST


class KnownHosts:
    """WSGI middleware: answers 421 to requests for hosts that are neither loopback nor among *names*.

    The same goes for the header Origin, which browsers add when a page of another host sends something. An
    unspecified address (``0.0.0.0``) among *names* stands for every address, but for no name: an address
    cannot be rebound. *option* is the command-line option that the response suggests.
    """

    def __init__(self, app: WSGI, names: Iterable[str], *, option: str) -> None:
        self._app = app
        self._names = frozenset(name.lower().rstrip(".").strip("[]") for name in names)
        self._any_address = any(map(_is_unspecified, self._names))
        self._option = option

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        wrong = problem(environ)
        if wrong:
            return _refuse(start_response, "400 Bad Request", wrong)
        host, origin = environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")
        if host is not None and not self._known(host, self._any_address):
            return self._misdirected(start_response, "Host", host)
        if origin is not None:
            # "null" and anything else that is not a URL has no known host.
            source = origin.partition("://")[2]
            if source != host and not self._known(source, False):
                return self._misdirected(start_response, "Origin", origin)
        return self._app(environ, start_response)

    def _known(self, host: str, any_address: bool) -> bool:
        name = _name(host)
        if name is None:
            return False
        return name in self._names or is_loopback(name) or (any_address and _is_address(name))

    def _misdirected(self, start_response: Callable[..., Any], header: str, value: str) -> Iterable[bytes]:
        remedy = f"use 127.0.0.1 or localhost, or start with {self._option}"
        detail = f"unknown host in the header {header}: {value[:200]!r}; {remedy}"
        return _refuse(start_response, "421 Misdirected Request", detail)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_unspecified(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_unspecified


def _refuse(start_response: Callable[..., Any], status: str, detail: str) -> Iterable[bytes]:
    code, _, title = status.partition(" ")
    body = json.dumps({"type": "about:blank", "title": title, "status": int(code), "detail": detail}).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
