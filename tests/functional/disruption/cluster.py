"""A cluster of three RabbitMQ nodes with a quorum queue: its leader is killed, then two nodes at once."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.progress import Progress, wait
from benchmarks.workload import AlarmSpec
from tests.functional.disruption.history.records import Strike
from tests.functional.disruption.play import SETTLE, Play
from tests.functional.disruption.scenarios import Finding
from tests.functional.disruption.stage import Ground, epoch
from tests.support.broker_cluster import NODES, RabbitMQCluster

QUEUE = "event_eval.sample"
RATE = 20.0
# Seconds that a node stays away.
AWAY = 10.0
# Nodes without which the queue goes on.
MINORITY = 1


def broker_cluster(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    rounds: int = 2,
    seed: int = 1,
) -> Finding:
    """Kill the node that leads the queue, then two nodes at once, in *rounds*, while two listeners fire.

    Without one node the queue elects another leader and goes on; without two it has no majority and waits
    for one of them. Nothing may be lost or fire twice.
    """
    progress.say("starting three RabbitMQ nodes")
    cluster = RabbitMQCluster(directory)
    try:
        ground = dataclasses.replace(ground, rabbitmq=cluster)
        play = Play(ground, directory, ["healthy"], progress, seed, listeners=2)
        try:
            return _disturb(play, cluster, rounds)
        finally:
            play.close()
    finally:
        cluster.stop()


def _disturb(play: Play, service: RabbitMQCluster, rounds: int) -> Finding:
    vhost = play.stage.transport_url.partition("?")[0].rpartition("/")[2]
    # The depth of the queue is read from one node.
    play.stage.transport_url = service.url(vhost, NODES[0])
    alarms = play.alarms("healthy", 50)
    for listener in play.stage.listeners:
        listener.start(wait=True)
    with load(play, alarms):
        for number in range(rounds):
            play.progress.say(f"round {number + 1} of {rounds}: the leader is killed")
            leader = service.leader(vhost, QUEUE)
            _without(play, service, vhost, [leader])
            others = [node for node in NODES if node != leader]
            play.progress.say(f"round {number + 1} of {rounds}: two nodes are killed")
            _without(play, service, vhost, others)
    play.latencies(set(play.published))
    play.idle("the queue")
    verdict = play.verdict("cluster")
    figures = {"events": float(len(play.published)), "rounds": float(rounds)}
    return Finding("cluster", figures, verdict.problems, play.rows(verdict))


def _without(play: Play, service: RabbitMQCluster, vhost: str, nodes: Sequence[str]) -> None:
    began = epoch()
    for node in nodes:
        service.kill_one(node)
    time.sleep(AWAY)
    for node in nodes:
        service.start_one(node)
    name = f"kill {len(nodes)} of {len(NODES)} nodes"
    strike = Strike(began, epoch(), name, ends_process=False, survivable=len(nodes) <= MINORITY)
    play.stage.history.add(strike)
    wait(
        lambda: service.is_whole(vhost, QUEUE),
        SETTLE,
        play.progress,
        lambda: "the nodes join the queue",
        pause=1.0,
    )


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
