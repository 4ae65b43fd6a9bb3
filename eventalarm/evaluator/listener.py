"""The consumer of the bus: takes messages in adaptive batches, and acknowledges what is committed.

The batch server of oslo.messaging delays a single message until its batch timeout, and hands batches to many
threads at once. This server hands everything that has arrived to one thread as soon as that thread is free: a
single event does not wait, a backlog is gathered into large batches, and the order of the queue is kept.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import oslo_messaging
from oslo_messaging.notify import listener as notify_listener

from eventalarm.backoff import Backoff
from eventalarm.bus import PRIORITY
from eventalarm.evaluator import consumer_control
from eventalarm.evaluator.batch import LEFT
from eventalarm.evaluator.entrance import Entrance
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.options import FEW, ListenerOptions
from eventalarm.evaluator.redelivery import Interruptions, Message, Redelivery, Renewed, was_delivered
from eventalarm.exceptions import Retryable

LOG = logging.getLogger(__name__)


# The wait before a batch is retried that failed for a reason other than the database.
BACKOFF = Backoff(0.2, 30.0, jitter=0.0)


class _OnlySamples:
    """The part of a dispatcher that the base class uses."""

    supported_priorities = (PRIORITY,)


class BatchServer(notify_listener.NotificationServerBase):  # type: ignore[misc]
    """Takes messages from one topic and gives them to *handler* in adaptive batches.

    A batch is returned together with all other messages that were taken, and no more are taken until the
    handler is ready: the broker counts each return, and drops a message at its delivery limit.

    :param redelivery: renews messages that were delivered too often, or sets them aside.
    :param interruptions: finds messages whose evaluation ends the process.
    :param report: called with the error while consuming fails, then with None.
    :param topics: consumed in place of the topic of *options*.
    :param gated: those of *topics* whose messages wait in the ``entrance``.
    """

    def __init__(
        self,
        transport: Any,
        options: ListenerOptions,
        handler: BatchHandler,
        *,
        redelivery: Redelivery | None = None,
        interruptions: Interruptions | None = None,
        report: consumer_control.Report | None = None,
        topics: Sequence[str] = (),
        gated: Collection[str] = (),
    ) -> None:
        targets = [
            oslo_messaging.Target(topic=topic, exchange=options.exchange)
            for topic in topics or (options.topic,)
        ]
        super().__init__(transport, targets, _OnlySamples(), executor="threading")
        self.entrance = Entrance(gated, self._accept, self._is_idle)
        self._enter = self.entrance.enter if topics else self._accept
        self._options = options
        self._handler = handler
        self._arrived: collections.deque[Message] = collections.deque()
        self._lock = threading.Lock()
        self._draining = False
        self._enough = threading.Event()
        self._deferred: dict[str, list[Message]] = {}
        self._resumable: list[str] = []
        self._redelivery, self._interruptions = redelivery, interruptions
        self._report = report or consumer_control.NoReport()
        self._control: consumer_control.ConsumerControl = consumer_control.NoControl()
        self._narrow = True
        self._suspect = False
        self._failures = 0
        self._ending = threading.Event()

    def begin(self) -> None:
        """Start consuming; wait for the broker if it is not available yet."""
        self.start(override_pool_size=1)

    def resume(self, what: str) -> None:
        """Handle the messages that wait for *what* before all others; thread-safe."""
        self._work((), (what,))

    def release(self) -> None:
        """Return all messages except the current batch, and stop consuming; on the worker thread only."""
        self._give_back([])

    def suspect(self) -> None:
        """Check that batches can be handled before the next one is taken; thread-safe."""
        self._work((), (), suspect=True)

    def end(self) -> None:
        """End all waiting, and take no further batch on an idle thread; called before ``stop``.

        Timers and loaders may still resume messages, but soon no thread takes them any more.
        """
        with self._lock:
            self._ending.set()

    def _create_listener(self) -> Any:
        self._work_executor.submit(self._handler.prepare).result()
        listener = super()._create_listener()
        self._control = consumer_control.take_control(listener, self._options.first_prefetch, self._report)
        return listener

    def _is_idle(self) -> bool:
        with self._lock:
            return not (self._draining or self._arrived or self._deferred)

    def _on_incoming(self, incoming: Sequence[Message]) -> None:
        self._enter(incoming)

    def _accept(self, incoming: Sequence[Message]) -> None:
        if self._redelivery is not None:
            # At once, not with their batch: until then the broker could take them back once more.
            incoming = self._redelivery.sift(incoming)
        if incoming:
            self._work(incoming, ())

    def _work(self, incoming: Sequence[Message], resumable: Sequence[str], *, suspect: bool = False) -> None:
        with self._lock:
            self._arrived.extend(incoming)
            self._resumable.extend(resumable)
            self._suspect = self._suspect or suspect
            if len(self._arrived) >= self._options.batch_size:
                self._enough.set()
            if self._draining or self._ending.is_set():
                return
            self._draining = True
            self._work_executor.submit(self._drain)

    def _process_incoming(self, incoming: Sequence[Message]) -> None:
        """Do nothing: batches are formed in :meth:`_drain`."""

    def _take(self) -> tuple[list[Message], bool]:
        """Return the next batch, and whether to check first that batches can be handled."""
        with self._lock:
            if self._suspect:
                self._suspect = False
                return [], True
            # On this thread, so that no later message can be handled before the deferred ones.
            for what in self._resumable:
                self._arrived.extendleft(reversed(self._deferred.pop(what, [])))
                self._handler.resumed(what)
            self._resumable.clear()
            # In addition to these, whatever their number, a full batch is taken.
            batch = self._deferred.pop(LEFT, [])
            most = min(self._options.batch_size, len(self._arrived))
            batch += [self._arrived.popleft() for _ in range(most)]
            self._draining = bool(batch)
            if len(self._arrived) < self._options.batch_size:
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
            self._handle_in_parts(batch)
            if LEFT in self._deferred and self._ending.is_set():
                held = self._remove_held()
                self._control.release(functools.partial(list, held), self._ending)
            if len(batch) >= max(FEW, self._options.dense * (taken - before)):
                self._enough.wait(taken + self._options.gather - time.monotonic())
            before = taken

    def _handle_in_parts(self, batch: list[Message]) -> None:
        if self._interruptions is None or not any(map(was_delivered, batch)):
            self._handle(batch)
            return
        parts = self._interruptions.parts(batch)
        for number, part in enumerate(parts):
            self._interruptions.begins(part)
            done = self._handle(part.messages, [m for later in parts[number + 1 :] for m in later.messages])
            with contextlib.suppress(Retryable):
                self._interruptions.ended(part.messages)
            if not done:
                return
            if LEFT in self._deferred:
                # They must be handled before younger messages.
                for later in parts[number + 1 :]:
                    self._deferred[LEFT] += later.messages
                return

    def _handle(self, batch: list[Message], others: Sequence[Message] = ()) -> bool:
        """Evaluate and acknowledge a batch; return False if it was returned to the broker with *others*."""
        deferred: Mapping[int, str] | None = None
        failed = False
        try:
            deferred = self._handler.handle([m.message for m in batch])
        except Exception:
            failed = True
            LOG.exception("A batch of %d messages failed and goes back to the broker", len(batch))
        if deferred is None:
            self._give_back([*batch, *others])
            self._wait_out(failed)
            return False
        self._failures = 0
        for position, what in sorted(deferred.items()):
            self._deferred.setdefault(what, []).append(batch[position])
        self._control.acknowledge([m for position, m in enumerate(batch) if position not in deferred])
        if self._narrow and not self._deferred and not any(map(_was_redelivered, batch)):
            self._narrow = False
            self._control.widen(self._remove_held, self._ending)
        return True

    def _give_back(self, batch: Sequence[Message]) -> None:
        """Return *batch* and all other messages that are held, and stop consuming."""
        self._control.release(lambda: [*batch, *self._remove_held()], self._ending)

    def _remove_held(self) -> list[Message]:
        """Remove all held messages outside the current batch, and return them to the caller."""
        with self._lock:
            held = [m for waiting in self._deferred.values() for m in waiting] + list(self._arrived)
            self._deferred.clear()
            self._arrived.clear()
        held += self.entrance.clear()
        self._handler.dropped()
        return held

    def _wait_out(self, failed: bool) -> None:
        """Wait until batches can be handled, then start consuming again."""
        self._failures += 1
        if failed or self._failures > 1:
            self._ending.wait(BACKOFF(self._failures))
        while not self._handler.ready(self._holds_some, self.release):
            if self._ending.is_set():
                return
            # Messages have arrived nevertheless: this driver cannot be paused.
            self._give_back([])
        self._control.resume()

    def _recover(self) -> None:
        # Messages that are held already are handled like any batch: held for a while, then returned.
        if self._handler.ready(self._holds_some, self.release):
            self._control.resume()

    def _holds_some(self) -> bool:
        return bool(self._arrived)


def _was_redelivered(message: Message) -> bool:
    """Return True if a message may be near the delivery limit of its queue; the next ones may be as well."""
    return isinstance(message, Renewed) or was_delivered(message)
