"""Check ``port``: something listens on addresses."""

from __future__ import annotations

import socket
import time
import urllib.parse
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import Failure, Trouble, failure, shortened

OPTION: Final = "[eventalarm_pulse] ports"


def address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` or ``[IPV6]:PORT``.

    :raises InvalidOption: with the remedy.
    """
    try:
        parts = urllib.parse.urlsplit(f"//{text.strip()}")
        host, number = parts.hostname, parts.port
    except ValueError:
        host = number = None
    if not host or not number or parts.path or parts.username is not None:
        raise InvalidOption(OPTION, f"{text!r} is not an address", "write HOST:PORT, or [IPV6]:PORT")
    return host, number


class Port:
    """One TCP connection to each address, which is closed at once."""

    description: ClassVar[str] = "something listens on each address of ports"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each address.

        :raises InvalidOption: when one cannot be read.
        """
        return [
            Probe(text, partial(self._look, text, *address(text))) for text in self._context.options.ports
        ]

    def _look(self, target: str, host: str, number: int) -> list[Finding]:
        return [evaluate(target, host, connected(host, number, self._context.timeout))]


def connected(host: str, number: int, timeout: float) -> float | Failure:
    """Return the seconds that a connection took, or why there is none."""
    begun = time.monotonic()
    try:
        with socket.create_connection((host, number), timeout):
            return time.monotonic() - begun
    except socket.gaierror as exc:
        trouble, detail = Trouble.NAME, str(exc)
    except ConnectionRefusedError as exc:
        trouble, detail = Trouble.REFUSED, str(exc)
    except TimeoutError as exc:
        trouble, detail = Trouble.TIMEOUT, str(exc)
    except OSError as exc:
        trouble, detail = Trouble.CONNECTION, str(exc)
    return Failure(trouble, shortened(detail), time.monotonic() - begun)


def evaluate(target: str, host: str, found: float | Failure) -> Finding:
    """Return what the end of the connection attempt means."""
    if isinstance(found, Failure):
        return failure(target, target, found, host=host)
    return Finding(
        target=target,
        health=Health.OK,
        summary=f"{target} accepts connections",
        figures={"seconds": round(found, 3)},
        host=host,
    )
