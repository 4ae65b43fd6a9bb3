"""What becomes of events while the broker does not take them: wait, queue in memory, or drop."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from eventalarm.exceptions import PublishError
from eventalarm.publisher.codec import Encoded
from eventalarm.publisher.contact import Backoff, Contact
from eventalarm.publisher.options import Policy, PublisherOptions
from eventalarm.publisher.parcel import Parcel, Send, hand_over, pack

Wait = Callable[[float], bool]


class PublishPolicy(Protocol):
    """One way to publish; safe to call from several threads, which keeps the order of the calls."""

    def publish(self, events: Sequence[Encoded]) -> None:
        """Publish events as the policy promises."""

    def close(self) -> None:
        """Let waiting callers and threads go; nothing is published any more."""


@dataclasses.dataclass(eq=False, slots=True)
class _Ticket:
    """One caller's place in the line."""

    events: Sequence[Encoded]
    done: bool = False
    error: BaseException | None = None


class Blocking:
    """Holds its callers until the broker has their events, so that they acknowledge nothing too early.

    While one caller sends, those behind it line up; the next to send takes the whole line in one message.
    A storm is thus limited by the broker's throughput, not by the time one confirmation takes.
    """

    def __init__(
        self,
        send: Send,
        options: PublisherOptions,
        contact: Contact,
        backoff: Backoff,
        wait: Wait | None = None,
    ) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._max_retry = options.max_retry
        self._contact = contact
        self._backoff = backoff
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._turn = threading.Condition()
        self._line: list[_Ticket] = []
        self._sending = False

    def publish(self, events: Sequence[Encoded]) -> None:
        """Return when the broker has the events.

        :raises PublishError: after max_retry tries, or when closed meanwhile.
        """
        ticket = _Ticket(events)
        mine: list[_Ticket] = []
        with self._turn:
            self._line.append(ticket)
            self._turn.wait_for(lambda: ticket.done or not self._sending)
            if not ticket.done:
                self._sending = True
                mine, self._line = self._line, []
        if mine:
            self._serve(mine)
        if ticket.error is not None:
            raise PublishError(str(ticket.error)) from ticket.error

    def _serve(self, tickets: list[_Ticket]) -> None:
        error: BaseException | None = None
        try:
            self._deliver(pack((event for ticket in tickets for event in ticket.events), self._max_size))
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

    def _deliver(self, parcels: deque[Parcel]) -> None:
        tries = 0
        while True:
            try:
                hand_over(parcels, self._send)
            except PublishError as exc:
                self._contact.lost(exc, "Events wait, unacknowledged, until it does.")
                tries += 1
                if self._max_retry is not None and tries > self._max_retry:
                    raise
                if self._wait(self._backoff(tries)):
                    raise PublishError("the publisher was closed") from exc
            else:
                self._contact.regained()
                return

    def close(self) -> None:
        """Make callers that wait for the broker raise PublishError."""
        self._closing.set()


class Queueing:
    """Keeps messages in memory while the broker is away, the newest ``max_queue_length`` of them.

    A thread sends them, first in first out, once the broker is back; it lives only as long as needed.
    """

    def __init__(self, send: Send, options: PublisherOptions, contact: Contact, backoff: Backoff) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._max_length = options.max_queue_length
        self._contact = contact
        self._backoff = backoff
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._sender = threading.Lock()
        self._waiting: deque[Parcel] = deque()
        self._away = False
        self._thread: threading.Thread | None = None

    def publish(self, events: Sequence[Encoded]) -> None:
        """Send the events behind what waits already, or queue them at once while the broker is away."""
        with self._guard:
            self._waiting.extend(pack(events, self._max_size))
            excess = [self._waiting.popleft() for _ in range(len(self._waiting) - self._max_length)]
            away = self._away
        if excess:
            self._contact.drop(sum(map(len, excess)))
        if not away and not self._flush():
            self._start_thread()

    def _flush(self) -> bool:
        """Send what waits; False when the broker failed."""
        with self._sender:
            while True:
                with self._guard:
                    if not self._waiting:
                        self._away = False
                        break
                    in_hand = deque([self._waiting.popleft()])
                try:
                    hand_over(in_hand, self._send)
                except PublishError as exc:
                    with self._guard:
                        self._waiting.extendleft(reversed(in_hand))
                        self._away = True
                    self._contact.lost(exc, f"Up to {self._max_length} messages are kept in memory.")
                    return False
        self._contact.regained()
        return True

    def _start_thread(self) -> None:
        with self._guard:
            if self._thread is None and self._away and not self._closing.is_set():
                self._thread = threading.Thread(
                    target=self._recover, name="eventalarm-publisher", daemon=True
                )
                self._thread.start()

    def _recover(self) -> None:
        tries = 1
        while not self._closing.wait(self._backoff(tries)):
            tries += 1
            if not self._flush():
                continue
            with self._guard:
                # A caller that failed since relies on this thread.
                if not self._away:
                    self._thread = None
                    return

    def close(self) -> None:
        """Stop the thread; what still waits in memory is given up."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join()


class Dropping:
    """Tries once and drops what the broker does not take."""

    def __init__(self, send: Send, options: PublisherOptions, contact: Contact) -> None:
        self._send = send
        self._max_size = options.max_message_size
        self._contact = contact
        self._sender = threading.Lock()

    def publish(self, events: Sequence[Encoded]) -> None:
        """Send the events, or drop and count them."""
        parcels = pack(events, self._max_size)
        with self._sender:
            try:
                hand_over(parcels, self._send)
            except PublishError as exc:
                self._contact.lost(exc, "Events are dropped until it does.")
                self._contact.drop(sum(map(len, parcels)))
            else:
                self._contact.regained()

    def close(self) -> None:
        """Nothing waits here."""


def make(
    send: Send, options: PublisherOptions, where: str, clock: Callable[[], float] = time.monotonic
) -> PublishPolicy:
    """Return the policy that *options* ask for; *where* names the destination in the log."""
    contact = Contact(where, clock)
    if options.policy is Policy.QUEUE:
        return Queueing(send, options, contact, Backoff())
    if options.policy is Policy.DROP:
        return Dropping(send, options, contact)
    return Blocking(send, options, contact, Backoff())
