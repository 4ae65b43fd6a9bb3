"""What is wrong with a request: each fault names the field, the problem and the remedy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import falcon
import jsonschema

from eventalarm.ifa_shim.api import problems

MOST_FAULTS: Final = 20
LONGEST: Final = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; ``field`` is a JSON pointer into the body."""

    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field or 'the body'}: {self.problem}; {self.remedy}"


class BadBody(falcon.HTTPBadRequest):
    """400 with every fault that was found, the first :data:`MOST_FAULTS` of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(description=str(faults[0]))
        self.faults = tuple(faults[:MOST_FAULTS])


class Shapes:
    """The schemas of the API's own document; the ``description`` of a schema says what would be right."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = document["components"]
        self._validators: dict[str, Any] = {}

    def faults(self, schema: str, body: Any, field: str = "") -> list[Fault]:
        """Return what is wrong with *body*, which stands at *field* of the request, by *schema*."""
        if schema not in self._validators:
            root = {"$ref": f"#/components/schemas/{schema}", "components": self._components}
            self._validators[schema] = jsonschema.Draft202012Validator(root)
        return [_fault(error, field) for error in self._validators[schema].iter_errors(body)]


def pointer(*parts: object) -> str:
    """Return the JSON pointer (RFC 6901) of a place in the body."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _fault(error: Any, field: str) -> Fault:
    place = field + pointer(*error.absolute_path)
    remedy = str(error.schema.get("description") or "see /v1/openapi.json").rstrip(".")
    return Fault(place[:LONGEST], error.message[:LONGEST], remedy)


def serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    """Write *error* as problem details (RFC 9457); the faults are its member ``errors``."""
    problems.serialize(request, response, error)
    if isinstance(error, BadBody):
        body = json.loads(response.text or "{}")
        body["errors"] = [dataclasses.asdict(fault) for fault in error.faults]
        response.text = json.dumps(body)
