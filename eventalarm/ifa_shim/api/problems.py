"""Problem details (RFC 9457): every error that this API answers has this one shape."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

import falcon

from eventalarm.exceptions import Retryable
from eventalarm.ifa_shim.filters import BadFilter

LOG = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = 5


def serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    """Write *error* as problem details."""
    detail = error.description or error.title or falcon.code_to_http_status(error.status_code)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": falcon.code_to_http_status(error.status_code).partition(" ")[2],
        "status": error.status_code,
        "detail": detail,
        "instance": f"{request.root_path}{request.path}",
    }
    response.text = json.dumps(body)
    response.content_type = MEDIA_TYPE
    response.append_header("Vary", "Accept")


def on_bad_filter(_req: falcon.Request, _resp: falcon.Response, error: Exception, _params: object) -> None:
    """Answer 400 for a filter, selector or marker that cannot be understood."""
    raise falcon.HTTPBadRequest(description=str(error))


def on_retryable(_req: falcon.Request, _resp: falcon.Response, error: Exception, _params: object) -> None:
    """Answer 503 while the database is away."""
    LOG.warning("%s", error)
    raise falcon.HTTPServiceUnavailable(
        description="the database does not answer; try again", retry_after=RETRY_AFTER
    )


def on_defect(request: falcon.Request, _resp: falcon.Response, _error: Exception, _params: object) -> None:
    """Answer 500 for what nobody expected, and leave its trace in the log only."""
    LOG.exception("Failed to answer %s %s", request.method, request.path)
    raise falcon.HTTPInternalServerError(description="it failed; the log of the service tells why")


def install(app: falcon.App[Any, Any]) -> None:
    """Make *app* answer every error as problem details."""
    app.set_error_serializer(serialize)
    app.add_error_handler(Exception, on_defect)
    app.add_error_handler(Retryable, on_retryable)
    app.add_error_handler(BadFilter, on_bad_filter)
    # Registered last counts first: falcon's own answers must not be taken for defects.
    app.add_error_handler(falcon.HTTPError, lambda req, resp, error, params: _again(error))


def _again(error: Exception) -> None:
    raise error
