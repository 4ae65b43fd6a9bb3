"""A cluster of three RabbitMQ nodes with a quorum queue: nodes are killed, cut off and forgotten."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import Finding, Play
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.stage import Ground
from tests.functional.disruption.cluster_disruptors import (
    AUTOHEAL,
    IGNORE,
    PAUSE_MINORITY,
    RATE,
    Act,
    Cluster,
    Partition,
)
from tests.support.broker_cluster import RabbitMQCluster

# Seconds of load before a disruption.
LEAD = 2.0
Prepare = Callable[[Cluster], Act]
KILLS: tuple[Prepare, ...] = (Cluster.kill_leader, Cluster.kill_majority, Cluster.forget)
# Partitions in the long form: too short to be noticed by the nodes, and noticed, for each way to handle it.
PARTITIONS = (
    Partition(PAUSE_MINORITY, 10.0, leads=True),
    Partition(PAUSE_MINORITY, 100.0, leads=False),
    Partition(PAUSE_MINORITY, 30.0, leads=True, net_tick=8),
    Partition(AUTOHEAL, 30.0, leads=True, net_tick=8),
    Partition(IGNORE, 30.0, leads=True, net_tick=8),
)


def broker_cluster(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    rounds: int = 2,
    kills: Sequence[Prepare] = KILLS,
    partitions: Sequence[Partition] = PARTITIONS,
    seed: int = 1,
) -> Finding:
    """Kill, cut off and forget nodes of a cluster in *rounds*, while two listeners fire.

    Without one node the queue elects another leader and goes on; without two it has no majority and waits
    for one of them. Nothing may be lost or fire twice.
    """
    with _cluster(ground, directory, progress, seed) as (play, service):
        alarms = play.alarms("healthy", 50)
        cluster = Cluster(play, service, alarms)
        cluster.attach()
        strikes = [*kills]
        if service.has_hosts:
            strikes[:0] = [functools.partial(Cluster.cut_off, partition=one) for one in partitions]
        else:
            progress.say("no node is cut off: that needs network namespaces; run as root")
        for number in range(rounds):
            for count, prepare in enumerate(strikes, 1):
                progress.say(f"round {number + 1} of {rounds}, disruption {count} of {len(strikes)}")
                _strike(play, alarms, prepare(cluster))
        return _found(play)


@contextlib.contextmanager
def _cluster(
    ground: Ground, directory: pathlib.Path, progress: Progress, seed: int
) -> Iterator[tuple[Play, RabbitMQCluster]]:
    progress.say("starting three RabbitMQ nodes")
    with contextlib.ExitStack() as stack:
        service = RabbitMQCluster(directory)
        stack.callback(service.stop)
        cluster = dataclasses.replace(ground, rabbitmq=service)
        play = Play(cluster, directory, ["healthy"], progress, seed, listeners=2)
        stack.callback(play.close)
        yield play, service


def _strike(play: Play, alarms: Sequence[AlarmSpec], act: Act) -> None:
    """Make a prepared disruption under load, and wait until everything has fired."""
    with load(play, alarms):
        time.sleep(LEAD)
        act()
    play.latencies(set(play.published))


def _found(play: Play) -> Finding:
    play.idle("the queue")
    verdict = play.verdict("cluster")
    return Finding("cluster", verdict.counts, verdict.problems, play.rows(verdict))


@contextlib.contextmanager
def load(play: Play, alarms: Sequence[AlarmSpec], rate: float = RATE) -> Iterator[None]:
    """Publish events for *alarms*, *rate* of them a second, during the block."""
    over = threading.Event()
    fire: Callable[[], None] = lambda: _until(over, lambda: play.fire([(rate, alarms)], 1.0))  # noqa: E731
    thread = threading.Thread(target=fire, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _until(over: threading.Event, act: Callable[[], object]) -> None:
    while not over.is_set():
        act()
