"""Reading from the broker: one poll takes what has arrived, and never waits for more than one message."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from eventalarm.evaluator.arrived_messages import MOST_POLLED, ArrivedMessages


class Amqp:
    """The connection inside that of kombu."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock


class Kombu:
    """A connection on which every byte is a message, except a zero: the beginning of one."""

    def __init__(self, sock: socket.socket) -> None:
        self.connection = Amqp(sock)
        self.messages: list[bytes] = []

    def drain_events(self, timeout: float | None = None) -> None:
        """Read one message."""
        self.connection.sock.settimeout(timeout)
        one = self.connection.sock.recv(1)
        if one == b"\0":
            raise TimeoutError
        if not one:
            raise ConnectionError("closed")
        self.messages.append(one)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, brokers = socket.socketpair()
    with ours, brokers:
        yield ours, brokers


def test_what_has_arrived_is_read_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    kombu = Kombu(ends[0])
    arrived = ArrivedMessages(kombu)
    with pytest.raises(TimeoutError):
        arrived(timeout=0.001)
    ends[1].send(b"abc")
    arrived(timeout=0.001)
    assert kombu.messages == [b"a", b"b", b"c"]
    ends[1].send(b"d" * (MOST_POLLED + 1))
    arrived(timeout=0.001)
    assert len(kombu.messages) == 3 + MOST_POLLED
    arrived(timeout=0.001)
    assert len(kombu.messages) == 4 + MOST_POLLED


def test_a_message_in_parts_does_not_withhold_those_before_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    kombu = Kombu(ends[0])
    ends[1].send(b"a\0")
    ArrivedMessages(kombu)(timeout=0.001)
    assert kombu.messages == [b"a"]


def test_a_lost_connection_is_raised_to_the_driver(ends: tuple[socket.socket, socket.socket]) -> None:
    kombu = Kombu(ends[0])
    ends[1].send(b"a")
    ends[1].close()
    with pytest.raises(ConnectionError):
        ArrivedMessages(kombu)(timeout=0.001)
    assert kombu.messages == [b"a"]
