"""The web server: Aodh's API and ours behind one socket, started and stopped without loose ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import waitress
from waitress import wasyncore

from eventalarm.standalone import intake

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_BODY: Final = 4 * intake.MAX_BODY
LONGEST_LOOP: Final = 1.0


def dispatch(aodh: WSGI, others: Mapping[str, WSGI]) -> WSGI:
    """Return an application that gives every path to the one of *others* whose prefix it has, else to *aodh*.

    A prefix is one or more whole segments of a path, without a slash at its end.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/") + "/"
        chosen = next((app for prefix, app in others.items() if path.startswith(f"{prefix}/")), aodh)
        return chosen(environ, start_response)

    return application


class WebServer:
    """Serves *application* on *listening*, which it closes in the end.

    waitress's own ``run`` can only be ended by a signal to the main thread, so the loop is ours.
    """

    def __init__(self, application: WSGI, listening: socket.socket) -> None:
        self._sockets: dict[int, Any] = {}
        self._server = waitress.create_server(
            application,
            map=self._sockets,
            sockets=[listening],
            threads=8,
            ident="eventalarm-standalone",
            max_request_body_size=MAX_BODY,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="web server")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests under way and close the socket."""
        self._stopping.set()
        self._server.pull_trigger()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=LONGEST_LOOP, use_poll=True, map=self._sockets, count=1)
