"""Reports the state of a service to systemd: ready, making progress, stopping (``sd_notify(3)``).

oslo.service and cotyledon report readiness only, and do so before a service is ready.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import time
from typing import Final

LOG = logging.getLogger(__name__)

VARIABLE: Final = "NOTIFY_SOCKET"
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
PROGRESS: Final = "WATCHDOG=1"


class Notifier:
    """Sends states to the datagram socket of the service manager; does nothing without one.

    :param address: the path of the socket, or ``@`` and an abstract name; empty outside systemd.
    """

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls) -> Notifier:
        """Return a notifier for ``NOTIFY_SOCKET``, and remove the variable.

        cotyledon would report a service as ready before its workers are started, and child processes have
        nothing to report of their own.
        """
        return cls(os.environ.pop(VARIABLE, ""))

    def send(self, *states: str) -> None:
        """Send *states*, such as ``READY=1``; a failure is logged at DEBUG only."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1.0)
                sender.connect(self._address)
                sender.sendall("\n".join(states).encode())
        except OSError as exc:
            LOG.debug("systemd was not notified: %s", exc)


class Heartbeats:
    """Reports progress to systemd while all worker processes of a service make progress.

    Made before the workers are forked, which share it. A worker that is being started, or is restarted after
    it ended, is left out until its first heartbeat.

    :param workers: the number of worker processes; they are numbered from 0.
    :param fresh: seconds after its last heartbeat during which a worker counts as making progress.
    """

    def __init__(self, notifier: Notifier, workers: int, fresh: float) -> None:
        self._notifier = notifier
        self._fresh = fresh
        self._latest = multiprocessing.RawArray("d", workers)

    def begin(self, worker: int) -> None:
        """Forget the heartbeats of the process that *worker* was before."""
        self._latest[worker] = 0.0

    def beat(self, worker: int) -> None:
        """Record that *worker* makes progress, and report it if no other worker has stopped doing so."""
        # The clock of the machine: all processes read the same.
        now = self._latest[worker] = time.monotonic()
        if all(now - at <= self._fresh for at in self._latest if at):
            self._notifier.send(PROGRESS)
