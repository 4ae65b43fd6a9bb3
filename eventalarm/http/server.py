"""The web server of our APIs: waitress, with limits that hold before anybody is authenticated.

waitress reads requests in one thread and hands whole ones to its workers, so a slow client costs no worker.
What it lacks is added here: a request that does not arrive in time ends its connection, however often a byte
of it comes, and at the limit of connections the one that has waited longest makes room for the next.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from waitress import adjustments, channel, server, task, wasyncore

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HEADER_BYTES: Final = 32 * 1024
# Seconds between two looks at connections that are overdue.
LOOK: Final = 1
# Descriptors in waitress's map that are no connections: a listening socket and its trigger for each address.
OWN: Final = 2
LONGEST_LOOP: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use: connections, bytes of one body and of all, seconds for a request."""

    threads: int = 8
    connections: int = 200
    body: int = 1024 * 1024
    body_buffer: int = 64 * 1024 * 1024
    request_timeout: float = 30.0


class _Channel(channel.HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when it waits for a request to arrive whole."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waits_since: float = self.creation_time

    def received(self, data: bytes) -> bool:
        """Take what the client sent; the wait for a request begins with its first byte."""
        fresh = self.request is None
        taken = bool(super().received(data))
        if self.request is not None:
            if fresh:
                self.waits_since = time.time()
            if self.request.body_bytes_received:
                self.server.bound_bodies()
        return taken

    def service(self) -> None:
        """Answer a request; then the wait for the next one begins."""
        super().service()
        self.waits_since = time.time()

    @property
    def waits(self) -> bool:
        """Whether the client has to send something next."""
        return not self.requests and not self.total_outbufs_len

    @property
    def body_bytes(self) -> int:
        """How much of bodies is held for this connection."""
        found = [*self.requests, self.request]
        return sum(one.body_bytes_received for one in found if one is not None)


class _Server(server.TcpWSGIServer):  # type: ignore[misc]
    """Ends connections that are overdue, and those that waited longest where there is no room for others."""

    channel_class = _Channel
    body_buffer = 0

    def make_room(self) -> None:
        """Make room for one more connection; to be called between two polls, since descriptors are closed."""
        excess = len(self._map) + 1 - self.adj.connection_limit
        if excess > 0:
            for one in self._longest_waiting()[:excess]:
                one.handle_close()

    def maintenance(self, now: float) -> None:
        """End what waited longer than ``channel_timeout`` for a request, or for its answer to be read."""
        cutoff = now - self.adj.channel_timeout
        for one in list(self.active_channels.values()):
            since = one.waits_since if one.waits else one.last_activity
            if not one.requests and since < cutoff:
                one.will_close = True

    def bound_bodies(self) -> None:
        """End the connections that take longest to send their bodies while too much of bodies is held."""
        excess = sum(one.body_bytes for one in self.active_channels.values()) - self.body_buffer
        if excess <= 0:
            return
        for one in self._longest_waiting():
            held = one.body_bytes
            if held and excess > 0:
                excess -= held
                # Not closed at once: it may be the one that is being read.
                one.will_close = True
                one.request = None

    def _longest_waiting(self) -> list[_Channel]:
        found = [one for one in self.active_channels.values() if one.waits]
        return sorted(found, key=lambda one: one.waits_since)


class WebServer:
    """Serves *app* on *listening*, which it closes in the end. :meth:`run` blocks until :meth:`stop`.

    waitress's own ``run`` can only be ended by a signal to the main thread, so the loop is ours.
    """

    def __init__(self, app: WSGI, listening: list[socket.socket], limits: Limits, *, ident: str) -> None:
        self._sockets: dict[int, Any] = {}
        self._stopping = False
        settings = adjustments.Adjustments(
            sockets=listening,
            threads=limits.threads,
            ident=ident,
            connection_limit=limits.connections + OWN * len(listening),
            channel_timeout=max(1, round(limits.request_timeout)),
            cleanup_interval=LOOK,
            max_request_header_size=HEADER_BYTES,
            max_request_body_size=limits.body + 1,
            asyncore_use_poll=True,
        )
        self._dispatcher = task.ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(limits.threads)
        self._servers = [
            _Server(
                app,
                self._sockets,
                True,
                one,
                dispatcher=self._dispatcher,
                adj=settings,
                bind_socket=False,
                sockinfo=(one.family, one.type, one.proto, one.getsockname()),
            )
            for one in listening
        ]
        for made in self._servers:
            made.body_buffer = limits.body_buffer
            # What stands in links when HTTP/1.0 names no host.
            host = made.effective_host
            made.server_name = f"[{host}]" if ":" in host else host

    def run(self) -> None:
        """Answer until :meth:`stop` is called or the thread is interrupted; then end in good order."""
        try:
            while not self._stopping:
                for one in self._servers:
                    one.make_room()
                wasyncore.loop(timeout=LONGEST_LOOP, use_poll=True, map=self._sockets, count=1)
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self._dispatcher.shutdown()
            wasyncore.close_all(self._sockets)

    def stop(self) -> None:
        """Make :meth:`run` return after the requests under way; may be called from any thread."""
        self._stopping = True
        for one in self._servers:
            one.pull_trigger()
