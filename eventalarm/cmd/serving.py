"""What the commands of both HTTP APIs share: the web server, and the configuration of WSGI modules."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Collection, Iterator
from typing import Any, Final

from eventalarm.exceptions import InvalidOption

VARIABLE: Final = "EVENTALARM_CONFIG"


@contextlib.contextmanager
def needing(modules: Collection[str], prog: str, extra: str) -> Iterator[None]:
    """Turn a missing module of *modules* into an error that names the *extra* to install.

    :raises InvalidOption: when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in modules:
            raise
        raise InvalidOption(prog, f"needs {exc.name}", f"pip install 'eventalarm[{extra}]'") from exc


def serve(app: Any, conf: Any, group: str, prog: str, *, max_body: int) -> None:
    """Serve *app* on the address in *group* until SIGTERM or SIGINT; finish the requests in progress first.

    :param max_body: bytes; the web server refuses larger bodies without reading them.
    :raises InvalidOption: when the address cannot be bound.
    """
    from eventalarm.http import server as http_server  # noqa: PLC0415 - part of an extra

    settings = conf[group]
    limits = http_server.Limits(
        threads=settings.threads,
        connections=settings.connection_limit,
        body=max_body,
        body_buffer=settings.body_buffer,
        request_timeout=settings.request_timeout,
    )
    try:
        listening = _listen(settings.host, settings.port)
    except OSError as exc:
        where = f"{settings.host}:{settings.port}"
        raise InvalidOption(f"[{group}] host, port", f"{where}: {exc.strerror}", "choose another") from exc
    server = http_server.WebServer(app, listening, limits, ident=prog)
    # On KeyboardInterrupt the server finishes the requests in progress and leaves its loop.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Permanent objects need not be examined again while a client waits for a response.
    gc.collect()
    gc.freeze()
    host, port = listening[0].getsockname()[:2]
    print(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    server.run()


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of *host*, or for the first one if *port* is 0.

    :raises OSError: when an address cannot be bound.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, *_, address in found))
    with contextlib.ExitStack() as undo:
        made = [
            undo.enter_context(socket.create_server(address, family=family))
            for family, address in (addresses if port else addresses[:1])
        ]
        undo.pop_all()
    return made


def named_files() -> list[str]:
    """Return the arguments for the configuration files in ``EVENTALARM_CONFIG``, separated by colons."""
    names = [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    return [word for name in names for word in ("--config-file", name)]
