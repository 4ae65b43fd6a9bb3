"""The socket of a service manager, as systemd opens it for a service of type notify."""

from __future__ import annotations

import pathlib
import socket
import threading


class NotifySocket:
    """Records the states that services send to it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._changed = threading.Condition()
        self._states: list[str] = []
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        while states := self._socket.recv(4096).decode():
            with self._changed:
                self._states += states.splitlines()
                self._changed.notify_all()

    def states(self) -> list[str]:
        """Return what has been received."""
        with self._changed:
            return list(self._states)

    def wait(self, state: str, count: int = 1, timeout: float = 60.0) -> None:
        """Wait until *state* has been received *count* times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._states.count(state) >= count, timeout), self._states

    def forget(self) -> None:
        """Forget what has been received."""
        with self._changed:
            self._states.clear()

    def close(self) -> None:
        """Close the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._socket.close()
