"""A TCP relay whose target can be changed for new connections, as with a virtual IP or a proxy."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from collections.abc import Iterator

LOCALHOST = "127.0.0.1"


class Relay:
    """Relays each connection to the port that was the target when it was opened; ``stall`` blocks traffic."""

    def __init__(self, target: int, host: str = LOCALHOST) -> None:
        self.target = target
        self._passing = threading.Event()
        self._passing.set()
        self._server = socket.create_server((host, 0))
        self.port: int = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Keep every connection open and block both directions."""
        self._passing.clear()

    def resume(self) -> None:
        """Forward what waits, and all later traffic."""
        self._passing.set()

    def cut(self) -> None:
        """End every connection; new ones are relayed."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection((LOCALHOST, self.target))
            except OSError:
                return
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _note(self, source: socket.socket, sink: socket.socket, data: bytes) -> None:
        """Take note of data that is about to be forwarded."""

    def _is_client(self, end: socket.socket) -> bool:
        return end in self._ends[::2]

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                self._note(source, sink, data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        self._closed = True
        self._passing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in self._ends:
            end.close()


class TripCounter(Relay):
    """A relay that counts the round trips for which clients wait.

    Of MySQL: how often a client sends after the server has answered. Of PostgreSQL, whose server may answer
    while more is being sent: how often a client asks for the answers, by a Query, Sync or Flush message.
    """

    def __init__(self, target: int, *, postgresql: bool = False) -> None:
        self._postgresql = postgresql
        self._answered: dict[socket.socket, bool] = collections.defaultdict(lambda: True)
        self._sent: dict[socket.socket, bytes] = {}
        self._started: set[socket.socket] = set()
        self._counting = threading.Lock()
        self.trips = 0
        super().__init__(target)

    def _note(self, source: socket.socket, sink: socket.socket, data: bytes) -> None:
        with self._counting:
            if self._postgresql and self._is_client(source):
                self._sent[source] = self._read(source, self._sent.get(source, b"") + data)
            elif self._is_client(source):
                self.trips += self._answered[source]
                self._answered[source] = False
            elif not self._postgresql:
                self._answered[sink] = True

    def _read(self, client: socket.socket, data: bytes) -> bytes:
        """Count the complete messages of PostgreSQL in *data* that ask for answers; return the rest."""
        while True:
            # The first messages have no type: requests for encryption, then the start.
            head = 1 if client in self._started else 0
            if len(data) < head + 4:
                return data
            end = head + int.from_bytes(data[head : head + 4], "big")
            if len(data) < end:
                return data
            kind = data[:1] if head else b"Q"
            if kind in b"QSH":
                # A Flush behind a Sync waits for the same answer.
                self.trips += kind == b"Q" or self._answered[client]
                self._answered[client] = False
            else:
                self._answered[client] = True
            if not head and data[4:6] == b"\x00\x03":
                self._started.add(client)
            data = data[end:]

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[int]]:
        """Yield a list to which the number of trips of the block is appended at its end."""
        found: list[int] = []
        before = self.trips
        yield found
        found.append(self.trips - before)
