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

    :raises falcon.HTTPError: 413, 415, 400 when it is not JSON, 422 when it is but does not fit.
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
        # SOL013 clause 6.4: syntactically correct data that cannot be processed.
        raise falcon.HTTPUnprocessableEntity(description=problem)
    return body
