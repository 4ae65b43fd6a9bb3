"""The file of what is broken: written before every strike, so that a killed trial leaves its undo behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eventalarm.exceptions import EventAlarmError
from eventalarm.trial.existing_cloud.hosts import Host
from eventalarm.trial.plugins import Refused


class JournalError(EventAlarmError):
    """The file of what is broken cannot be read or written; the message has the remedy."""


@dataclass(frozen=True)
class Left:
    """One disruption that was not undone yet; *undo* and *ready* are shell scripts on *host*.

    *began* is in epoch seconds; *within* is how many seconds the undo may take.
    """

    token: str
    host: Host
    what: str
    undo: str
    ready: str
    began: float
    within: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for the file."""
        return dataclasses.asdict(self) | {"host": self.host.as_dict()}


class Journal:
    """What this trial has broken; safe to share between threads.

    :param path: the file; its folder is created when it is locked.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only trial that uses the file.

        :raises Refused: if another one does.
        """
        with self._errors():
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._path.with_suffix(".lock").open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise Refused(
                    f"another trial is running with {self._path}; wait for its end, or choose another --state"
                ) from exc
            yield

    def left(self) -> Sequence[Left]:
        """Return what was not undone, the oldest first."""
        with self._errors():
            if not self._path.exists():
                return ()
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return tuple(_left(one) for one in found)

    def add(self, entry: Left) -> None:
        """Write that something is about to be broken; it is on disk when this returns."""
        with self._mutex:
            self._write([*self.left(), entry])

    def remove(self, token: str) -> None:
        """Write that it was undone."""
        with self._mutex:
            self._write([one for one in self.left() if one.token != token])

    def _write(self, entries: Sequence[Left]) -> None:
        with self._errors():
            fresh = self._path.with_suffix(".new")
            with fresh.open("w", encoding="utf-8") as file:
                json.dump([one.as_dict() for one in entries], file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise JournalError(f"{self._path}: {exc.strerror or exc}; choose another --state") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise JournalError(f"{self._path}: not written by a trial; move it away: {exc}") from exc


def _left(found: dict[str, Any]) -> Left:
    host = found["host"]
    return Left(**{**found, "host": Host(**{**host, "options": tuple(host["options"])})})
