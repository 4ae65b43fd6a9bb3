"""Request bodies: bounded, of the right media type, JSON, and as the API's own document describes them."""

from __future__ import annotations

import json
from typing import Any, Final

import falcon

from eventalarm.ifa_shim.api.document import ApiDocument

MAX_BODY: Final = 64 * 1024
MAX_QUERY: Final = 8 * 1024
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


def read(req: falcon.Request, document: ApiDocument, schema: str, media_types: tuple[str, ...]) -> Any:
    """Return the body of *req*, which fits *schema* of *document*.

    :raises falcon.HTTPError: 413, 415 or 400 when it does not.
    """
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind not in media_types:
        raise falcon.HTTPUnsupportedMediaType(description=f"the body must be {' or '.join(media_types)}")
    raw = req.bounded_stream.read(MAX_BODY + 1)
    if len(raw) > MAX_BODY:
        raise falcon.HTTPContentTooLarge(description=f"at most {MAX_BODY} bytes")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise falcon.HTTPBadRequest(description=f"the body is not JSON: {exc!s:.120}") from exc
    problem = document.problem(schema, body)
    if problem:
        raise falcon.HTTPBadRequest(description=problem)
    return body


class Limits:
    """Falcon middleware: refuses what is too long to look at, and answers that the client cannot read."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Look at the outside of a request."""
        if len(req.query_string) > MAX_QUERY:
            raise falcon.HTTPError(falcon.HTTP_414, description=f"a query of at most {MAX_QUERY} bytes")
        if req.content_length is not None and req.content_length > MAX_BODY:
            raise falcon.HTTPContentTooLarge(description=f"at most {MAX_BODY} bytes")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Look at what the client accepts, once it is known that there is something to answer."""
        if not hasattr(resource, f"on_{req.method.lower()}"):
            return
        answered = getattr(resource, "media_types", (JSON, "application/problem+json"))
        if not any(map(req.client_accepts, answered)):
            raise falcon.HTTPNotAcceptable(description=f"this service answers {answered[0]}")
