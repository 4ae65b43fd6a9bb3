"""The bus edge: messages in batches as large as the backlog, acknowledged only when all they caused is done.

oslo.messaging's own batch server makes a lone message wait for its batch timeout and hands batches to many
threads at once. Ours hands everything that has arrived to one thread as soon as that thread is free: a lone
event waits for nothing, a backlog is gathered into large batches, and the order of the queue is kept.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import oslo_messaging
from oslo_messaging.notify import listener as notify_listener

from eventalarm.backoff import Backoff
from eventalarm.evaluator import consumer_control
from eventalarm.evaluator.consumer_control import NoControl
from eventalarm.evaluator.interruptions import Interruptions, was_delivered
from eventalarm.evaluator.redelivery import Redelivery
from eventalarm.evaluator.unfinished import LEFT
from eventalarm.exceptions import Retryable

LOG = logging.getLogger(__name__)

PRIORITY = "sample"

# While messages come faster than DENSE a second, batches are taken GATHER seconds apart: each costs a look
# for changed definitions and a commit, and the thread that reads the bus wants the interpreter. Slower ones,
# and fewer than FEW at once, wait for nothing.
DENSE = 400.0
FEW = 8
GATHER = 0.05

# Unacknowledged messages of a listener that has not acknowledged any yet.
FIRST_PREFETCH = 8

# Seconds before a batch is tried again that failed for another reason than the database; doubled each time.
BACKOFF = Backoff(0.2, 30.0, jitter=0.0)


class Message(Protocol):
    """One message of the bus, as oslo.messaging's drivers give it."""

    message: dict[str, Any]

    def acknowledge(self) -> None:
        """Tell the broker that the message is done with."""

    def requeue(self) -> None:
        """Give the message back to the broker."""


Handler = Callable[[Sequence[dict[str, Any]]], Mapping[int, str] | None]


Ready = Callable[[Callable[[], bool]], bool]


class _OnlySamples:
    """What the base class asks of a dispatcher: which priorities it wants."""

    supported_priorities = (PRIORITY,)


class BatchServer(notify_listener.NotificationServerBase):  # type: ignore[misc]
    """Takes messages from one topic and gives them to *handler* in adaptive batches.

    *handler* gets the message bodies. It returns which of them, by position, are put off, and until what
    comes (:meth:`resume`; LEFT comes with the next batch); the others are done (acknowledge). None means
    give all of them back. It must not raise; if it does, the batch is given back.

    A batch is given back together with everything else that was taken, and no more is taken until *ready*.
    The broker counts what is given back, and drops a message at its delivery limit.

    :param ready: returns True once batches can be handled again, and False when its argument is true before,
        or when they never will in this process.
    :param redelivery: what to do with messages that were delivered before.
    :param interruptions: finds the one among them that ends the process.
    :param first_prefetch: most unacknowledged messages before the first was acknowledged, on RabbitMQ: a
        listener that is killed again and again spends the deliveries of a few messages only.
    :param report: called with an error while the broker does not let us consume, and then with None.
    :param prepare: called once on the thread of *handler*, before any message is taken.
    :param resumed: called with what has come when those that were put off for it are the next to be handled,
        on the thread of *handler*.
    :param dropped: called when messages that were put off are given back; from any thread.
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
        dropped: Callable[[], None] = lambda: None,
        dense: float = DENSE,
        gather: float = GATHER,
        ready: Ready = lambda interrupted: True,
        redelivery: Redelivery | None = None,
        interruptions: Interruptions | None = None,
        first_prefetch: int = FIRST_PREFETCH,
        report: consumer_control.Report = lambda error: None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        target = oslo_messaging.Target(topic=topic, exchange=exchange)
        super().__init__(transport, [target], _OnlySamples(), executor="threading")
        self._handler = handler
        self._most = batch_size
        self._arrived: collections.deque[Message] = collections.deque()
        self._lock = threading.Lock()
        self._draining = False
        self._enough = threading.Event()
        self._dense, self._gather = dense, gather
        self._resumed, self._dropped = resumed, dropped
        self._put_off: dict[str, list[Message]] = {}
        self._has_come: list[str] = []
        self._ready = ready
        self._redelivery, self._interruptions = redelivery, interruptions
        self._first_prefetch = first_prefetch
        self._report = report
        self._prepare = prepare
        self._control: consumer_control.ConsumerControl = NoControl()
        self._narrow = True
        self._suspect = False
        self._failures = 0
        self._ending = threading.Event()

    def begin(self) -> None:
        """Begin to take messages; waits for the broker if it is not there yet."""
        self.start(override_pool_size=1)

    def resume(self, what: str) -> None:
        """Handle the messages that were put off until *what* comes, before all others; from any thread."""
        self._work((), (what,))

    def release(self) -> None:
        """Give back all messages but those of the batch in hand, and take no more; on *handler*'s thread."""
        self._give_back([])

    def suspect(self) -> None:
        """Ask whether batches can be handled at all, before the broker hands us more; from any thread."""
        self._work((), (), suspect=True)

    def end(self) -> None:
        """Wait for nothing any more: called before ``stop``."""
        self._ending.set()

    def _create_listener(self) -> Any:
        self._work_executor.submit(self._prepare).result()
        listener = super()._create_listener()
        self._control = consumer_control.take_control(listener, self._first_prefetch, self._report)
        return listener

    def _on_incoming(self, incoming: Sequence[Message]) -> None:
        if self._redelivery is not None:
            # Now, not with their batch: until then they could be taken back once more.
            incoming = self._redelivery.sift(incoming)
        self._work(incoming, ())

    def _work(self, incoming: Sequence[Message], has_come: Sequence[str], *, suspect: bool = False) -> None:
        with self._lock:
            self._arrived.extend(incoming)
            self._has_come.extend(has_come)
            self._suspect = self._suspect or suspect
            if len(self._arrived) >= self._most:
                self._enough.set()
            if self._draining:
                return
            self._draining = True
        self._work_executor.submit(self._drain)

    def _process_incoming(self, incoming: Sequence[Message]) -> None:
        """Not used: batches are formed in :meth:`_drain`."""

    def _take(self) -> tuple[list[Message], bool]:
        """Return the next batch, and whether to ask first whether batches can be handled."""
        with self._lock:
            if self._suspect:
                self._suspect = False
                return [], True
            # In this thread, so that no message of later can be handled before those that were put off.
            for what in self._has_come:
                self._arrived.extendleft(reversed(self._put_off.pop(what, [])))
                self._resumed(what)
            self._has_come.clear()
            # However many these are, others come with them.
            batch = self._put_off.pop(LEFT, [])
            batch += [self._arrived.popleft() for _ in range(min(self._most, len(self._arrived)))]
            self._draining = bool(batch)
            if len(self._arrived) < self._most:
                self._enough.clear()
        return batch, False

    def _drain(self) -> None:
        before = time.monotonic()
        while True:
            batch, suspect = self._take()
            if suspect:
                self._recover()
                continue
            if not batch:
                return
            taken = time.monotonic()
            self._see_through(batch)
            if LEFT in self._put_off and self._ending.is_set():
                held = self._hold_nothing()
                self._control.release(functools.partial(list, held), self._ending)
            if len(batch) >= max(FEW, self._dense * (taken - before)):
                self._enough.wait(taken + self._gather - time.monotonic())
            before = taken

    def _see_through(self, batch: list[Message]) -> None:
        if self._interruptions is None or not any(map(was_delivered, batch)):
            self._handle(batch)
            return
        parts = self._interruptions.parts(batch)
        for number, part in enumerate(parts):
            self._interruptions.begins(part)
            done = self._handle(part, [m for later in parts[number + 1 :] for m in later])
            with contextlib.suppress(Retryable):
                self._interruptions.ended(part)
            if not done:
                return
            if LEFT in self._put_off:
                # Before younger messages.
                for later in parts[number + 1 :]:
                    self._put_off[LEFT] += later
                return

    def _handle(self, batch: list[Message], others: Sequence[Message] = ()) -> bool:
        """Have a batch evaluated and answer for it; return False when it, and *others*, are given back."""
        put_off: Mapping[int, str] | None = None
        failed = False
        try:
            put_off = self._handler([m.message for m in batch])
        except Exception:
            failed = True
            LOG.exception("A batch of %d messages failed and goes back to the broker", len(batch))
        if put_off is None:
            self._give_back([*batch, *others])
            self._wait_out(failed)
            return False
        self._failures = 0
        for position, message in enumerate(batch):
            if position in put_off:
                self._put_off.setdefault(put_off[position], []).append(message)
            else:
                _acknowledge(message)
        if self._narrow and len(put_off) < len(batch):
            self._narrow = False
            self._control.widen(self._hold_nothing, self._ending)
        return True

    def _give_back(self, batch: Sequence[Message]) -> None:
        """Give back everything that we hold, and be handed nothing of it at once."""
        self._control.release(lambda: [*batch, *self._hold_nothing()], self._ending)

    def _hold_nothing(self) -> list[Message]:
        """Forget and return all messages that are not in a batch."""
        with self._lock:
            held = [m for waiting in self._put_off.values() for m in waiting] + list(self._arrived)
            self._put_off.clear()
            self._arrived.clear()
        self._dropped()
        return held

    def _wait_out(self, failed: bool) -> None:
        """Take messages again once that makes sense."""
        self._failures += 1
        if failed or self._failures > 1:
            self._ending.wait(BACKOFF(self._failures))
        while not self._ready(self._holds_some):
            if self._ending.is_set():
                return
            # They came all the same: the driver cannot be told to send no more.
            self._give_back([])
        self._control.resume()

    def _recover(self) -> None:
        # What we hold already is handled as any batch: held for a while, then given back.
        if self._ready(self._holds_some):
            self._control.resume()

    def _holds_some(self) -> bool:
        return bool(self._arrived)


def _acknowledge(message: Message) -> None:
    try:
        message.acknowledge()
    except Exception:
        LOG.exception("The broker did not take an answer; it will deliver the message again")
