"""The OpenAPI document of an API: it is served, and defines the valid bodies and query parameters."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Final

import falcon
import jsonschema
import re2
import yaml

from eventalarm.http.responses import FieldError, pointer

Document = Mapping[str, Any]

# Maximum length of a field name, and of the validator's message, in an error.
LONGEST: Final = 200
LONGEST_PROBLEM: Final = 300


@functools.cache
def load(path: pathlib.Path) -> Document:
    """Return the OpenAPI document in the YAML file at *path*."""
    loaded: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


class Schemas:
    """Validates JSON against the ``components/schemas`` of *document*; validators are built on first use."""

    def __init__(self, document: Document) -> None:
        self._components = document["components"]
        self._validators: dict[str, Any] = {}

    def problem(self, schema: str, body: Any) -> str:
        """Return the most relevant error of *body* against *schema*, or an empty string if it is valid."""
        error = jsonschema.exceptions.best_match(self._errors(schema, body))
        if error is None:
            return ""
        place = "/".join(str(part) for part in error.absolute_path) or "the body"
        return f"{place}: {error.message[:LONGEST_PROBLEM]}"

    def errors(self, schema: str, body: Any, field: str = "") -> list[FieldError]:
        """Return every error of *body* against *schema*; *field* is where *body* is in the request.

        The ``description`` of the violated schema becomes the remedy.
        """
        return [_field_error(error, field) for error in self._errors(schema, body)]

    def _errors(self, schema: str, body: Any) -> Any:
        if schema not in self._validators:
            root = {"$ref": f"#/components/schemas/{schema}", "components": self._components}
            self._validators[schema] = jsonschema.Draft202012Validator(root)
        return self._validators[schema].iter_errors(body)


def _field_error(error: Any, field: str) -> FieldError:
    place = field + pointer(*error.absolute_path)
    remedy = str(error.schema.get("description") or "see the OpenAPI document").rstrip(".")
    return FieldError(place[:LONGEST], error.message[:LONGEST], remedy)


class DocumentResource:
    """Serves an OpenAPI document as JSON."""

    def __init__(self, document: Document) -> None:
        self._text = json.dumps(document)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the document."""
        resp.text = self._text


class KnownParameters:
    """Falcon middleware: answers 400 to query parameters that the OpenAPI *document* does not list.

    A misspelt filter is refused instead of ignored. A parameter whose schema is not an array may be given
    only once. Operations that the document does not list accept any parameter.
    """

    def __init__(self, document: Document) -> None:
        self._known = dict(_operations(document))

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Check the names and repetitions of the query parameters."""
        method = "GET" if req.method == "HEAD" else req.method
        known = self._known.get((_anonymous(req.uri_template or ""), method))
        if known is None:
            return
        for name, value in req.params.items():
            if name not in known:
                accepted = ", ".join(sorted(known)) or "no parameters"
                description = f"unknown query parameter {name[:80]!r}; this resource accepts {accepted}"
                raise falcon.HTTPBadRequest(description=description)
            if isinstance(value, list) and not known[name]:
                raise falcon.HTTPBadRequest(description=f"the query parameter {name} must be given once")


def _anonymous(template: str) -> str:
    return str(re2.sub(r"\{\w+\}", "{}", template))


def _operations(document: Document) -> list[tuple[tuple[str, str], dict[str, bool]]]:
    """Return, by path and method, the parameters of each operation: True for those that may be repeated."""
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
