"""A webhook consumer on a socket: answers 200 to every request and records it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from eventalarm.model import JSONDict

Hook = JSONDict


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    take: Callable[[Hook], None]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.take(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Consumer:
    """Listens on *host* from the start, on a free port unless one is named.

    :param on_webhook: called with each webhook's body as it arrives.
    """

    def __init__(
        self, on_webhook: Callable[[Hook], None] | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._on_webhook = on_webhook
        self._arrived = threading.Condition()
        self._hooks: list[Hook] = []
        handler = type("Handler", (_Handler,), {"take": staticmethod(self._take)})
        self._server = _Server((host, port), handler)
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="consumer")
        self._thread.start()

    def _take(self, hook: Hook) -> None:
        with self._arrived:
            self._hooks.append(hook)
            self._arrived.notify_all()
        if self._on_webhook is not None:
            self._on_webhook(hook)

    def wait(self, count: int, timeout: float) -> list[Hook]:
        """Return all webhooks received so far once there are *count* of them.

        :raises TimeoutError: when there are fewer after *timeout* seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._hooks) >= count, timeout):
                raise TimeoutError(f"no webhook arrived within {timeout:g} seconds")
            return list(self._hooks)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
