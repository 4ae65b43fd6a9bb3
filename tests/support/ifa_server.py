"""The IFA API behind a real socket, in this process: for clients that need HTTP."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from eventalarm.http.server import WSGI
from eventalarm.ifa_shim.api import application
from eventalarm.standalone.web import WebServer
from tests.support.ifa_api import IfaApi


def serving(api: IfaApi) -> contextlib.AbstractContextManager[str]:
    """Serve *api*; yields the URL."""
    return served(application.application(api.conf, api.database))


@contextlib.contextmanager
def served(app: WSGI) -> Iterator[str]:
    """Serve a WSGI application in another thread, whose loop ends before its sockets are closed."""
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    server = WebServer(app, listening)
    server.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
