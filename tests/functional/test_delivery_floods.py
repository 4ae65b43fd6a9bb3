"""Consumers that answer endlessly, slowly, or without HTTP: each call is bounded in time and bytes."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.http import HttpSender
from tests.functional.test_delivery_http import answer_with, attempt, connections, failure, talker
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink


def test_dripping_headers_end_with_the_total_timeout() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not ending.wait(0.05):
            connection.sendall(b"X-Drip: 1\r\n")

    options = DeliveryOptions(total_timeout=0.4)
    before = time.monotonic()
    with talker(drip) as port:
        assert failure(f"http://127.0.0.1:{port}/", options).reason in ("timeout", "protocol")
        assert time.monotonic() - before < 4.0


def test_an_accepted_delivery_stays_accepted_when_the_body_drips() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not ending.wait(0.05):
            connection.sendall(b".")

    options = DeliveryOptions(total_timeout=0.4)
    with talker(drip) as port:
        assert attempt(f"http://127.0.0.1:{port}/", options) == 200


def test_an_endless_body_is_read_up_to_the_limit() -> None:
    sent: list[int] = []

    def flood(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not ending.is_set():
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    options = DeliveryOptions(total_timeout=30.0, max_response_size=100_000)
    with talker(flood) as port:
        assert attempt(f"http://127.0.0.1:{port}/", options) == 200
    assert sum(sent) < 20_000_000


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"


# What a hostile consumer sends first and then repeatedly, and the result of the attempt. With trailers it
# depends on the segments of TCP: the status counts if it was read before there were too many trailers.
FLOODS = {
    "interim answers": (b"", INTERIM * 2000, "disconnected"),
    "an extension of a chunk": (CHUNKED + b"1;", b"x" * 65536, 200),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000, (200, "protocol")),
    "tiny chunks": (CHUNKED, b"1\r\nx\r\n" * 10_000, 200),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, "protocol"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000, "protocol"),
    "a status line": (b"", b"H" * 65536, "protocol"),
    "more answers than requests": (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 1000, 200),
    "another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"x" * 65536,
        "http_1xx",
    ),
}


@pytest.mark.parametrize(("first", "then", "outcome"), FLOODS.values(), ids=FLOODS)
def test_a_flood_of_any_kind_ends_the_connection(
    first: bytes, then: bytes, outcome: str | int | tuple[int | str, ...]
) -> None:
    """Fails for interim responses and chunk extensions if only the body is bounded."""
    sent: list[int] = []

    def flood(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while not ending.is_set():
            connection.sendall(then)
            sent.append(len(then))

    options = DeliveryOptions(total_timeout=20.0)
    with talker(flood) as port:
        found = attempt(f"http://127.0.0.1:{port}/", options)
    assert getattr(found, "reason", found) in (outcome if isinstance(outcome, tuple) else (outcome,))
    assert sum(sent) < 20_000_000


def test_each_response_on_a_connection_has_its_own_byte_limit(webhook_sink: WebhookSink) -> None:
    """On one persistent connection: each response alone is within the bound, all of them together are not."""
    webhook_sink.behave("/", body=b"x" * 60_000)

    async def run() -> int:
        sender = HttpSender(DeliveryOptions())
        used: set[object] = set()
        for _ in range(10):
            await sender.send(make_delivery(webhook_sink.url("/")))
            (kept,) = connections(sender)
            used.update(protocol for protocol, *_ in kept)
        await sender.close()
        return len(used)

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "disconnected"),
        (b"HTTP/1.1 200", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
    ],
)
def test_a_response_that_is_not_http_is_a_failure(text: bytes, reason: str) -> None:
    with talker(answer_with(text)) as port:
        assert failure(f"http://127.0.0.1:{port}/").reason == reason
