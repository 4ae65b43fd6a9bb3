"""The consumer of a listener process where events are divided into partitions.

oslo.messaging cannot declare a queue with a single active consumer: ``_get_queue_arguments`` of its RabbitMQ
driver sets fixed arguments, and no policy of RabbitMQ can set this one. So leases in the database decide
which process consumes a partition. A process that acquires one begins only when its queue has no consumer,
which is when the broker has returned the messages of the former one to their places: the order of the queue
is kept, also when that process was killed or frozen.

When the set of its partitions changes, the process ends its :class:`BatchServer` and starts another.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from eventalarm.broker import QueueWatch, Unusable
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.partition_plan import share_out
from eventalarm.evaluator.partition_settling import SendMarker, Settling, gate_time
from eventalarm.exceptions import Retryable
from eventalarm.publisher.partitions import Partition, all_of
from eventalarm.storage.leases import BETWEEN, RenewalWatch
from eventalarm.storage.partition_leases import Leases, PartitionLeases

LOG = logging.getLogger(__name__)

# Fractions of a lease between two renewals: usually, and while partitions move or topics are drained.
USUAL: Final = 1 / 6
SOON: Final = 1 / 16

# Builds the server for these partitions.
Build = Callable[[Collection[Partition]], BatchServer]


class PartitionedConsumer:
    """Consumes the partitions whose leases it holds; has the methods of :class:`BatchServer`.

    :param count: number of partitions. With one, its topic is consumed without a lease, by all processes, and
        leases are needed only for the topics of another number.
    :param lease: seconds after which a process that does not renew its leases has ended.
    :param max_skew: seconds by which two clocks may differ.
    :param changed: called with the partitions to consume, while none is consumed.
    :param ended: called at the end of the thread that all of this runs on.
    """

    def __init__(
        self,
        me: str,
        leases: PartitionLeases,
        queues: QueueWatch,
        *,
        base: str,
        count: int,
        lease: float,
        max_skew: float,
        build: Build,
        changed: Callable[[Collection[Partition]], None],
        send_marker: SendMarker,
        ended: Callable[[], None],
    ) -> None:
        self._me, self._leases, self._queues = me, leases, queues
        self._base, self._count, self._lease = base, count, lease
        self._build, self._changed, self._ended = build, changed, ended
        self._max_skew = datetime.timedelta(seconds=max_skew)
        self._watch = RenewalWatch(lease + max_skew, BETWEEN * lease)
        self._settling = Settling(base, send_marker, lease)
        self._lock = threading.Lock()
        self._server: BatchServer | None = None
        self._resumable: list[str] = []
        self._consuming: frozenset[Partition] = frozenset()
        self._moving = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="partitions", daemon=True)

    def begin(self) -> None:
        """Start to acquire partitions."""
        self._thread.start()

    def resume(self, what: str) -> None:
        """Handle the messages that wait for *what*; see :meth:`BatchServer.resume`."""
        with self._lock:
            if self._server is None:
                self._resumable.append(what)
            else:
                self._server.resume(what)

    def suspect(self) -> None:
        """See :meth:`BatchServer.suspect`."""
        with self._lock:
            if self._server is not None:
                self._server.suspect()

    def end(self) -> None:
        """End all waiting; called before ``stop``."""
        self._stopping.set()
        with self._lock:
            if self._server is not None:
                self._server.end()

    def stop(self) -> None:
        """Take no more messages."""
        self.end()

    def wait(self) -> None:
        """Finish the current batch, return the other messages, and release the leases."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._attempt(self._tick)
                self._stopping.wait(self._lease * (SOON if self._moving else USUAL))
        finally:
            self._attempt(lambda: self._consume(frozenset()))
            self._attempt(self._leases.leave)
            self._queues.close()
            self._ended()

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except (Retryable, Unusable) as exc:
            # A process that cannot renew keeps its partitions: others cannot acquire them either.
            LOG.debug("Partitions could not be shared out: %s", exc)
        except Exception:
            LOG.exception("Partitions could not be shared out")

    def _tick(self) -> None:
        server = self._server
        if server is not None:
            server.entrance.mark()
        settled = [] if server is None else self._settling.settled(server, self._others(self._consuming))
        now = time.monotonic()
        leases = self._leases.look(settled)
        if self._me not in leases.members:
            known = {*all_of(self._count), Partition(1, 0)}
            self._leases.register([one.label for one in sorted(known)])
            return
        self._share(leases, now)
        if self._server is None:
            return
        self._settling.send(self._server, self._others(self._consuming), leases)
        idle, until = gate_time(leases, self._count, self._max_skew)
        self._moving = self._moving or not idle
        self._server.entrance.advance(leases.now, until, idle=idle)

    def _others(self, partitions: Collection[Partition]) -> list[Partition]:
        """Return the partitions of another number, whose topics are drained before those of this one."""
        return sorted(one for one in partitions if one.count != self._count)

    def _share(self, leases: Leases, now: float) -> None:
        """Give up, acquire and consume partitions as the leases, read at *now*, demand."""
        live = self._live(leases, now)
        parsed = {Partition.parse(label): row for label, row in leases.partitions.items()}
        rows = {one: row for one, row in parsed.items() if one is not None and one not in self._shared()}
        owners = {one: row.owner for one, row in rows.items()}
        owned = {one for one, owner in owners.items() if owner == self._me}
        current = [one for one in sorted(rows) if one.count == self._count]
        shifts = [share_out(some, owners, live, self._me) for some in (current, self._others(rows)) if some]
        give = {one for shift in shifts for one in shift.give}
        lost = self._consuming - owned - give - self._shared()
        if give or lost:
            self._consume(self._consuming - give - lost)
            self._leases.give([one.label for one in give])
        for one in [one for shift in shifts for one in shift.take]:
            if self._leases.take(one.label, rows[one]):
                owned.add(one)
        owned -= give
        waiting = {one for one in owned - self._consuming if self._is_consumed(one)}
        self._moving = bool(give or waiting) or any(owner not in live for owner in owners.values())
        self._consume(frozenset(owned - waiting) | self._shared())

    def _is_consumed(self, one: Partition) -> bool:
        """Return True while the broker has not returned what the former consumer held to its place."""
        return self._queues.look(one.topic(self._base)).consumers > 0

    def _shared(self) -> frozenset[Partition]:
        """Return the partition that needs no lease."""
        return frozenset(all_of(1)) if self._count == 1 else frozenset()

    def _live(self, leases: Leases, now: float) -> set[str]:
        """Return the processes that take part, and remove those that have ended."""
        numbers = {name: row.renewals for name, row in leases.members.items() if name != self._me}
        ended = self._watch.look(numbers, now)
        for name, number in ended.items():
            LOG.warning("Listener process %s has ended; its partitions are shared out", name)
            self._leases.forget(name, number)
        return {*numbers, self._me} - set(ended)

    def _consume(self, partitions: frozenset[Partition]) -> None:
        """End the server if it consumes other partitions, and start one for these.

        :raises Unusable: when the broker does not answer; then nothing is consumed until the next attempt.
        """
        if partitions == self._consuming:
            return
        self._end_server()
        self._changed(partitions)
        if partitions and not self._stopping.is_set():
            # The start of a server waits for the broker, and nothing can interrupt it.
            self._queues.look(self._base)
            self._start_server(partitions)

    def _end_server(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.end()
            server.stop()
            server.wait()
        self._consuming = frozenset()
        self._settling.forget()

    def _start_server(self, partitions: frozenset[Partition]) -> None:
        server = self._build(partitions)
        server.begin()
        self._consuming = partitions
        LOG.info("Consuming partitions %s", ", ".join(one.label for one in sorted(partitions)))
        with self._lock:
            self._server = server
            for what in self._resumable:
                server.resume(what)
            self._resumable.clear()
        if self._stopping.is_set():
            server.end()
