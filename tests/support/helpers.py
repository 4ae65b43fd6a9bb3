"""Helpers of functional tests: waiting, running programs, a webhook consumer, Aodh's configuration."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import oslo_messaging

T = TypeVar("T")


def wait_until(predicate: Callable[[], T | None], timeout: float = 30.0, what: str = "") -> T:
    """Return the first true result of *predicate*; raise AssertionError after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate}; last answer {answer!r}")
        time.sleep(0.01)


def console_script(name: str) -> str:
    """Return the path of an installed console script."""
    return str(pathlib.Path(sys.executable).parent / name)


class Process:
    """A program under test: its output goes to *log*; ``close`` ends it and all its children."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        log: pathlib.Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def text(self) -> str:
        """Return what the program printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Return the first match of *pattern* in the output; fails if the program ends before."""

        def look() -> re.Match[str] | None:
            ended = self.popen.poll()
            match = re.search(pattern, self.text())
            if match is None and ended is not None:
                raise AssertionError(f"ended with {ended} before {pattern!r}:\n{self.text()[-4000:]}")
            return match

        try:
            match = wait_until(look, timeout, pattern)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.text()[-4000:]}") from None
        assert match is not None
        return match

    def terminate(self, timeout: float = 30.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.popen.terminate()
        return self.popen.wait(timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """Return the exit code once the program has ended by itself."""
        return self.popen.wait(timeout)

    def suspend(self) -> None:
        """Send SIGSTOP, and wait until every thread of the program has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Send SIGKILL to the program and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(10)

    def close(self) -> None:
        """End the program with SIGTERM, then with SIGKILL."""
        if self.popen.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate(10)
        self.kill()


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


def write_config(path: pathlib.Path, sections: Mapping[str, Mapping[str, Any]]) -> pathlib.Path:
    """Write an oslo.config file; list values become repeated lines."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines.extend(f"{name} = {one}" for one in values)
        lines.append("")
    path.write_text("\n".join(lines))
    return path


def aodh_config(
    tmp_path: pathlib.Path, database_url: str, transport_url: str, **sections: Mapping[str, Any]
) -> pathlib.Path:
    """Write the ``aodh.conf`` that Aodh's programs and ours share and return its path.

    There is one worker, so that a test knows which process did what, unless it sets more.
    *sections* add or override options: ``eventalarm={"workers": 2}, DEFAULT={"debug": True}``.
    """
    merged: dict[str, dict[str, Any]] = {
        "DEFAULT": {"transport_url": transport_url},
        "database": {"connection": database_url, "max_retries": 0},
        "eventalarm": {"workers": 1},
        # Consumers of tests are on this host.
        "eventalarm_delivery": {"allow_networks": "127.0.0.0/8,::1/128"},
    }
    for section, options in sections.items():
        merged.setdefault(section, {}).update(options)
    return write_config(tmp_path / "aodh.conf", merged)


def create_aodh_schema(tmp_path: pathlib.Path, database_url: str) -> None:
    """Give the database Aodh's tables, by Aodh's own command."""
    conf = aodh_config(tmp_path, database_url, "fake://")
    done = subprocess.run(
        [console_script("aodh-dbsync"), "--config-file", str(conf)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
