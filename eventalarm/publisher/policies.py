"""What happens to events while the broker does not accept them: wait, queue in memory, or drop."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from eventalarm.backoff import Backoff
from eventalarm.exceptions import PublishError
from eventalarm.publisher.codec import Encoded
from eventalarm.publisher.options import Policy, PublisherOptions
from eventalarm.publisher.sending import Batch, BrokerStatus, Send, make_batches, send_batches

Wait = Callable[[float], bool]

WAITING: Final = "Events wait, unacknowledged, until it does."
GIVING_UP: Final = (
    "Each message is dropped after {} tries, unless [notification] ack_on_event_error is false and the sink "
    "has no other publisher."
)

# Seconds to wait after the first failure, and at most after many.
FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
# Seconds that a caller waits for the broker before it is considered unavailable.
PATIENCE: Final = 0.5


class PublishPolicy(Protocol):
    """One way to publish; thread-safe, and keeps the order of the calls."""

    def publish(self, events: Sequence[Encoded]) -> None:
        """Publish events as the policy promises."""

    def close(self) -> None:
        """Release waiting callers and threads; nothing is published any more."""


@dataclasses.dataclass(eq=False, slots=True)
class _Ticket:
    """One caller in the queue."""

    events: Sequence[Encoded]
    done: bool = False
    error: BaseException | None = None


class Blocking:
    """Blocks its callers until the broker has their events, so that they acknowledge nothing too early.

    While one caller sends, others wait; the next one to send takes the events of all of them in one message.
    A storm is thus limited by the throughput of the broker, not by the latency of one confirmation.
    """

    def __init__(
        self,
        send: Send,
        options: PublisherOptions,
        status: BrokerStatus,
        backoff: Backoff,
        wait: Wait | None = None,
    ) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._max_retry = options.max_retry
        self._status = status
        self._backoff = backoff
        self._consequence = WAITING if self._max_retry is None else GIVING_UP.format(self._max_retry + 1)
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._turn = threading.Condition()
        self._queue: list[_Ticket] = []
        self._sending = False

    def publish(self, events: Sequence[Encoded]) -> None:
        """Return when the broker has the events.

        :raises PublishError: after ``max_retry`` retries, or when closed meanwhile.
        """
        ticket = _Ticket(events)
        mine: list[_Ticket] = []
        with self._turn:
            self._queue.append(ticket)
            self._turn.wait_for(lambda: ticket.done or not self._sending)
            if not ticket.done:
                self._sending = True
                mine, self._queue = self._queue, []
        if mine:
            self._serve(mine)
        if ticket.error is not None:
            raise PublishError(str(ticket.error)) from ticket.error

    def _serve(self, tickets: list[_Ticket]) -> None:
        error: BaseException | None = None
        try:
            self._deliver(
                make_batches((event for ticket in tickets for event in ticket.events), self._max_size)
            )
        except BaseException as exc:
            error = exc
            if not isinstance(exc, Exception):
                raise
        finally:
            with self._turn:
                for ticket in tickets:
                    ticket.done, ticket.error = True, error
                self._sending = False
                self._turn.notify_all()

    def _deliver(self, batches: deque[Batch]) -> None:
        tries = 0
        while True:
            try:
                send_batches(batches, self._send)
            except PublishError as exc:
                self._status.lost(exc, self._consequence)
                tries += 1
                if self._max_retry is not None and tries > self._max_retry:
                    self._status.drop(sum(map(len, batches)))
                    raise
                if self._wait(self._backoff(tries)):
                    raise PublishError("the publisher was closed") from exc
            else:
                self._status.regained()
                return

    def close(self) -> None:
        """Raise PublishError in callers that wait for the broker."""
        self._closing.set()


class Queueing:
    """Keeps the newest ``max_queue_length`` messages in memory while the broker is unavailable.

    A separate thread sends them, first in, first out. Callers return when the broker has their events. Once
    it has not answered for half a second, they return immediately until it answers again.
    """

    def __init__(self, send: Send, options: PublisherOptions, status: BrokerStatus, backoff: Backoff) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._max_length = options.max_queue_length
        self._status = status
        self._backoff = backoff
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[Batch] = deque()
        self._entered = 0
        self._left = 0
        self._is_away = False
        self._thread: threading.Thread | None = None

    def publish(self, events: Sequence[Encoded]) -> None:
        """Queue the events, and wait up to ``PATIENCE`` seconds until the broker has them."""
        batches = make_batches(events, self._max_size)
        with self._changed:
            self._waiting.extend(batches)
            self._entered += len(batches)
            mine = self._entered
            excess = self._trim()
            self._start_thread()
            self._changed.notify_all()
        self._status.drop(excess)
        with self._changed:
            if not self._changed.wait_for(lambda: self._left >= mine or self._unavailable(), PATIENCE):
                self._is_away = True

    def _trim(self) -> int:
        """Remove the oldest messages beyond the limit; return the number of their events."""
        excess = [self._waiting.popleft() for _ in range(len(self._waiting) - self._max_length)]
        self._left += len(excess)
        return sum(map(len, excess))

    def _unavailable(self) -> bool:
        return self._is_away or self._closing.is_set()

    def _start_thread(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="eventalarm-publisher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        tries = 0
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
                if not self._waiting:
                    return
                taken = deque([self._waiting.popleft()])
            try:
                send_batches(taken, self._send)
            except PublishError as exc:
                tries += 1
                self._failed(taken, exc)
                self._closing.wait(self._backoff(tries))
            else:
                tries = 0
                self._status.regained()
                with self._changed:
                    self._left += 1
                    self._is_away = False
                    self._changed.notify_all()

    def _failed(self, taken: deque[Batch], error: PublishError) -> None:
        with self._changed:
            # A message that was too large may have been split into several.
            self._entered += len(taken) - 1
            self._waiting.extendleft(reversed(taken))
            excess = self._trim()
            self._is_away = True
            self._changed.notify_all()
        self._status.lost(error, f"Up to {self._max_length} messages are kept in memory.")
        self._status.drop(excess)

    def close(self) -> None:
        """Stop the thread; messages still in memory are dropped."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()


class Dropping:
    """Tries once and drops what the broker does not accept.

    A caller waits at most ``PATIENCE`` seconds for another one. During the pause after a failure it does not
    wait.
    """

    def __init__(
        self,
        send: Send,
        options: PublisherOptions,
        status: BrokerStatus,
        backoff: Backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._status = status
        self._backoff = backoff
        self._clock = clock
        self._sender = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def publish(self, events: Sequence[Encoded]) -> None:
        """Send the events, or drop and count them."""
        batches = make_batches(events, self._max_size)
        if not (self._due() and self._sender.acquire(timeout=PATIENCE)):
            self._status.drop(sum(map(len, batches)))
            return
        try:
            if self._due():
                send_batches(batches, self._send)
        except PublishError as exc:
            self._failures += 1
            self._next_try = self._clock() + self._backoff(self._failures)
            self._status.lost(exc, "Events are dropped until it does.")
        else:
            if not batches:
                self._failures = 0
                self._status.regained()
        finally:
            self._sender.release()
        if batches:
            self._status.drop(sum(map(len, batches)))

    def _due(self) -> bool:
        return not self._failures or self._clock() >= self._next_try

    def close(self) -> None:
        """Do nothing: no caller waits for long."""


def make(
    send: Send, options: PublisherOptions, where: str, clock: Callable[[], float] = time.monotonic
) -> PublishPolicy:
    """Return the policy that *options* select; *where* names broker and topic in the log."""
    status = BrokerStatus(where, clock)
    if options.policy is Policy.QUEUE:
        return Queueing(send, options, status, Backoff(FIRST_WAIT, LONGEST_WAIT))
    if options.policy is Policy.DROP:
        return Dropping(send, options, status, Backoff(FIRST_WAIT, LONGEST_WAIT))
    return Blocking(send, options, status, Backoff(FIRST_WAIT, LONGEST_WAIT))
