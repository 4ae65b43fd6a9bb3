"""Requests: how their query, headers and body are read, and what is refused before a resource sees them."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

import falcon
import re2
import webob.acceptparse

from eventalarm.http import hosts, problems
from eventalarm.http.problems import BadBody, Fault

JSON: Final = "application/json"
IDENTITY: Final = "identity"
# "(", ")", ",", ":" and ";" as form encoding writes them.
FORM_ENCODED: Final = ("%28", "%29", "%2C", "%3A", "%3B")
SAFE: Final = frozenset({"GET", "HEAD"})
ENTITY_TAG: Final = re2.compile(r'(W/)?("[^"]*")')


class Request(falcon.Request):
    """A request whose query follows RFC 3986: a plus sign is a plus sign, a space is ``%20``.

    Only a value that was form-encoded throughout, as the HTTP libraries of Python, Java and JavaScript do,
    has plus signs for its spaces.
    """

    def __init__(self, env: dict[str, Any], options: falcon.RequestOptions | None = None) -> None:
        query = env.get("QUERY_STRING", "")
        if "+" in query:
            env["QUERY_STRING"] = "&".join(map(_plain_plus, query.split("&")))
        super().__init__(env, options)


def _plain_plus(parameter: str) -> str:
    """Return a parameter with its plus signs percent-encoded, unless they stand for spaces.

    Form encoding leaves none of the characters of :data:`FORM_ENCODED` as it is; a hand-written query encodes
    none of them.
    """
    upper = parameter.upper()
    if any(code in upper for code in FORM_ENCODED) and not any(char in parameter for char in "(),:;"):
        return parameter
    return parameter.replace("+", "%2B")


class Conformance:
    """Falcon middleware: refuses what HTTP does not allow, unsupported encodings, and oversized requests.

    *max_query* and *max_body* are in bytes; with None for *max_body* the resource limits the body itself.
    """

    def __init__(self, max_query: int, max_body: int | None = None) -> None:
        self._max_query = max_query
        self._max_body = max_body

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check the header Host, the sizes and the content encoding."""
        wrong = hosts.problem(req.env)
        if wrong:
            raise falcon.HTTPBadRequest(description=wrong)
        if len(req.query_string) > self._max_query:
            description = f"the query must be at most {self._max_query} bytes"
            raise falcon.HTTPError(falcon.HTTP_414, description=description)
        if self._max_body is not None and (req.content_length or 0) > self._max_body:
            raise falcon.HTTPContentTooLarge(description=f"the body must be at most {self._max_body} bytes")
        codings = (req.get_header("Content-Encoding") or IDENTITY).lower().split(",")
        if {coding.strip() for coding in codings} - {IDENTITY, ""}:
            # RFC 9110 clause 15.5.16: this header says that the coding was the problem.
            resp.set_header("Accept-Encoding", IDENTITY)
            raise falcon.HTTPUnsupportedMediaType(description="the body must not be compressed")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Check the header Accept once it is known that the resource supports the method."""
        if not hasattr(resource, f"on_{req.method.lower()}"):
            return
        answered = getattr(resource, "media_types", (JSON, problems.MEDIA_TYPE))
        accepted = webob.acceptparse.create_accept_header(_media_ranges(req.get_header("Accept")))
        if not accepted.acceptable_offers(answered):
            raise falcon.HTTPNotAcceptable(description=f"this resource is served as {answered[0]}")


def _media_ranges(accept: str | None) -> str | None:
    """Return the media ranges of the header and their weights.

    Empty elements are ignored (RFC 9110 clause 5.6.1), and so are other parameters such as ``charset``, which
    have no meaning for JSON.
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
    """Return the JSON in the body of *req*; *size_hint* says what to do about a body that is too large.

    :raises falcon.HTTPError: 415 for another media type, 413 above *max_bytes*.
    :raises BadBody: when it is not JSON; NaN, Infinity and numbers beyond a double are not.
    """
    if (req.content_type or "").partition(";")[0].strip().lower() not in media_types:
        hint = " (curl: --json @file)" if media_types == (JSON,) else ""
        description = f"the body must be {' or '.join(media_types)}{hint}"
        raise falcon.HTTPUnsupportedMediaType(description=description)
    oversized = (req.content_length or 0) > max_bytes
    raw = b"" if oversized else req.bounded_stream.read(max_bytes + 1)
    if oversized or len(raw) > max_bytes:
        raise falcon.HTTPContentTooLarge(description=f"the body must be at most {max_bytes} bytes{size_hint}")
    try:
        return json.loads(raw, parse_constant=_not_a_number, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise BadBody([Fault("", f"not JSON: {exc!s:.120}", "send one JSON document")]) from exc


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_a_number(text[:40])


def check_preconditions(req: falcon.Request, resp: falcon.Response, tag: str) -> bool:
    """Return True if the request is to be carried out (If-Match, If-None-Match; RFC 9110 clause 13).

    *tag* is the strong, quoted entity tag of the resource, and becomes the ETag of the response. False: the
    client has the current representation, and the response is 304.

    :raises falcon.HTTPPreconditionFailed: when the resource is not in the state that the request requires.
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
