"""Counts the acknowledgements that a program sends to RabbitMQ, the same way for every contender.

``python -m benchmarks.tap DIRECTORY SCRIPT ARGUMENT…`` runs the installed console script SCRIPT; each of its
processes keeps count, first and last moment (monotonic, s) in a file of DIRECTORY that the benchmark maps.
"""

from __future__ import annotations

import mmap
import os
import pathlib
import runpy
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RECORD = struct.Struct("=Qdd")


@dataclass(frozen=True)
class Acks:
    """How many messages were acknowledged, and when first and last (monotonic seconds; 0 when never)."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0


def read(directory: pathlib.Path) -> Acks:
    """Return the sum over all processes that write into *directory*."""
    parts = [RECORD.unpack(p.read_bytes()[: RECORD.size]) for p in directory.glob("*.acks")]
    parts = [part for part in parts if part[0]]
    if not parts:
        return Acks()
    return Acks(sum(p[0] for p in parts), min(p[1] for p in parts), max(p[2] for p in parts))


class Counter:
    """One process's record; a forked child opens its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._pid = 0

    def _open(self) -> None:
        self._pid = os.getpid()
        self._count, self._first = 0, 0.0
        # By channel: the tag up to which all messages are acknowledged, and those above it that are.
        self._below: dict[int, int] = {}
        self._apart: dict[int, set[int]] = {}
        path = self._directory / f"{self._pid}.new"
        path.write_bytes(bytes(RECORD.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), RECORD.size)
        # Readers must never see a partial file.
        path.rename(path.with_suffix(".acks"))

    def add(self, channel: int, tag: int, multiple: bool) -> None:
        """Count one acknowledgement frame on *channel*; *multiple* stands for all tags up to *tag*."""
        now = time.monotonic()
        if self._pid != os.getpid():
            self._open()
        self._count += self._acknowledged(channel, tag, multiple)
        self._first = self._first or now
        RECORD.pack_into(self._map, 0, self._count, self._first, now)

    def _acknowledged(self, channel: int, tag: int, multiple: bool) -> int:
        """Return how many messages one frame acknowledges."""
        below = self._below.get(channel, 0)
        apart = self._apart.setdefault(channel, set())
        if not multiple and tag != below + 1:
            apart.add(tag)
            return 1
        before = len(apart)
        if apart:
            self._apart[channel] = apart = {one for one in apart if one > tag}
        self._below[channel] = tag
        return tag - below - (before - len(apart))


def install(directory: pathlib.Path) -> None:
    """Start counting, in this process and its children."""
    from amqp.channel import Channel  # noqa: PLC0415 - only in the tapped program

    counter = Counter(directory)
    send: Callable[..., Any] = Channel.basic_ack

    def basic_ack(channel: Any, delivery_tag: int, multiple: bool = False, **options: Any) -> Any:
        result = send(channel, delivery_tag, multiple, **options)
        counter.add(id(channel), delivery_tag, multiple)
        return result

    Channel.basic_ack = basic_ack


def main() -> None:
    """Run the console script named on the command line, tapped."""
    directory, script, *arguments = sys.argv[1:]
    install(pathlib.Path(directory))
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
