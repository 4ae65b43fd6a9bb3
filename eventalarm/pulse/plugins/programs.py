"""A program that is run for a bounded time and with bounded output, and killed with its children."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Final

#: Bytes of output that are kept; further output is read and thrown away.
KEPT: Final = 1024 * 1024
_PIECE: Final = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, or the negative number of a signal; both streams in one *output*.

    :ivar late: True if it was killed at the timeout.
    """

    code: int
    output: str
    seconds: float
    late: bool = False


def run(command: Sequence[str], timeout: float, environment: Mapping[str, str] | None = None) -> Ended:
    """Run *command* without a shell and without input, in a process group of its own.

    The group is killed at the timeout, and what is left of it when the program has ended.

    :raises OSError: when it cannot be started.
    """
    begun = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - an operator names the program
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    try:
        output = _read(process, process.stdout, begun + timeout)
        late = not _wait(process, begun + timeout)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return Ended(process.returncode, output.decode(errors="replace"), time.monotonic() - begun, late)


def _read(process: subprocess.Popen[bytes], stream: IO[bytes], deadline: float) -> bytes:
    """Return the start of the output; end with the program, though a child of it may hold the pipe."""
    kept = bytearray()
    os.set_blocking(stream.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            ended = process.poll() is not None
            if not selector.select(0 if ended else min(left, 0.1)):
                if ended:
                    break
                continue
            piece = os.read(stream.fileno(), _PIECE)
            if not piece:
                break
            kept += piece[: KEPT - len(kept)]
    return bytes(kept)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
