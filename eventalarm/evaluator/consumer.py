"""What a listener consumes, and the interface of what processes its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

# While more than DENSE messages a second arrive, batches are taken GATHER seconds apart: each batch costs a
# look for changed definitions and a commit, and the thread that reads the bus needs the interpreter. Below
# that rate, or with fewer than FEW messages at once, nothing waits.
DENSE = 400.0
FEW = 8
GATHER = 0.05

# Most unacknowledged messages of a listener that has not acknowledged any yet.
FIRST_PREFETCH = 8


class Message(Protocol):
    """One message of the bus, as the drivers of oslo.messaging provide it."""

    message: dict[str, Any]

    def acknowledge(self) -> None:
        """Confirm to the broker that the message was processed."""

    def requeue(self) -> None:
        """Give the message back to the broker."""


class BatchConsumer:
    """Processes the batches of a ``BatchServer``; its methods are called on one thread."""

    def prepare(self) -> None:
        """Prepare to process batches; called once, before any message is taken."""

    def handle(self, messages: Sequence[dict[str, Any]]) -> Mapping[int, str] | None:
        """Process the message bodies of one batch.

        :returns: the positions of messages that are put off, each with what it waits for
            (``resume``; LEFT comes with the next batch); all others are acknowledged. None to give all back.
        """
        raise NotImplementedError

    def resumed(self, what: str) -> None:
        """Take note that messages that waited for *what* come next."""

    def dropped(self) -> None:
        """Take note that messages that were put off went back to the broker; called from any thread."""

    def ready(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Wait until batches can be handled again.

        :param away: to be called once if they cannot at first; gives back what the server holds.
        :returns: False if *interrupted* returned True before, or if they never can.
        """
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class ListenerOptions:
    """What a ``BatchServer`` consumes, and how it forms batches.

    ``dense`` is the messages a second that count as a backlog, ``gather`` the seconds between its batches.
    ``first_prefetch`` limits unacknowledged messages on RabbitMQ until the first acknowledgement: a listener
    that is killed repeatedly then uses up the delivery limit of a few messages only.
    """

    topic: str
    exchange: str
    batch_size: int
    dense: float = DENSE
    gather: float = GATHER
    first_prefetch: int = FIRST_PREFETCH
