"""The bus edge: messages in batches as large as the backlog, acknowledged only when all they caused is done.

oslo.messaging's own batch server makes a lone message wait for its batch timeout and hands batches to many
threads at once. Ours hands everything that has arrived to one thread as soon as that thread is free: a lone
event waits for nothing, a backlog is gathered into large batches, and the order of the queue is kept.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import oslo_messaging
from oslo_messaging.notify import listener as notify_listener

LOG = logging.getLogger(__name__)

PRIORITY = "sample"

# While messages come faster than DENSE a second, batches are taken GATHER seconds apart: each costs a look
# for changed definitions and a commit, and the thread that reads the bus wants the interpreter. Slower ones,
# and fewer than FEW at once, wait for nothing.
DENSE = 400.0
FEW = 8
GATHER = 0.05


class Message(Protocol):
    """One message of the bus, as oslo.messaging's drivers give it."""

    message: dict[str, Any]

    def acknowledge(self) -> None:
        """Tell the broker that the message is done with."""

    def requeue(self) -> None:
        """Give the message back to the broker."""


Handler = Callable[[Sequence[dict[str, Any]]], Mapping[int, str] | None]


class _OnlySamples:
    """What the base class asks of a dispatcher: which priorities it wants."""

    supported_priorities = (PRIORITY,)


class BatchServer(notify_listener.NotificationServerBase):  # type: ignore[misc]
    """Takes messages from one topic and gives them to *handler* in adaptive batches.

    *handler* gets the message bodies. It returns which of them, by position, are put off, and until what
    comes (:meth:`resume`); the others are done (acknowledge). None means give all of them back. It must not
    raise; if it does, the batch is given back.

    :param resumed: called with what has come when those that were put off for it are the next to be handled,
        on the thread of *handler*.
    :param dense: messages a second that are a backlog.
    :param gather: seconds from the taking of a batch that shows a backlog to the taking of the next one.
    """

    def __init__(
        self,
        transport: Any,
        *,
        topic: str,
        exchange: str,
        handler: Handler,
        batch_size: int,
        resumed: Callable[[str], None] = lambda what: None,
        dense: float = DENSE,
        gather: float = GATHER,
    ) -> None:
        target = oslo_messaging.Target(topic=topic, exchange=exchange)
        super().__init__(transport, [target], _OnlySamples(), executor="threading")
        self._handler = handler
        self._most = batch_size
        self._arrived: collections.deque[Message] = collections.deque()
        self._lock = threading.Lock()
        self._draining = False
        self._enough = threading.Event()
        self._dense = dense
        self._gather = gather
        self._resumed = resumed
        self._put_off: dict[str, list[Message]] = {}
        self._has_come: list[str] = []

    def begin(self) -> None:
        """Begin to take messages; waits for the broker if it is not there yet."""
        self.start(override_pool_size=1)

    def resume(self, what: str) -> None:
        """Handle the messages that were put off until *what* comes, before all others; from any thread."""
        self._work((), (what,))

    def _on_incoming(self, incoming: Sequence[Message]) -> None:
        self._work(incoming, ())

    def _work(self, incoming: Sequence[Message], has_come: Sequence[str]) -> None:
        with self._lock:
            self._arrived.extend(incoming)
            self._has_come.extend(has_come)
            if len(self._arrived) >= self._most:
                self._enough.set()
            if self._draining:
                return
            self._draining = True
        self._work_executor.submit(self._drain)

    def _process_incoming(self, incoming: Sequence[Message]) -> None:
        """Not used: batches are formed in :meth:`_drain`."""

    def _take(self) -> list[Message]:
        with self._lock:
            # In this thread, so that no message of later can be handled before those that were put off.
            for what in self._has_come:
                self._arrived.extendleft(reversed(self._put_off.pop(what, [])))
                self._resumed(what)
            self._has_come.clear()
            batch = [self._arrived.popleft() for _ in range(min(self._most, len(self._arrived)))]
            self._draining = bool(batch)
            if len(self._arrived) < self._most:
                self._enough.clear()
        return batch

    def _drain(self) -> None:
        before = time.monotonic()
        while batch := self._take():
            taken = time.monotonic()
            put_off: Mapping[int, str] | None = None
            try:
                put_off = self._handler([m.message for m in batch])
            except Exception:
                LOG.exception("A batch of %d messages failed and goes back to the broker", len(batch))
            for position, message in enumerate(batch):
                if put_off is not None and position in put_off:
                    self._put_off.setdefault(put_off[position], []).append(message)
                else:
                    _answer(message, done=put_off is not None)
            if len(batch) >= max(FEW, self._dense * (taken - before)):
                self._enough.wait(taken + self._gather - time.monotonic())
            before = taken


def _answer(message: Message, *, done: bool) -> None:
    try:
        message.acknowledge() if done else message.requeue()
    except Exception:
        LOG.exception("The broker did not take an answer; it will deliver the message again")
