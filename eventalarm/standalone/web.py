"""The HTTP side of standalone: ``POST /notifications``, and one server for all APIs."""

from __future__ import annotations

import dataclasses
import datetime
import json
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import webob
import webob.dec

from eventalarm.exceptions import EventAlarmError
from eventalarm.http import server
from eventalarm.http.server import WSGI, Limits
from eventalarm.model import UTC, JSONDict, parse_time
from eventalarm.standalone import sample

MAX_BODY: Final = 1024 * 1024
PRIORITIES: Final = ("audit", "critical", "debug", "error", "info", "sample", "warn")


class BadNotification(EventAlarmError):
    """The request is not a valid notification; ``field`` and ``problem`` say where and why."""

    def __init__(self, field: str, problem: str, status: int = 400) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Notification:
    """A message in the form of oslo.messaging's notifiers, and the exchange and priority of its queue."""

    exchange: str
    priority: str
    message: JSONDict


Put = Callable[[Notification], None]


def read(
    body: bytes, exchange: str, exchanges: Collection[str], now: datetime.datetime, new_id: str
) -> Notification:
    """Validate a posted notification; *new_id* and *now* replace a missing message id and time.

    The ``oslo.message`` envelope of a recording from a broker is removed.

    :raises BadNotification: naming the first invalid field.
    """
    if exchange not in exchanges:
        raise BadNotification(
            "exchange", f"no consumer for {exchange[:80]!r}; must be one of {', '.join(exchanges)}"
        )
    fields = _fields(body)
    priority = _text(fields, "priority", "INFO").lower()
    if priority not in PRIORITIES:
        raise BadNotification("priority", f"must be one of {', '.join(PRIORITIES)}")
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
        raise BadNotification(name, "must be a non-empty string")
    return value


class Intake:
    """The WSGI application of ``POST /notifications``: 202 once published, 4xx naming the invalid field.

    Only ``application/json`` is accepted: browsers do not let a page of another site send it without asking
    first.
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
            raise BadNotification("method", "only POST is supported", 405)
        if request.content_type != "application/json":
            raise BadNotification("Content-Type", "must be application/json (curl: --json @file)", 415)
        if (request.content_length or 0) > MAX_BODY:
            raise BadNotification("body", f"must be at most {MAX_BODY} bytes", 413)
        exchange = request.GET.get("exchange", sample.EXCHANGE)
        return read(request.body, exchange, self._exchanges, self._clock(), self._make_id())


SERVER_MAX_BODY: Final = 4 * MAX_BODY


def dispatch(aodh: WSGI, others: Mapping[str, WSGI]) -> WSGI:
    """Return an application that routes by path prefix to one of *others*, else to *aodh*.

    A prefix is one or more whole segments of a path, without a slash at its end.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/") + "/"
        chosen = next((app for prefix, app in others.items() if path.startswith(f"{prefix}/")), aodh)
        return chosen(environ, start_response)

    return application


class WebServer:
    """Serves *application* on *listening*, in its own thread, and closes the socket at the end."""

    def __init__(self, application: WSGI, listening: socket.socket) -> None:
        limits = Limits(body=SERVER_MAX_BODY)
        self._server = server.WebServer(application, [listening], limits, ident="eventalarm-standalone")
        self._thread = threading.Thread(target=self._server.run, name="web server")

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests under way and close the socket."""
        self._server.stop()
        self._thread.join()
