"""What our HTTP APIs have in common as commands: a web server, and the files of a WSGI module."""

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
    """Name the *extra* of our package with which *prog* finds the *modules* that it needs.

    :raises InvalidOption: when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in modules:
            raise
        raise InvalidOption(prog, f"needs {exc.name}", f"pip install 'eventalarm[{extra}]'") from exc


def serve(app: Any, conf: Any, group: str, prog: str, *, max_body: int) -> None:
    """Serve *app* where the options of *group* say, until SIGTERM or SIGINT; requests under way end first.

    :param max_body: bytes; the web server refuses larger bodies before it has read them.
    :raises InvalidOption: when the address cannot be had.
    """
    from eventalarm.http import server as http_server  # noqa: PLC0415 - part of an extra

    own = conf[group]
    limits = http_server.Limits(
        threads=own.threads,
        connections=own.connection_limit,
        body=max_body,
        body_buffer=own.body_buffer,
        request_timeout=own.request_timeout,
    )
    try:
        listening = _listen(own.host, own.port)
    except OSError as exc:
        where = f"{own.host}:{own.port}"
        raise InvalidOption(f"[{group}] host, port", f"{where}: {exc.strerror}", "choose another") from exc
    server = http_server.WebServer(app, listening, limits, ident=prog)
    # The server ends its loop, after the requests under way, on KeyboardInterrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What lives as long as the process need not be looked through again while somebody waits for an answer.
    gc.collect()
    gc.freeze()
    host, port = listening[0].getsockname()[:2]
    print(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    server.run()


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of *host*; for one of them when any free port will do.

    :raises OSError: when an address cannot be had.
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
    """Return the arguments that name the files of ``EVENTALARM_CONFIG``, with colons between them."""
    names = [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    return [word for name in names for word in ("--config-file", name)]
