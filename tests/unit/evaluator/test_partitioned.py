"""What a process does with its partitions while broker or database are away, on a real table of leases."""

from __future__ import annotations

import pathlib
import threading
import time
import types
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm import bus
from eventalarm.app import partitions
from eventalarm.broker import QueueState, Unusable
from eventalarm.evaluator.entrance import Entrance
from eventalarm.evaluator.partition_settling import QUIET, Settling
from eventalarm.evaluator.partitioned import PartitionedConsumer
from eventalarm.exceptions import Retryable
from eventalarm.publisher.partitions import Partition, all_of
from eventalarm.storage.database import Database
from eventalarm.storage.partition_leases import IDLE, Lease, Leases, PartitionLeases
from eventalarm.storage.tables import leader_lease
from tests.support.engine_harness import create_schemas, open_database
from tests.support.helpers import wait_until

LEASE = 0.3


class Server:
    """The stand-in of a server: it consumes from its start to its stop."""

    def __init__(self, partitions: Collection[Partition], accept: Callable[[Sequence[Any]], None]) -> None:
        self.partitions = frozenset(partitions)
        self.entrance = Entrance((), accept, lambda: True)
        self.consuming = False

    def begin(self) -> None:
        self.consuming = True

    def end(self) -> None:
        """Do nothing: nothing waits."""

    def stop(self) -> None:
        self.consuming = False

    def wait(self) -> None:
        """Do nothing: no batch is handled."""


class Queues:
    """The stand-in of the broker: available or not, with a number of consumers on each queue."""

    def __init__(self) -> None:
        self.available = True
        self.consumers = 0
        self.looks = 0

    def look(self, topic: str) -> QueueState:
        self.looks += 1
        if not self.available:
            raise Unusable("connection refused")
        return QueueState(0, self.consumers)

    def close(self) -> None:
        """Do nothing."""


class Takeover(PartitionLeases):
    """Leases whose database fails for a number of times after a process was found to have ended."""

    failures = 0

    def forget(self, member: str, renewals: int) -> None:
        super().forget(member, renewals)
        self.failures = 2

    def take(self, label: str, seen: Lease) -> bool:
        if self.failures:
            self.failures -= 1
            raise Retryable("the database is gone")
        return super().take(label, seen)


class Process:
    """One listener process with two partitions, without its events."""

    def __init__(self, database: Database, name: str, queues: Queues, count: int = 2) -> None:
        self.servers: list[Server] = []
        self.ended = threading.Event()
        self.leases = Takeover(database, name)
        self.consumer = PartitionedConsumer(
            name,
            self.leases,
            queues,  # type: ignore[arg-type]
            base="event_eval",
            count=count,
            lease=LEASE,
            max_skew=0.0,
            build=self._build,
            changed=self._changed,
            send_marker=lambda topic, marker: None,
            ended=self.ended.set,
        )

    def _build(self, chosen: Collection[Partition]) -> Any:
        self.servers.append(Server(chosen, lambda messages: None))
        return self.servers[-1]

    def _changed(self, chosen: Collection[Partition]) -> None:
        assert self.consumed() == frozenset()

    def consumed(self) -> frozenset[Partition]:
        """Return what is consumed now."""
        return frozenset().union(*(one.partitions for one in list(self.servers) if one.consuming))

    def stop(self) -> None:
        self.consumer.end()
        self.consumer.stop()
        self.consumer.wait()
        assert self.ended.is_set()
        assert self.consumed() == frozenset()


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path}/db") as opened:
        create_schemas(opened)
        yield opened


def owners(database: Database) -> set[str | None]:
    with database.read() as connection:
        query = sa.select(leader_lease.c.owner).where(leader_lease.c.name.like("partition.%"))
        return set(connection.execute(query).scalars())


def test_a_process_takes_the_partitions_of_an_ended_one_although_the_database_fails_meanwhile(
    database: Database,
) -> None:
    """Fails if what remains to be acquired is known to the process only, and not to the database."""
    gone = PartitionLeases(database, "gone")
    everything = [*all_of(2), Partition(1, 0)]
    gone.register([one.label for one in everything])
    for label, row in gone.look(()).partitions.items():
        assert gone.take(label, row)
    process = Process(database, "here", Queues())
    process.consumer.begin()
    wait_until(lambda: process.consumed() == frozenset(everything), what="all partitions")
    assert process.leases.failures == 0
    process.stop()
    assert owners(database) == {None}


def test_nothing_is_consumed_while_the_queue_has_a_consumer(database: Database) -> None:
    queues = Queues()
    queues.consumers = 1
    process = Process(database, "here", queues)
    process.consumer.begin()
    wait_until(lambda: owners(database) == {"here"} and queues.looks > 3)
    assert process.servers == []
    queues.consumers = 0
    wait_until(lambda: len(process.consumed()) == 3, what="all partitions")
    process.stop()


def test_a_process_stops_while_the_broker_is_away(database: Database) -> None:
    """Fails if a server is started then: that waits for the broker, and cannot be interrupted."""
    queues = Queues()
    first = Process(database, "first", queues)
    first.consumer.begin()
    wait_until(lambda: len(first.consumed()) == 3, what="all partitions")
    queues.available = False
    second = Process(database, "second", queues)
    second.consumer.begin()
    # The first one gives up a share, and would start a server for the rest.
    wait_until(lambda: first.consumed() == frozenset(), what="the end of the server")
    wait_until(lambda: owners(database) == {"first", "second"}, what="an owner of each partition")
    assert len(first.servers) == 1
    first.stop()
    wait_until(lambda: owners(database) == {"second"}, what="the other owner")
    queues.available = True
    wait_until(lambda: len(second.consumed()) == 3, what="all partitions")
    second.stop()


def test_one_partition_after_another_number_needs_no_lease(database: Database) -> None:
    """Fails if the topic that all processes consume together counts as one that moves."""
    PartitionLeases(database, "former").register(["2.0", "2.1"])
    process = Process(database, "here", Queues(), count=1)
    process.consumer.begin()
    wait_until(lambda: process.consumed() == {Partition(1, 0), *all_of(2)}, what="all topics")
    with database.begin() as connection:
        old = leader_lease.c.name.like("partition.2.%")
        connection.execute(sa.update(leader_lease).where(old).values(done_at=IDLE))
    wait_until(lambda: not process.consumer._moving, what="the usual interval")
    process.stop()


def test_with_one_partition_and_no_other_before_nothing_is_added(database: Database) -> None:
    """One query at the start; then the server itself, without a thread of leases."""
    group = types.SimpleNamespace(partitions=1)
    statements: list[str] = []
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda *given: statements.append(given[2].split()[0])
    )
    served: list[tuple[Collection[str], Collection[str]]] = []

    def build_server(topics: Collection[str], gated: Collection[str]) -> Any:
        served.append((topics, gated))
        return served

    conf: Any = {"eventalarm": group}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "_is_rabbit", lambda conf: True)
        nothing: Any = None
        assert partitions.build(conf, database, nothing, nothing, build_server) is served
    assert served == [((), ())]
    assert [one for one in statements if one not in ("PRAGMA", "BEGIN")] == ["SELECT"]


class Clock:
    """The monotonic clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Message:
    """A message of the old topic, or a marker on it."""

    def __init__(self, marker: str = "") -> None:
        raw = types.SimpleNamespace(delivery_info={"routing_key": "event_eval.sample"})
        self.message = Body(event_type=bus.MARKER if marker else "event_eval", publisher_id=marker)
        self.message._raw_message = raw

    def acknowledge(self) -> None:
        """Do nothing."""


class Body(dict[str, Any]):
    """The body of a message with the raw message that oslo.messaging attaches."""

    _raw_message: Any


def test_markers_are_sent_until_the_old_topic_is_idle_and_again_after_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails if a topic on which a message once arrived gets markers as long as the process lives."""
    clock = Clock(monkeypatch)
    old = Partition(1, 0)
    server: Any = Server([old], lambda messages: None)
    sent: list[str] = []
    settling = Settling("event_eval", lambda topic, marker: sent.append(marker), 4.0)
    state = Lease("me", 0)

    def tick() -> bool:
        """Return True if a marker was sent; it comes back at once."""
        nonlocal state
        for _, state_time in settling.settled(server, [old]):
            state = Lease("me", 0, state_time)
        before = len(sent)
        now = IDLE.replace(year=2026)
        settling.send(server, [old], Leases(now, {old.label: state}, {}))
        for marker in sent[before:]:
            server.entrance.enter([Message(marker)])
        return len(sent) > before

    server.entrance.enter([Message()])
    assert tick()
    assert tick()
    clock.now += QUIET
    assert not tick()
    assert state.settled_at == IDLE
    assert server.entrance.take_evaluated_markers() == set()
    server.entrance.enter([Message()])
    assert tick()
    assert tick()
    assert state.settled_at != IDLE


def test_silence_counts_from_the_start_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the time in which another process consumed a topic counts as silence."""
    clock = Clock(monkeypatch)
    old = Partition(1, 0)
    sent: list[str] = []
    settling = Settling("event_eval", lambda topic, marker: sent.append(marker), 4.0)
    leases = Leases(IDLE.replace(year=2026), {old.label: Lease("me", 0)}, {})
    for _ in range(2):
        server: Any = Server([old], lambda messages: None)
        settling.send(server, [old], leases)
        server.entrance.enter([Message(sent[-1])])
        assert settling.settled(server, [old]) == [(old.label, leases.now)]
        settling.forget()
        clock.now += QUIET
