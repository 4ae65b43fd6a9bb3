"""The OpenAPI document of this API: served as it is, and the schemas that bodies must fit."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Final

import falcon
import jsonschema
import yaml

FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")


@functools.lru_cache(maxsize=1)
def load() -> Mapping[str, Any]:
    """Return the document."""
    loaded: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


class ApiDocument:
    """The document, with a validator for each of its schemas, made when it is first needed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.text = json.dumps(document)
        self._components = document["components"]
        self._validators: dict[str, Any] = {}

    def problem(self, schema: str, body: Any) -> str:
        """Return what is wrong with *body* in the eyes of *schema*, or an empty text."""
        if schema not in self._validators:
            root = {"$ref": f"#/components/schemas/{schema}", "components": self._components}
            self._validators[schema] = jsonschema.Draft202012Validator(root)
        error = jsonschema.exceptions.best_match(self._validators[schema].iter_errors(body))
        if error is None:
            return ""
        place = "/".join(str(part) for part in error.absolute_path) or "the body"
        return f"{place}: {error.message[:300]}"


class DocumentResource:
    """``/openapi.json``: readable without a token."""

    def __init__(self, document: ApiDocument) -> None:
        self._text = document.text

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer the document."""
        resp.content_type = "application/json"
        resp.text = self._text
