"""The monitors: samples while the load runs, and the duration of each recovery."""

from __future__ import annotations

import bisect
import contextlib
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import amqp

from eventalarm.exceptions import Retryable
from eventalarm.trial.own_cloud import broker_queue
from eventalarm.trial.own_cloud.disruptors import CONSUMER
from eventalarm.trial.own_cloud.stage import Stage, epoch
from eventalarm.trial.own_cloud.striker import Used

EVERY = 1.0
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """One sample: memory of each listener in bytes, queue depth and outbox; None while unreachable."""

    at: float
    memory: tuple[int, ...]
    queue: int | None
    outbox: int | None


class Watch(threading.Thread):
    """Takes a sample every second until stopped."""

    def __init__(self, stage: Stage, say: Callable[[str], None], about: Callable[[], str]) -> None:
        super().__init__(name="watch", daemon=True)
        self._stage = stage
        self._say = say
        self._about = about
        self._over = threading.Event()
        self.samples: list[Sample] = []

    def finish(self) -> None:
        """Stop sampling."""
        self._over.set()
        self.join(60)

    def run(self) -> None:
        """Take samples; called by ``start``."""
        while not self._over.wait(EVERY):
            queue = depth(self._stage)
            outbox = None
            with contextlib.suppress(Retryable):
                outbox = self._stage.unfinished()
            memory = tuple(listener.memory() for listener in self._stage.listeners)
            self.samples.append(Sample(epoch(), memory, queue, outbox))
            sizes = "+".join(f"{size // MIB}" for size in memory)
            self._say(f"{self._about()}, queue {shown(queue)}, outbox {shown(outbox)}, RSS {sizes} MiB")


def shown(number: int | None) -> str:
    """Return a number as text."""
    return "?" if number is None else f"{number:,}"


def depth(stage: Stage) -> int | None:
    """Return how many events wait on the broker, or None while it is away."""
    try:
        found = broker_queue.look(stage.transport_url, stage.cloud.conf.eventalarm.topic)
    except (OSError, amqp.AMQPError):
        return None
    return found.messages if found else 0


@dataclass(frozen=True)
class Recovery:
    """Results of the strikes of one kind, in seconds; None where nothing was observed.

    ``commits`` and ``deliveries`` are the times from when the struck part worked again to the first committed
    transition and the first accepted webhook; ``taken_over`` is for kills. Only single strikes are measured.
    """

    name: str
    times: int
    commits: tuple[float, ...]
    deliveries: tuple[float, ...]
    taken_over: tuple[float, ...]
    held: int


def recoveries(
    used: Sequence[Used], commits: Sequence[float], deliveries: Sequence[tuple[float, str]]
) -> list[Recovery]:
    """Return a summary of each kind of strike; *commits* and *deliveries* (by consumer) are epoch seconds."""
    by_name: dict[str, list[Used]] = defaultdict(list)
    for one in used:
        by_name[one.name].append(one)
    committed = {"": sorted(commits)}
    delivered = {"": sorted(moment for moment, _ in deliveries)}
    for moment, consumer in sorted(deliveries):
        delivered.setdefault(consumer, []).append(moment)
    found = []
    for name, strikes in sorted(by_name.items()):
        alone = [one for one in strikes if one.alone]
        found.append(
            Recovery(
                name,
                len(strikes),
                tuple(_after(committed, alone)),
                tuple(_after(delivered, alone)),
                tuple(one.taken_over for one in alone if one.taken_over is not None),
                sum(one.held for one in alone),
            )
        )
    return found


def _after(known: Mapping[str, Sequence[float]], strikes: Sequence[Used]) -> list[float]:
    """Return the time from each strike to the next moment of its own target, or of any target."""
    found = []
    for strike in strikes:
        of_consumer = strike.name.startswith(CONSUMER)
        moments = known.get(strike.target if of_consumer else "", ())
        place = bisect.bisect_left(moments, strike.back)
        if place < len(moments):
            found.append(moments[place] - strike.back)
    return found


@dataclass(frozen=True)
class Memory:
    """Resident memory of the listeners in MiB: when the load began, at most, and at its end."""

    first: float
    most: float
    last: float


def memory(samples: Sequence[Sample]) -> Memory:
    """Return the median over the first and the last tenth of *samples*, and the most."""
    sizes = [max(sample.memory) / MIB for sample in samples if max(sample.memory)]
    if not sizes:
        return Memory(0.0, 0.0, 0.0)
    tenth = max(1, len(sizes) // 10)
    return Memory(statistics.median(sizes[:tenth]), max(sizes), statistics.median(sizes[-tenth:]))
