"""The web server of standalone: Aodh's API and ours behind one socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from eventalarm.http import server
from eventalarm.http.server import WSGI, Limits
from eventalarm.standalone import intake

MAX_BODY: Final = 4 * intake.MAX_BODY


def dispatch(aodh: WSGI, others: Mapping[str, WSGI]) -> WSGI:
    """Return an application that routes by path prefix to one of *others*, else to *aodh*.

    A prefix is one or more whole segments of a path, without a slash at its end.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/") + "/"
        chosen = next((app for prefix, app in others.items() if path.startswith(f"{prefix}/")), aodh)
        return chosen(environ, start_response)

    return application


class WebServer:
    """Serves *application* on *listening*, in its own thread, and closes the socket at the end."""

    def __init__(self, application: WSGI, listening: socket.socket) -> None:
        limits = Limits(body=MAX_BODY)
        self._server = server.WebServer(application, [listening], limits, ident="eventalarm-standalone")
        self._thread = threading.Thread(target=self._server.run, name="web server")

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests under way and close the socket."""
        self._server.stop()
        self._thread.join()
