"""Distance to the database: a relay in its own process that delays what a client sends by one round trip.

``python -m benchmarks.distance PORT MILLISECONDS`` prints the port on which it relays to PORT of this host,
until standard input closes. Answers are not delayed, since a client that waits cannot tell in which direction
it waited; what is sent meanwhile is delayed by the same time, not added to it.
"""

from __future__ import annotations

import collections
import contextlib
import socket
import sys
import threading
import time

HOST = "127.0.0.1"
BLOCK = 262_144


class Delay:
    """What one client has sent, each block with the time at which it arrives."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sent: collections.deque[tuple[float, bytes]] = collections.deque()
        self._news = threading.Semaphore(0)

    def read(self, source: socket.socket) -> None:
        """Take what arrives from *source*, up to its end."""
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                self._put(data)
        self._put(b"")

    def _put(self, data: bytes) -> None:
        self._sent.append((time.monotonic() + self._seconds, data))
        self._news.release()

    def write(self, sink: socket.socket) -> None:
        """Forward each block to *sink* when it is due, up to the end."""
        with contextlib.suppress(OSError):
            while True:
                self._news.acquire()
                due, data = self._sent.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)


def forward(source: socket.socket, sink: socket.socket) -> None:
    """Forward everything at once."""
    with contextlib.suppress(OSError):
        while data := source.recv(BLOCK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def relay(server: socket.socket, port: int, seconds: float) -> None:
    """Relay every connection that *server* accepts."""
    while True:
        client, _ = server.accept()
        database = socket.create_connection((HOST, port))
        for end in (client, database):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        delay = Delay(seconds)
        for work, arguments in (
            (delay.read, (client,)),
            (delay.write, (database,)),
            (forward, (database, client)),
        ):
            threading.Thread(target=work, args=arguments, daemon=True).start()


def main() -> None:
    """Relay until standard input closes."""
    port, milliseconds = int(sys.argv[1]), float(sys.argv[2])
    server = socket.create_server((HOST, 0), backlog=128)
    sys.stdout.write(f"{server.getsockname()[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=relay, args=(server, port, milliseconds / 1000), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
