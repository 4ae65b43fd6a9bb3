"""What ``POST /notifications`` makes of a body."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
import webob

from eventalarm.standalone import web

NOW = datetime.datetime(2026, 11, 21, 8, 0, 0, 5, tzinfo=datetime.UTC)
GOOD = {"event_type": "a.b", "publisher_id": "nova.host", "payload": {"x": 1}}


def read(fields: object, exchange: str = "nova") -> web.Notification:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return web.read(body, exchange, ("nova", "cinder"), NOW, "new-id")


def test_missing_fields_get_defaults() -> None:
    assert read(GOOD) == web.Notification(
        "nova",
        "info",
        {**GOOD, "priority": "INFO", "message_id": "new-id", "timestamp": "2026-11-21 08:00:00.000005"},
    )


def test_given_fields_are_kept() -> None:
    said = {**GOOD, "priority": "ERROR", "message_id": "mine", "timestamp": "2026-11-20 23:01:36.223555"}

    assert read(said, "cinder") == web.Notification("cinder", "error", said)


def test_unknown_fields_are_dropped() -> None:
    assert "_context_auth_token" not in read({**GOOD, "_context_auth_token": "secret"}).message


def test_the_envelope_is_removed() -> None:
    enveloped = {"oslo.version": "2.0", "oslo.message": json.dumps({**GOOD, "message_id": "inner"})}

    assert read(enveloped).message["message_id"] == "inner"


@pytest.mark.parametrize(
    ("fields", "exchange", "field"),
    [
        (b"", "nova", "body"),
        (b"[" * 100000, "nova", "body"),
        ("text", "nova", "body"),
        ({"oslo.message": 5}, "nova", "oslo.message"),
        ({"oslo.message": "[]"}, "nova", "oslo.message"),
        ({}, "nova", "payload"),
        ({**GOOD, "payload": []}, "nova", "payload"),
        ({**GOOD, "priority": "loud"}, "nova", "priority"),
        ({**GOOD, "priority": None}, "nova", "priority"),
        ({**GOOD, "event_type": 3}, "nova", "event_type"),
        ({**GOOD, "publisher_id": ""}, "nova", "publisher_id"),
        ({**GOOD, "message_id": ["x"]}, "nova", "message_id"),
        ({**GOOD, "timestamp": "soon"}, "nova", "timestamp"),
        (GOOD, "glance", "exchange"),
    ],
)
def test_the_first_invalid_field_is_named(fields: object, exchange: str, field: str) -> None:
    with pytest.raises(web.BadNotification) as caught:
        read(fields, exchange)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "status", "field"),
    [
        ({"method": "GET"}, 405, "method"),
        ({"content_type": "application/x-www-form-urlencoded"}, 415, "Content-Type"),
        ({"body": b" " * (web.MAX_BODY + 1)}, 413, "body"),
        ({"query_string": "exchange=glance"}, 400, "exchange"),
    ],
)
def test_a_request_that_is_refused_puts_nothing_on_the_bus(
    options: dict[str, Any], status: int, field: str
) -> None:
    put: list[web.Notification] = []
    good = {"method": "POST", "content_type": "application/json", "body": json.dumps(GOOD).encode()}
    request = webob.Request.blank("/notifications")
    for name, value in {**good, **options}.items():
        if name == "query_string":
            request.query_string = value
        else:
            setattr(request, name, value)

    response = request.get_response(web.Intake(put.append, ("nova",)))

    assert (response.status_code, response.json["field"]) == (status, field)
    assert not put
