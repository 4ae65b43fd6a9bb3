"""What becomes of a report in Doctor's southbound form."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.http import openapi
from eventalarm.http.openapi import Schemas
from eventalarm.http.responses import BadBody
from eventalarm.ingest import reading
from eventalarm.ingest.application import DOCUMENT_FILE
from eventalarm.model import DEFAULT_LIMITS

TRAITS = ("resource_id", "instance_id", "hostname", "host")
REPORT = {
    "time": "2026-11-20T23:01:36Z",
    "type": "compute.host.down",
    "details": {"hostname": "compute0", "status": "down", "severity": "critical"},
}


def traits(details: dict[str, Any]) -> dict[str, Any]:
    event = reading.to_event({**REPORT, "details": details}, TRAITS)
    return {name: (dtype, value) for name, dtype, value in event["traits"]}


def test_a_report_becomes_an_event() -> None:
    event = reading.to_event(REPORT, TRAITS)

    assert event.pop("message_id") == "1a8d37e8-efb9-5ea9-86bb-e8ae5c97515b"
    assert event == {
        "event_type": "compute.host.down",
        "generated": "2026-11-20T23:01:36",
        "traits": [
            ["hostname", 1, "compute0"],
            ["status", 1, "down"],
            ["severity", 1, "critical"],
            ["resource_id", 1, "compute0"],
        ],
        "raw": {},
        "message_signature": "",
    }


def test_the_same_report_has_the_same_id_however_it_is_written() -> None:
    again = {
        "details": {"status": "down", "severity": "critical", "hostname": "compute0"},
        "type": "compute.host.down",
        "time": "2026-11-21T00:01:36+01:00",
    }
    other = {**REPORT, "time": "2026-11-20T23:01:37Z"}
    names = [reading.to_event(one, TRAITS)["message_id"] for one in (REPORT, again, other)]

    assert names[0] == names[1] != names[2]
    assert reading.to_event({**REPORT, "id": "mine"}, TRAITS)["message_id"] == "mine"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"a": {"b": {"c": 1}}}, {"a": (1, "{'b': {'c': 1}}"), "a.b": (1, "{'c': 1}"), "a.b.c": (2, 1)}),
        ({"a": ["x", {"y": 0.5}]}, {"a": (1, "['x', {'y': 0.5}]")}),
        ({"a": [], "b": {}}, {"a": (1, "[]"), "b": (1, "{}")}),
        ({"a": {"b": [True, None]}}, {"a": (1, "{'b': [True, None]}"), "a.b": (1, "[True, None]")}),
        ({"a": True, "b": None}, {"a": (1, "True")}),
        ({"tenant": "p"}, {"tenant": (1, "p"), "project_id": (1, "p")}),
        ({"tenant_id": "p", "project_id": ""}, {"tenant_id": (1, "p"), "project_id": (1, "p")}),
        ({"project_id": "p", "tenant": "q"}, {"project_id": (1, "p"), "tenant": (1, "q")}),
        (
            {"host": "h", "instance_id": "i"},
            {"host": (1, "h"), "instance_id": (1, "i"), "resource_id": (1, "i")},
        ),
        ({"resource_id": "r", "host": "h"}, {"resource_id": (1, "r"), "host": (1, "h")}),
        ({}, {}),
    ],
)
def test_details_become_traits(details: dict[str, Any], expected: dict[str, Any]) -> None:
    assert traits(details) == expected


def test_invalid_reports_are_refused() -> None:
    nested: dict[str, Any] = {}
    listed: list[Any] = []
    for _ in range(reading.DEEPEST):
        nested = {"a": nested}
        listed = [listed]
    for details in (nested, {"a": listed}):
        with pytest.raises(reading.TooDeep):
            traits(details)
    with pytest.raises(ValueError, match="not an ISO 8601 date"):
        reading.to_event({**REPORT, "time": "soon"}, TRAITS)


def test_details_are_optional() -> None:
    bare = {name: REPORT[name] for name in ("time", "type")}
    event = reading.to_event(bare, TRAITS)
    assert (event["event_type"], event["traits"]) == ("compute.host.down", [])
    assert event["message_id"] == reading.to_event({**bare, "details": {}}, TRAITS)["message_id"]


def test_checkpoints_become_one_trait_of_json() -> None:
    """Red when they are written as the text of a Python object, as other lists are."""
    listed = [{"name": "link down", "time": "2026-05-01T12:00:00Z"}]

    assert traits({"checkpoints": listed}) == {
        "checkpoints": (1, '[{"name": "link down", "time": "2026-05-01T12:00:00Z"}]')
    }


@pytest.mark.parametrize("wrong", [7, [{"name": "a"}], {"a": "soon"}, "text"])
def test_bad_checkpoints_of_a_report_are_named(wrong: Any) -> None:
    schemas = Schemas(openapi.load(DOCUMENT_FILE))
    reader = reading.EventReader(schemas, reading.Bounds(10_000, 10, DEFAULT_LIMITS), ())
    body = {"time": "2026-05-01T12:00:00Z", "type": "t", "details": {"checkpoints": wrong}}
    with pytest.raises(BadBody) as refused:
        reader.events({"events": [body]})

    assert [one.field for one in refused.value.errors] == ["/events/0/details/checkpoints"]
