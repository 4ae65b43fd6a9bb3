"""What the commands need before the slow imports: a listening socket, and the late import of the services."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone.datadir import DataDir
from eventalarm.trace import Trace

if TYPE_CHECKING:
    from eventalarm.standalone.cloud import Standalone

CONSENT: Final = "--i-know-there-is-no-authentication"
ALLOW_HOST: Final = "--allow-host"


def listen(host: str, port: int, *, consent: bool) -> socket.socket:
    """Return a listening socket on *host* and *port* (0: any free one); one address, IPv4 if there is one.

    :raises InvalidOption: when *host* has no address, is not on loopback and *consent* is missing, or
        the port is not available.
    """
    family, address = _resolve(host)
    if not consent and not ipaddress.ip_address(address).is_loopback:
        shown = host if host == address else f"{host} ({address})"
        raise InvalidOption(
            "--host",
            f"{shown} is reachable from other machines, and authentication is disabled",
            f"use 127.0.0.1, or add {CONSENT}",
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(128)
    except OSError as exc:
        listening.close()
        raise InvalidOption(
            "--port",
            f"{port} on {address} is not available ({exc.strerror})",
            "use another port, or 0 for any free port",
        ) from exc
    return listening


def url(listening: socket.socket) -> str:
    """Return the URL under which *listening* can be reached from this machine."""
    address, port = listening.getsockname()[:2]
    number = ipaddress.ip_address(address)
    if number.is_unspecified:
        number = ipaddress.ip_address("127.0.0.1" if number.version == 4 else "::1")
    return f"http://[{number}]:{port}" if number.version == 6 else f"http://{number}:{port}"


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise InvalidOption("--host", f"{host} cannot be resolved ({exc})", "use 127.0.0.1") from exc
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, str(address[0]).partition("%")[0]


OPTIONAL = frozenset({"waitress", "aodhclient", "rich", "falcon", "cryptography", "jsonschema"})


def missing(prog: str, error: ModuleNotFoundError) -> InvalidOption:
    """Return the error for running *prog* without the packages of the extra ``standalone``.

    :raises ModuleNotFoundError: when *error* is about another package.
    """
    if (error.name or "").partition(".")[0] not in OPTIONAL:
        raise error
    return InvalidOption(prog, f"needs {error.name}", "pip install 'eventalarm[standalone]'")


def standalone(
    data: DataDir,
    listening: socket.socket,
    *,
    prog: str,
    hosts: Collection[str] = (),
    trace: Trace | None = None,
) -> Standalone:
    """Return all services, not yet started; see :class:`eventalarm.standalone.cloud.Standalone`.

    :raises InvalidOption: when a package is not installed.
    """
    try:
        from eventalarm.standalone.cloud import Standalone  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise missing(prog, exc) from exc
    return Standalone(data, listening, prog=prog, hosts=hosts, trace=trace)
