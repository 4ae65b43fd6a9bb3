"""Helpers of functional tests: waiting, running programs, a webhook consumer, Aodh's configuration."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import oslo_messaging

from eventalarm.trial.own_cloud.programs.configuration import aodh_config, create_aodh_schema, write_config
from eventalarm.trial.own_cloud.programs.processes import Process, console_script, wait_until

__all__ = [
    "Behaviour",
    "Process",
    "Received",
    "TopicListener",
    "WebhookSink",
    "aodh_config",
    "console_script",
    "create_aodh_schema",
    "wait_until",
    "write_config",
]


@dataclass(frozen=True)
class Received:
    """One request that reached the sink; ``at`` is seconds since the epoch, ``tick`` is monotonic."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    tick: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Behaviour:
    """How the sink answers one path; the last status is repeated."""

    statuses: Sequence[int] = (200,)
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: threading.Event | None = None
    served: Iterator[int] = field(default_factory=itertools.count)

    def status(self) -> int:
        return self.statuses[min(next(self.served), len(self.statuses) - 1)]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    sink: WebhookSink

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: clients that give up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this a small response waits for the client's delayed ACK, which adds 40 ms to every figure.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        at, tick = time.time(), time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sink = self.server.sink
        behaviour = sink.take(Received(self.command, self.path, dict(self.headers), body, at, tick))
        status = behaviour.status()
        if behaviour.hold is not None:
            behaviour.hold.wait(120)
        if behaviour.delay:
            sink.closing.wait(behaviour.delay)
        self.send_response(status)
        for name, value in behaviour.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(behaviour.body)))
        self.end_headers()
        self.wfile.write(behaviour.body)

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output clean."""


class WebhookSink:
    """A real HTTP server on a free port that records every request and answers as configured.

    ``sink.behave("/a", statuses=[503, 200], headers={"Retry-After": "1"})``; ``release = sink.hang("/b")``.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.closing = threading.Event()
        self._behaviours: dict[str, Behaviour] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.sink = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of *path*."""
        return f"http://{host}:{self.port}{path}"

    def behave(self, path: str, **behaviour: Any) -> None:
        """Answer *path* as a :class:`Behaviour` of these fields; the default is an empty 200."""
        with self._lock:
            self._behaviours[path] = Behaviour(**behaviour)

    def hang(self, path: str) -> Callable[[], None]:
        """Hold every response of *path* until the returned function is called."""
        held = threading.Event()
        self.behave(path, hold=held)

        def release() -> None:
            self.behave(path)
            held.set()

        return release

    def take(self, request: Received) -> Behaviour:
        with self._lock:
            self.requests.append(request)
            return self._behaviours.setdefault(request.path, Behaviour())

    def at(self, path: str) -> list[Received]:
        """Return the requests to *path* so far, in order of arrival."""
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def wait(self, count: int = 1, path: str | None = None, timeout: float = 30.0) -> list[Received]:
        """Return the requests (of *path*) once there are at least *count*."""

        def enough() -> list[Received]:
            found = self.at(path) if path is not None else list(self.requests)
            return found if len(found) >= count else []

        return wait_until(enough, timeout, f"{count} requests at {path or 'any path'}")

    def close(self) -> None:
        """Release all held requests and stop listening."""
        self.closing.set()
        for behaviour in self._behaviours.values():
            if behaviour.hold is not None:
                behaviour.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class TopicListener:
    """A plain oslo.messaging listener, as any consumer of the topic would use."""

    def __init__(self, transport: Any, topic: str = "event_eval", exchange: str = "eventalarm") -> None:
        self.messages: list[dict[str, Any]] = []
        self.ticks: list[float] = []
        target = oslo_messaging.Target(topic=topic, exchange=exchange)
        self._listener = oslo_messaging.get_batch_notification_listener(
            transport, [target], [self], executor="threading", batch_size=1
        )
        self._listener.start(override_pool_size=1)

    def sample(self, messages: list[dict[str, Any]]) -> None:
        """Take messages: oslo.messaging calls the method named after their priority."""
        self.ticks += [time.monotonic()] * len(messages)
        self.messages += messages

    @property
    def ids(self) -> list[str]:
        """The message ids of all events so far, in order of arrival."""
        return [event["message_id"] for message in self.messages for event in message["payload"]]

    def wait(self, count: int = 1, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Return the messages once there are at least *count*."""
        wait_until(lambda: len(self.messages) >= count, timeout, f"{count} messages")
        return self.messages

    def close(self) -> None:
        """Stop listening."""
        self._listener.stop()
        self._listener.wait()
