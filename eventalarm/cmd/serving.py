"""What our HTTP APIs have in common as commands: a web server, and the files of a WSGI module."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
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


def serve(app: Any, conf: Any, group: str, prog: str, **limits: Any) -> None:
    """Serve *app* where the options of *group* say, until SIGTERM or SIGINT; requests under way end first.

    :param limits: further settings of waitress.
    :raises InvalidOption: when the address cannot be had.
    """
    import waitress  # noqa: PLC0415 - part of an extra

    own = conf[group]
    try:
        server = waitress.create_server(
            app, host=own.host, port=own.port, threads=own.threads, ident=prog, **limits
        )
    except OSError as exc:
        where = f"{own.host}:{own.port}"
        raise InvalidOption(f"[{group}] host, port", f"{where}: {exc.strerror}", "choose another") from exc
    # waitress ends its loop, after the requests under way, on KeyboardInterrupt and SystemExit.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What lives as long as the process need not be looked through again while somebody waits for an answer.
    gc.collect()
    gc.freeze()
    print(f"Serving on http://{server.effective_host}:{server.effective_port}", flush=True)
    server.run()


def named_files() -> list[str]:
    """Return the arguments that name the files of ``EVENTALARM_CONFIG``, with colons between them."""
    names = [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    return [word for name in names for word in ("--config-file", name)]
