"""Writes errors as problem details (RFC 9457), absolute links, and paging (SOL013 clause 5.4)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import json
import logging
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

import falcon

from eventalarm.exceptions import EventAlarmError, Retryable

LOG = logging.getLogger(__name__)

PROBLEM: Final = "application/problem+json"
# Where oslo.middleware puts the id of a request in its WSGI environment.
REQUEST_ID: Final = "openstack.request_id"
# Seconds in the header Retry-After while the database is unavailable.
RETRY_AFTER: Final = 5
MAX_ERRORS: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class FieldError:
    """One error in a request body; ``field`` is a JSON pointer (RFC 6901) into the body."""

    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field or 'the body'}: {self.problem}; {self.remedy}"


class BadBody(falcon.HTTPBadRequest):
    """400 for an invalid body; its problem details list the first :data:`MAX_ERRORS` errors in ``errors``."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(description=str(errors[0]))
        self.errors = tuple(errors[:MAX_ERRORS])


def pointer(*parts: object) -> str:
    """Return the JSON pointer (RFC 6901) to *parts*, from the root of the body."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def install_problems(app: falcon.App[Any, Any], *bad_requests: type[Exception]) -> None:
    """Make *app* answer every error as problem details, and *bad_requests* as 400 with their text."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _on_defect)
    app.add_error_handler(Retryable, _on_retryable)
    for error in bad_requests:
        app.add_error_handler(error, _on_bad_request)
    # Falcon prefers the handler registered last: its own errors are not defects.
    app.add_error_handler(falcon.HTTPError, lambda req, resp, error, params: _raise(error))


def _serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    title = falcon.code_to_http_status(error.status_code)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title.partition(" ")[2],
        "status": error.status_code,
        "detail": error.description or _default_detail(error, title),
        "instance": f"{request.root_path}{request.path}",
    }
    if REQUEST_ID in request.env:
        body["request_id"] = request.env[REQUEST_ID]
    if isinstance(error, BadBody):
        body["errors"] = [dataclasses.asdict(one) for one in error.errors]
    response.text = json.dumps(body)
    response.content_type = PROBLEM
    response.append_header("Vary", "Accept")


def _default_detail(error: falcon.HTTPError, title: str) -> str:
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        allowed = dict(error.headers or ()).get("Allow", "no method")
        return f"this resource supports only {allowed}"
    return "unknown path" if isinstance(error, falcon.HTTPRouteNotFound) else error.title or title


def _on_bad_request(_req: falcon.Request, _resp: falcon.Response, error: Exception, _params: object) -> None:
    raise falcon.HTTPBadRequest(description=str(error))


def _on_retryable(_req: falcon.Request, _resp: falcon.Response, error: Exception, _params: object) -> None:
    LOG.warning("%s", error)
    raise falcon.HTTPServiceUnavailable(
        description="the database is unavailable; try again later", retry_after=RETRY_AFTER
    )


def _on_defect(request: falcon.Request, _resp: falcon.Response, _error: Exception, _params: object) -> None:
    """Answer 500 for an unexpected error; its traceback goes to the log only."""
    LOG.exception("Failed to answer %s %s", request.method, request.path)
    raise falcon.HTTPInternalServerError(description="internal server error; see the service log")


def _raise(error: Exception) -> None:
    raise error


def plain(one: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON has them: times as ISO 8601 text, empty texts as null."""
    values = ((field.name, getattr(one, field.name)) for field in dataclasses.fields(one))
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else None if value == "" else value
        for name, value in values
    }


MARKER: Final = "nextpage_opaque_marker"


class BadMarker(EventAlarmError):
    """A paging marker that was not returned by :func:`encode_marker`."""

    def __init__(self) -> None:
        super().__init__("unknown or expired paging marker")


def encode_marker(value: Any) -> str:
    """Return *value* (JSON) as an opaque marker."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode_marker(marker: str) -> Any:
    """Return the value that :func:`encode_marker` encoded.

    :raises BadMarker: when *marker* cannot be decoded.
    """
    try:
        value = json.loads(base64.urlsafe_b64decode(marker + "=" * (-len(marker) % 4)))
        # Databases refuse lone surrogates, which UTF-8 cannot encode, and NUL.
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise BadMarker from exc
    if "\\u0000" in text:
        raise BadMarker
    return value


class Links:
    """Absolute links to this API, from *public_url*, the configured root, or else from each request."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def root(self, req: falcon.Request) -> str:
        """Return the URL at which the application is mounted, without a trailing slash.

        Without a public URL it is derived from the request, including the headers that proxies set.
        """
        return self._public_url or f"{req.scheme}://{req.netloc}{req.root_path}"

    def add_next(self, req: falcon.Request, resp: falcon.Response, marker: str | None) -> None:
        """Add the header Link to the next page, which begins at *marker*; None is the last page."""
        if marker is None:
            return
        kept = [
            (name, one)
            for name, value in req.params.items()
            if name != MARKER
            for one in ([value] if isinstance(value, str) else value)
        ]
        query = urllib.parse.urlencode([*kept, (MARKER, marker)], quote_via=urllib.parse.quote)
        resp.set_header("Link", f'<{self.root(req)}{req.path}?{query}>; rel="next"')
