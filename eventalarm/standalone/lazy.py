"""Late imports: they take seconds and need packages that a listener does not need."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import TYPE_CHECKING

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone.datadir import DataDir
from eventalarm.trace import Trace

if TYPE_CHECKING:
    from eventalarm.standalone.cloud import Standalone

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
    """Return the whole chain, not yet started; see :class:`eventalarm.standalone.cloud.Standalone`.

    :raises InvalidOption: when a package is not installed.
    """
    try:
        from eventalarm.standalone.cloud import Standalone  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise missing(prog, exc) from exc
    return Standalone(data, listening, prog=prog, hosts=hosts, trace=trace)
