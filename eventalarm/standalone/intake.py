"""``POST /notifications``: puts a notification on the bus of the process, for those who are outside of it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Callable, Collection
from typing import Any, Final

import webob
import webob.dec

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import UTC, JSONDict, parse_time

PATH: Final = "/notifications"
MAX_BODY: Final = 1024 * 1024
PRIORITIES: Final = ("audit", "critical", "debug", "error", "info", "sample", "warn")


class BadNotification(EventAlarmError):
    """What was posted is no notification; ``field`` names where, the text says why."""

    def __init__(self, field: str, problem: str, status: int = 400) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Notification:
    """A message as oslo.messaging's notifiers put it on the bus, and the queue it goes to."""

    exchange: str
    priority: str
    message: JSONDict


Put = Callable[[Notification], None]


def read(
    body: bytes, exchange: str, exchanges: Collection[str], now: datetime.datetime, new_id: str
) -> Notification:
    """Check what was posted; a missing message id is *new_id*, a missing time is *now*.

    The ``oslo.message`` envelope, which a recording from a broker has, is taken off.

    :raises BadNotification: naming the first field that cannot work.
    """
    if exchange not in exchanges:
        raise BadNotification("exchange", f"nobody listens on {exchange[:80]!r}; use {', '.join(exchanges)}")
    fields = _fields(body)
    priority = _text(fields, "priority", "INFO").lower()
    if priority not in PRIORITIES:
        raise BadNotification("priority", f"is unknown; use one of {', '.join(PRIORITIES)}")
    payload = fields.get("payload")
    if not isinstance(payload, dict):
        raise BadNotification("payload", "must be an object")
    message = {
        "message_id": _text(fields, "message_id", new_id),
        "publisher_id": _text(fields, "publisher_id"),
        "event_type": _text(fields, "event_type"),
        "priority": priority.upper(),
        "payload": payload,
        "timestamp": _text(fields, "timestamp", str(now.astimezone(UTC).replace(tzinfo=None))),
    }
    try:
        parse_time(message["timestamp"])
    except ValueError as exc:
        raise BadNotification("timestamp", str(exc)) from exc
    return Notification(exchange, priority, message)


def _fields(body: bytes) -> JSONDict:
    fields = _object("body", body)
    if "oslo.message" in fields:
        fields = _object("oslo.message", fields["oslo.message"])
    return fields


def _object(field: str, text: Any) -> JSONDict:
    try:
        fields = json.loads(text)
    except (ValueError, TypeError, RecursionError) as exc:
        raise BadNotification(field, f"is not JSON ({exc})") from exc
    if not isinstance(fields, dict):
        raise BadNotification(field, "must be an object")
    return fields


def _text(fields: JSONDict, name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if value is None:
        raise BadNotification(name, "is missing")
    if not isinstance(value, str) or not value:
        raise BadNotification(name, "must be a text that is not empty")
    return value


class Intake:
    """The WSGI application of :data:`PATH`: 202 when the bus has it, 4xx naming the field when it cannot be.

    Only JSON is taken, declared as such: a web page cannot send that here without being allowed to.
    """

    def __init__(
        self,
        put: Put,
        exchanges: Collection[str],
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC),
        make_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._put = put
        self._exchanges = exchanges
        self._clock = clock
        self._make_id = make_id

    @webob.dec.wsgify  # type: ignore[untyped-decorator]
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer one request."""
        try:
            notification = self._read(request)
        except BadNotification as exc:
            allow = {"Allow": "POST"} if exc.status == 405 else {}
            return webob.Response(
                status=exc.status, headers=allow, json={"field": exc.field, "message": str(exc)}
            )
        self._put(notification)
        return webob.Response(
            status=202,
            json={
                "message_id": notification.message["message_id"],
                "exchange": notification.exchange,
                "priority": notification.priority,
            },
        )

    def _read(self, request: webob.Request) -> Notification:
        if request.method != "POST":
            raise BadNotification("method", "only POST is known here", 405)
        if request.content_type != "application/json":
            raise BadNotification("Content-Type", "must be application/json (curl: --json @file)", 415)
        if (request.content_length or 0) > MAX_BODY:
            raise BadNotification("body", f"is larger than {MAX_BODY} bytes", 413)
        exchange = request.GET.get("exchange", "nova")
        return read(request.body, exchange, self._exchanges, self._clock(), self._make_id())
