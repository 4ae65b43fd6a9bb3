"""The web server of both APIs: waitress, with limits that apply before authentication.

waitress reads requests in one thread and passes complete ones to others, so a slow client occupies none of
those. Added here: a connection is closed when its request is not complete in time, even if bytes keep
arriving; and at the limit of connections the one that has waited longest is closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from waitress import adjustments, channel, server, task, wasyncore

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HEADER_BYTES: Final = 32 * 1024
# Seconds between two checks for overdue connections.
CHECK_INTERVAL: Final = 1
# For each address waitress's map has two more descriptors: the listening socket and its trigger.
INTERNAL: Final = 2
# Maximum duration of one poll, in seconds.
LONGEST_LOOP: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits: concurrent requests, connections, bytes of a body and of all bodies, seconds for a request."""

    threads: int = 8
    connections: int = 200
    body: int = 1024 * 1024
    body_buffer: int = 64 * 1024 * 1024
    request_timeout: float = 30.0


class _Channel(channel.HTTPChannel):  # type: ignore[misc]
    """A connection that records when it began to wait for a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waits_since: float = self.creation_time

    def received(self, data: bytes) -> bool:
        """Process received bytes; the wait for a request begins with its first byte."""
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
        """True if the server waits for the client, not the client for the server."""
        return not self.requests and not self.total_outbufs_len

    @property
    def body_bytes(self) -> int:
        """Bytes of request bodies held for this connection."""
        found = [*self.requests, self.request]
        return sum(one.body_bytes_received for one in found if one is not None)


class _Server(server.TcpWSGIServer):  # type: ignore[misc]
    """Closes overdue connections and, at the limits, those that have waited longest."""

    channel_class = _Channel
    body_buffer = 0

    def make_room(self) -> None:
        """Make room for one more connection; call it between two polls, since it closes descriptors."""
        excess = len(self._map) + 1 - self.adj.connection_limit
        if excess > 0:
            for one in self._longest_waiting()[:excess]:
                one.handle_close()

    def maintenance(self, now: float) -> None:
        """Close connections that waited longer than ``channel_timeout`` for a request or a reader."""
        cutoff = now - self.adj.channel_timeout
        for one in list(self.active_channels.values()):
            since = one.waits_since if one.waits else one.last_activity
            if not one.requests and since < cutoff:
                one.will_close = True

    def bound_bodies(self) -> None:
        """Close the connections that take longest to send their bodies while too many bytes are held."""
        excess = sum(one.body_bytes for one in self.active_channels.values()) - self.body_buffer
        if excess <= 0:
            return
        for one in self._longest_waiting():
            held = one.body_bytes
            if held and excess > 0:
                excess -= held
                # Not closed at once: it may be the one being read.
                one.will_close = True
                one.request = None

    def _longest_waiting(self) -> list[_Channel]:
        found = [one for one in self.active_channels.values() if one.waits]
        return sorted(found, key=lambda one: one.waits_since)


class WebServer:
    """Serves *app* on *listening*, which it closes at the end. :meth:`run` blocks until :meth:`stop`.

    waitress's own ``run`` ends only by a signal to the main thread, so this class runs the loop itself.
    """

    def __init__(self, app: WSGI, listening: list[socket.socket], limits: Limits, *, ident: str) -> None:
        self._sockets: dict[int, Any] = {}
        self._stopping = False
        settings = adjustments.Adjustments(
            sockets=listening,
            threads=limits.threads,
            ident=ident,
            connection_limit=limits.connections + INTERNAL * len(listening),
            channel_timeout=max(1, round(limits.request_timeout)),
            cleanup_interval=CHECK_INTERVAL,
            max_request_header_size=HEADER_BYTES,
            max_request_body_size=limits.body + 1,
            asyncore_use_poll=True,
            # oslo.middleware reads them, if [oslo_middleware] enable_proxy_headers_parsing says so.
            clear_untrusted_proxy_headers=False,
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
            # The host in links when an HTTP/1.0 request names none.
            host = made.effective_host
            made.server_name = f"[{host}]" if ":" in host else host

    def run(self) -> None:
        """Serve until :meth:`stop` is called or the thread is interrupted; then shut down cleanly."""
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
        """Make :meth:`run` return after the requests in progress; may be called from any thread."""
        self._stopping = True
        for one in self._servers:
            # The loop may have ended meanwhile, and closed the trigger.
            with contextlib.suppress(OSError):
                one.pull_trigger()
