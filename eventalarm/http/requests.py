"""Requests as HTTP has them, before a resource sees them: falcon's request, and what is refused outright."""

from __future__ import annotations

from typing import Any, Final

import falcon
import webob.acceptparse

from eventalarm.http import hosts

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
IDENTITY: Final = "identity"
# "(", ")", ",", ":" and ";" as form encoding writes them.
FORM_ENCODED: Final = ("%28", "%29", "%2C", "%3A", "%3B")


class Request(falcon.Request):
    """A request whose query is read by RFC 3986: a plus sign is a plus sign, a blank is ``%20``.

    Only a value that was form-encoded throughout, as HTTP libraries of Python, Java and JavaScript do, has
    its blanks as plus signs.
    """

    def __init__(self, env: dict[str, Any], options: falcon.RequestOptions | None = None) -> None:
        query = env.get("QUERY_STRING", "")
        if "+" in query:
            env["QUERY_STRING"] = "&".join(map(_plain_plus, query.split("&")))
        super().__init__(env, options)


def _plain_plus(parameter: str) -> str:
    """Return a parameter whose plus signs are percent-encoded, unless they stand for blanks.

    Form encoding leaves none of these characters as it is; who writes a query by hand encodes none.
    """
    upper = parameter.upper()
    if any(code in upper for code in FORM_ENCODED) and not any(char in parameter for char in "(),:;"):
        return parameter
    return parameter.replace("+", "%2B")


class Conformance:
    """Falcon middleware: refuses what HTTP does not allow, what we cannot decode, and what is too long.

    *max_query* and *max_body* are bytes; None leaves the body to its resource.
    """

    def __init__(self, max_query: int, max_body: int | None = None) -> None:
        self._max_query = max_query
        self._max_body = max_body

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Look at the outside of a request."""
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
            # RFC 9110 clause 15.5.16: the header tells that the coding was the problem.
            resp.set_header("Accept-Encoding", IDENTITY)
            raise falcon.HTTPUnsupportedMediaType(description="the body must not be compressed")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Look at what the client accepts, once it is known that there is something to answer."""
        if not hasattr(resource, f"on_{req.method.lower()}"):
            return
        answered = getattr(resource, "media_types", (JSON, PROBLEM))
        accepted = webob.acceptparse.create_accept_header(_media_ranges(req.get_header("Accept")))
        if not accepted.acceptable_offers(answered):
            raise falcon.HTTPNotAcceptable(description=f"this resource is served as {answered[0]}")


def _media_ranges(accept: str | None) -> str | None:
    """Return the media ranges of the header and their weights.

    RFC 9110 clause 5.6.1 makes us ignore empty elements; other parameters, such as ``charset``, mean nothing
    for JSON.
    """
    found = []
    for part in (accept or "").split(","):
        media_range, *parameters = (word.strip() for word in part.split(";"))
        if media_range:
            found.append(";".join([media_range, *(p for p in parameters if p.lower().startswith("q="))]))
    return ",".join(found) or None


def add_route(app: falcon.App[Any, Any], path: str, resource: Any) -> None:
    """Serve *resource* at *path*; what answers GET answers HEAD, too (RFC 9110 clause 9.3.2)."""
    if hasattr(resource, "on_get") and not hasattr(resource, "on_head"):
        resource.on_head = resource.on_get
    app.add_route(path, resource)
