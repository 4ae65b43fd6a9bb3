"""Clients without a token cannot keep others from using our web server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from eventalarm.http.server import Limits, WebServer
from tests.support.helpers import wait_until

KILO = 1024


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(size).encode()]


class Server:
    def __init__(self, **limits: Any) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = listening.getsockname()
        self._server = WebServer(app, [listening], Limits(**limits), ident="test")
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        self._clients = contextlib.ExitStack()

    def connect(self, data: bytes = b"") -> socket.socket:
        made = self._clients.enter_context(socket.create_connection(self.address, timeout=20))
        made.sendall(data)
        return made

    def ask(self, body: bytes | None = None) -> str:
        host, port = self.address
        with urllib.request.urlopen(f"http://{host}:{port}/", body, timeout=10) as answer:
            return str(answer.read().decode())

    def close(self) -> None:
        self._clients.close()
        self._server.stop()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(**limits: Any) -> Server:
            made = Server(**limits)
            stack.callback(made.close)
            return made

        yield start


def ended(client: socket.socket) -> bool:
    """Return True if the server closed the connection without an answer."""
    client.settimeout(0.05)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_silent_connections_do_not_block_others(serve: Callable[..., Server]) -> None:
    server = serve(connections=20)
    silent = [server.connect() for _ in range(60)]
    assert server.ask(b"x" * 10) == "10"
    assert server.ask() == "0"
    assert sum(map(ended, silent)) >= 40


def test_a_request_that_drips_is_ended_in_time(serve: Callable[..., Server]) -> None:
    """waitress counts from the last byte, so that occasional bytes would hold a connection forever."""
    server = serve(request_timeout=1.0)
    dripping = server.connect(b"GET / HTTP/1.1\r\n")
    began = time.monotonic()

    def drip() -> bool:
        try:
            dripping.sendall(b"x")
        except ConnectionError:
            return True
        return ended(dripping)

    wait_until(drip, 20)
    assert time.monotonic() - began > 0.5
    assert server.ask() == "0"


def test_an_idle_connection_is_ended_and_a_busy_one_is_not(serve: Callable[..., Server]) -> None:
    server = serve(request_timeout=1.0)
    idle, busy = server.connect(), server.connect()

    def both() -> bool:
        busy.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        busy.settimeout(10)
        answer = b""
        while not answer.endswith(b"\r\n\r\n0"):
            answer += busy.recv(65536)
        return ended(idle)

    wait_until(both, 20)


def test_a_body_that_is_too_large_is_refused_unread(serve: Callable[..., Server]) -> None:
    server = serve(body=KILO)
    client = server.connect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 419430400\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 413")
    chunked = server.connect(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunked.sendall(b"800\r\n" + b"x" * 2 * KILO + b"\r\n")
    assert chunked.recv(100).startswith(b"HTTP/1.1 413")
    assert server.ask(b"x" * KILO) == str(KILO)


def test_unfinished_bodies_are_bounded_together(serve: Callable[..., Server]) -> None:
    server = serve(body=100 * KILO, body_buffer=200 * KILO)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n"
    hoarding = [server.connect(head + b"x" * 80_000) for _ in range(6)]
    wait_until(lambda: sum(map(ended, hoarding)) >= 4, 20)
    assert server.ask(b"x" * 50_000) == "50000"


def test_headers_are_bounded(serve: Callable[..., Server]) -> None:
    server = serve()
    client = server.connect(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 40 * KILO)
    assert client.recv(100).split()[1] == b"431"
