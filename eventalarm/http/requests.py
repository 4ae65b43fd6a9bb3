"""Reads the query, headers and body of requests, and refuses invalid ones before they reach a resource."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import falcon
import re2
import webob.acceptparse

from eventalarm.http.responses import PROBLEM, BadBody, FieldError

HOST: Final = re2.compile(r"(?P<name>[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{0,5}))?")
LOCALHOST: Final = "localhost"
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def host_problem(environ: Mapping[str, Any]) -> str:
    """Return why the header Host of a WSGI request is not acceptable, or an empty string.

    HTTP/1.0 requests may omit it. A repeated header is one value with commas here.
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

    This prevents DNS rebinding. The host in the header Origin, which browsers add to the requests of a page,
    is checked too. An unspecified address (``0.0.0.0``) among *names* permits every address, since an address
    cannot be rebound, but no name. *option* is the command-line option that the response suggests.
    """

    def __init__(self, app: WSGI, names: Iterable[str], *, option: str) -> None:
        self._app = app
        self._names = frozenset(name.lower().rstrip(".").strip("[]") for name in names)
        self._any_address = any(map(_is_unspecified, self._names))
        self._option = option

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        wrong = host_problem(environ)
        if wrong:
            return refuse(start_response, "400 Bad Request", wrong)
        host, origin = environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")
        if host is not None and not self._known(host, self._any_address):
            return self._misdirected(start_response, "Host", host)
        if origin is not None:
            # "null", or anything else that is not a URL, names no known host.
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
        return refuse(start_response, "421 Misdirected Request", detail)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_unspecified(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_unspecified


def refuse(start_response: Callable[..., Any], status: str, detail: str, **members: Any) -> Iterable[bytes]:
    """Answer a WSGI request with problem details; *members* are further ones."""
    code, _, title = status.partition(" ")
    fields = {"type": "about:blank", "title": title, "status": int(code), "detail": detail, **members}
    body = json.dumps(fields).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


JSON: Final = "application/json"
IDENTITY: Final = "identity"
NUL: Final = "\x00"
# The form encoding of "(", ")", ",", ":" and ";".
FORM_ENCODED: Final = ("%28", "%29", "%2C", "%3A", "%3B")
SAFE: Final = frozenset({"GET", "HEAD"})
ENTITY_TAG: Final = re2.compile(r'(W/)?("[^"]*")')


class Request(falcon.Request):
    """A request whose query follows RFC 3986: a plus sign is a plus sign, a space is ``%20``.

    Only in a value that is form-encoded throughout, as by the HTTP libraries of Python, Java and JavaScript,
    a plus sign is a space.
    """

    def __init__(self, env: dict[str, Any], options: falcon.RequestOptions | None = None) -> None:
        query = env.get("QUERY_STRING", "")
        if "+" in query:
            env["QUERY_STRING"] = "&".join(map(_plain_plus, query.split("&")))
        super().__init__(env, options)


def _plain_plus(parameter: str) -> str:
    """Return a parameter with its plus signs percent-encoded, unless they stand for spaces.

    Form encoding encodes all characters in :data:`FORM_ENCODED`; a hand-written query encodes none of them.
    """
    upper = parameter.upper()
    if any(code in upper for code in FORM_ENCODED) and not any(char in parameter for char in "(),:;"):
        return parameter
    return parameter.replace("+", "%2B")


class Conformance:
    """Falcon middleware: refuses invalid HTTP requests, unsupported content types and oversized requests.

    *max_query* and *max_body* are in bytes; with None for *max_body* the resource limits the body itself.
    """

    def __init__(self, max_query: int, max_body: int | None = None) -> None:
        self._max_query = max_query
        self._max_body = max_body

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check the header Host, path and query, the sizes and the content encoding."""
        wrong = host_problem(req.env)
        if wrong:
            raise falcon.HTTPBadRequest(description=wrong)
        if NUL in req.path or NUL in req.query_string or "%00" in req.query_string:
            # PostgreSQL refuses it in a text.
            raise falcon.HTTPBadRequest(description="path and query must not contain NUL (%00)")
        if len(req.query_string) > self._max_query:
            description = f"the query must be at most {self._max_query} bytes"
            raise falcon.HTTPError(falcon.HTTP_414, description=description)
        if self._max_body is not None and (req.content_length or 0) > self._max_body:
            raise falcon.HTTPContentTooLarge(description=f"the body must be at most {self._max_body} bytes")
        codings = (req.get_header("Content-Encoding") or IDENTITY).lower().split(",")
        if {coding.strip() for coding in codings} - {IDENTITY, ""}:
            # RFC 9110 clause 15.5.16: this header shows that the content coding was the reason.
            resp.set_header("Accept-Encoding", IDENTITY)
            raise falcon.HTTPUnsupportedMediaType(description="the body must not be compressed")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Check the header Accept, if the resource supports the method."""
        if not hasattr(resource, f"on_{req.method.lower()}"):
            return
        answered = getattr(resource, "media_types", (JSON, PROBLEM))
        accepted = webob.acceptparse.create_accept_header(_media_ranges(req.get_header("Accept")))
        if not accepted.acceptable_offers(answered):
            raise falcon.HTTPNotAcceptable(description=f"this resource is served as {answered[0]}")


def _media_ranges(accept: str | None) -> str | None:
    """Return the header *accept* with only its media ranges and their weights; None if it has none.

    Empty elements are dropped (RFC 9110 clause 5.6.1), and so are other parameters, such as ``charset``,
    which have no meaning for JSON.
    """
    found = []
    for part in (accept or "").split(","):
        media_range, *parameters = (word.strip() for word in part.split(";"))
        if media_range:
            found.append(";".join([media_range, *(p for p in parameters if p.lower().startswith("q="))]))
    return ",".join(found) or None


def read_json(
    req: falcon.Request, max_bytes: int, media_types: tuple[str, ...] = (JSON,), *, size_hint: str = ""
) -> Any:
    """Return the JSON in the body of *req*; *size_hint* is the remedy for a body that is too large.

    :raises falcon.HTTPError: 415 for another media type, 413 for more than *max_bytes*.
    :raises BadBody: when it is not JSON, or has NaN, Infinity or a number beyond the range of a double.
    """
    return parse_json(read_body(req, max_bytes, media_types, size_hint=size_hint))


def read_body(
    req: falcon.Request, max_bytes: int, media_types: tuple[str, ...] = (JSON,), *, size_hint: str = ""
) -> bytes:
    """Return the body of *req* as it is; errors as of :func:`read_json`, except those of its content."""
    if (req.content_type or "").partition(";")[0].strip().lower() not in media_types:
        hint = " (curl: --json @file)" if media_types == (JSON,) else ""
        description = f"the body must be {' or '.join(media_types)}{hint}"
        raise falcon.HTTPUnsupportedMediaType(description=description)
    oversized = (req.content_length or 0) > max_bytes
    raw = b"" if oversized else req.bounded_stream.read(max_bytes + 1)
    if oversized or len(raw) > max_bytes:
        raise falcon.HTTPContentTooLarge(description=f"the body must be at most {max_bytes} bytes{size_hint}")
    return bytes(raw)


def parse_json(raw: bytes) -> Any:
    """Return the JSON in a body; errors as of :func:`read_json`."""
    try:
        return json.loads(raw, parse_constant=_not_a_number, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise BadBody([FieldError("", f"not JSON: {exc!s:.120}", "send one JSON document")]) from exc


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_a_number(text[:40])


def check_preconditions(req: falcon.Request, resp: falcon.Response, tag: str) -> bool:
    """Evaluate If-Match and If-None-Match; return True if the request is to be processed.

    See RFC 9110 clause 13. *tag* is the strong, quoted entity tag of the resource, and becomes the ETag of
    the response. After False the client has the current representation, and the response is 304.

    :raises falcon.HTTPPreconditionFailed: when *tag* does not meet the condition.
    """
    resp.set_header("ETag", tag)
    required, known = req.get_header("If-Match"), req.get_header("If-None-Match")
    if required is not None and not _matches(required, tag, weak=False):
        raise falcon.HTTPPreconditionFailed(description="the resource changed since it was read")
    if known is not None and _matches(known, tag, weak=True):
        if req.method not in SAFE:
            raise falcon.HTTPPreconditionFailed(description="If-None-Match matches the current resource")
        resp.status = falcon.HTTP_304
        return False
    return True


def _matches(condition: str, tag: str, *, weak: bool) -> bool:
    """Return True if *condition* is ``*`` or lists *tag*; unquoted text matches nothing."""
    if condition.strip() == "*":
        return True
    return any(one[2] == tag and (weak or not one[1]) for one in ENTITY_TAG.finditer(condition))
