"""Reads all messages that have arrived on a connection of kombu, not one at a time."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final

# The messages that one poll reads at most, so that the first of them is soon evaluated.
MOST_POLLED: Final = 32


class ArrivedMessages:
    """Replaces ``drain_events`` of a connection of kombu: reads what has arrived, not only the first message.

    An error is raised where that of the original would be: the driver connects again.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._drain_one: Callable[..., Any] = connection.drain_events

    def __call__(self, timeout: float | None = None) -> None:
        """Read at least one message.

        :param timeout: seconds to wait for the first one.
        :raises TimeoutError: when there is none.
        """
        self._drain_one(timeout=timeout)
        for _ in range(MOST_POLLED - 1):
            if not self._has_more():
                return
            try:
                self._drain_one(timeout=timeout)
            except TimeoutError:
                # Only a part of a message has arrived.
                return

    def _has_more(self) -> bool:
        socket = self._connection.connection.sock
        if socket is None:
            return False
        pending = getattr(socket, "pending", None)
        if pending is not None and pending():
            # TLS has decrypted it already.
            return True
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
