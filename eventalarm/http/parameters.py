"""Query parameters: those of the API's own document, so that a misspelt filter is not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
import re2

Document = Mapping[str, Any]


class KnownParameters:
    """Falcon middleware: answers 400 for parameters that the OpenAPI *document* does not have.

    A parameter that is not a list may be given once. Resources that the document leaves out take anything.
    """

    def __init__(self, document: Document) -> None:
        self._known = dict(_operations(document))

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Look at the names in the query."""
        method = "GET" if req.method == "HEAD" else req.method
        known = self._known.get((_anonymous(req.uri_template or ""), method))
        if known is None:
            return
        for name, value in req.params.items():
            if name not in known:
                takes = ", ".join(sorted(known)) or "no parameters"
                description = f"unknown query parameter {name[:80]!r}; this resource takes {takes}"
                raise falcon.HTTPBadRequest(description=description)
            if isinstance(value, list) and not known[name]:
                raise falcon.HTTPBadRequest(description=f"the query parameter {name} must be given once")


def _anonymous(template: str) -> str:
    return str(re2.sub(r"\{\w+\}", "{}", template))


def _operations(document: Document) -> list[tuple[tuple[str, str], dict[str, bool]]]:
    """Return the parameters of each operation by path and method: True for those that may be repeated."""
    return [
        ((_anonymous(path), method.upper()), _parameters(document, item, operation))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]


def _parameters(document: Document, item: Document, operation: Document) -> dict[str, bool]:
    listed = [*item.get("parameters", []), *operation.get("parameters", [])]
    found = [_resolve(document, one) for one in listed]
    return {one["name"]: one["schema"].get("type") == "array" for one in found if one["in"] == "query"}


def _resolve(document: Document, node: Document) -> Document:
    if "$ref" not in node:
        return node
    found: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return _resolve(document, found)
