"""The IFA API behind a real socket, in this process: for clients that need HTTP."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from eventalarm.ifa_shim.api import application
from eventalarm.standalone.web import WebServer
from tests.support.ifa_api import IfaApi


@contextlib.contextmanager
def serving(api: IfaApi) -> Iterator[str]:
    """Serve *api*; yields the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    server = WebServer(application.application(api.conf, api.database), listening)
    server.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
