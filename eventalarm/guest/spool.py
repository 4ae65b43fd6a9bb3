"""The directory that keeps events until the ingest API has accepted them, and which guests are in fault.

A file per event, whose name sorts by time; it is complete or absent, since it is renamed into place. It need
not reach the disk at once: what ends this host ends its guests.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.model import JSONDict

LOG = logging.getLogger(__name__)

STATES: Final = "guests.json"
LOCK: Final = "lock"
EVENT: Final = ".event"
OPTION: Final = "[eventalarm_guest] spool_directory"


@dataclasses.dataclass(frozen=True, slots=True)
class Spooled:
    """An event in the directory; *about* are the guest and the check, whose newest event counts most."""

    path: pathlib.Path
    event: JSONDict
    about: tuple[str, str]


class Spool:
    """Keeps at most *size* events; for one thread, and one process.

    At the bound an event is removed if a newer one is about the same guest and check; if there is none, the
    oldest one.

    :raises InvalidOption: when the directory cannot be used, or another monitor uses it.
    """

    def __init__(self, directory: pathlib.Path, size: int) -> None:
        self._directory = directory
        self._size = size
        self.dropped = 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (directory / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            problem = f"{directory} is used by another monitor"
            raise InvalidOption(OPTION, problem, "give each monitor its own") from exc
        except OSError as exc:
            problem = f"{directory}: {exc.strerror}"
            raise InvalidOption(OPTION, problem, "name a directory that the monitor may write to") from exc
        self._pending = list(self._read())
        self._next = 1 + max((int(one.path.stem) for one in self._pending), default=0)

    def _read(self) -> Iterable[Spooled]:
        for path in sorted(self._directory.glob(f"*{EVENT}")):
            try:
                int(path.stem)
                yield _spooled(path, json.loads(path.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError) as exc:
                LOG.warning("Removing %s, which is not an event: %s", path, exc)
                with contextlib.suppress(OSError):
                    path.unlink()

    def __len__(self) -> int:
        """Return the number of events that wait."""
        return len(self._pending)

    def first(self, number: int) -> list[Spooled]:
        """Return the oldest events, at most *number*."""
        return self._pending[:number]

    def add(self, events: Iterable[JSONDict]) -> None:
        """Keep *events*, also if the disk is full: then only in memory."""
        for event in events:
            path = self._directory / f"{self._next:020d}{EVENT}"
            self._next += 1
            self._write(path, event)
            self._pending.append(_spooled(path, event))
        if len(self._pending) > self._size:
            self._shorten()

    def remove(self, spooled: Iterable[Spooled]) -> None:
        """Forget events that were accepted or can never be."""
        paths = {one.path for one in spooled}
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()
        self._pending = [one for one in self._pending if one.path not in paths]

    def _shorten(self) -> None:
        """Remove events beyond the bound: first those that a newer event makes unnecessary."""
        excess = len(self._pending) - self._size
        newest = {one.about: one.path for one in self._pending}
        superseded = [one for one in self._pending if newest[one.about] != one.path][:excess]
        self.remove(superseded)
        oldest = self.first(len(self._pending) - self._size) if len(self._pending) > self._size else []
        self.remove(oldest)
        if not self.dropped:
            LOG.error("The spool is full (%s): the oldest events are dropped", self._size)
        self.dropped += len(superseded) + len(oldest)

    def save_states(self, states: Mapping[str, JSONDict]) -> None:
        """Replace what is stored about the guests."""
        self._write(self._directory / STATES, states)

    def load_states(self) -> dict[str, JSONDict]:
        """Return what is stored about the guests; nothing if it cannot be read."""
        return read_states(self._directory)

    def _write(self, path: pathlib.Path, body: Any) -> None:
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(body, separators=(",", ":")))
            os.replace(temporary, path)
        except OSError as exc:
            LOG.error("%s cannot be written, so a restart of the monitor would lose it: %s", path, exc)

    def close(self) -> None:
        """Let another monitor use the directory."""
        self._lock.close()


def _spooled(path: pathlib.Path, event: JSONDict) -> Spooled:
    traits = {name: value for name, _, value in event["traits"]}
    return Spooled(path, event, (str(traits.get("instance_id", "")), str(traits.get("check", ""))))


def read_states(directory: pathlib.Path) -> dict[str, JSONDict]:
    """Return what a monitor stored in a directory about its guests; nothing if it cannot be read."""
    try:
        found = json.loads((directory / STATES).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
