"""Disruptors of a RabbitMQ cluster: nodes are killed, cut off from the others, or forgotten.

Each disruptor waits until the queue is on all nodes again, and records what it did in the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventalarm.trial.history.records import Strike
from eventalarm.trial.own_cloud.load.runners import Publisher
from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import SETTLE, Play
from eventalarm.trial.own_cloud.programs.listeners import Listener
from eventalarm.trial.own_cloud.progress import wait
from eventalarm.trial.own_cloud.stage import epoch
from tests.support.broker_cluster import NODES, RabbitMQCluster, name_of

QUEUE = "event_eval.sample"
RATE = 20.0
# Seconds that a killed node stays away.
AWAY = 10.0
# Nodes without which the queue goes on.
MINORITY = 1
# RabbitMQ's default: nodes that exchange nothing for 45 to 75 seconds consider each other down.
NET_TICK = 60
PAUSE_MINORITY, AUTOHEAL, IGNORE = "pause_minority", "autoheal", "ignore"


@dataclass(frozen=True)
class Partition:
    """A node without a connection to the others: how they handle that, and how long it lasts, in seconds.

    *leads* is true if the node leads the queue when it is cut off.
    """

    handling: str
    seconds: float
    leads: bool
    net_tick: int = NET_TICK

    @property
    def name(self) -> str:
        """The name in the report."""
        role = "leader" if self.leads else "follower"
        return f"partition {self.seconds:.0f} s, {role}, {self.handling}"


Act = Callable[[], None]


class Cluster:
    """The cluster under a play; each disruptor prepares its strike, and returns the function that strikes."""

    def __init__(self, play: Play, service: RabbitMQCluster, alarms: Sequence[AlarmSpec]) -> None:
        self._play = play
        self._service = service
        self._alarms = alarms
        self._attached = ""
        self._vhost = play.stage.transport_url.partition("?")[0].rpartition("/")[2]
        # The depth of the queue is read from one node.
        play.stage.transport_url = service.url(self._vhost, NODES[0])

    def kill_leader(self, away: float = AWAY) -> Act:
        """Kill the node that leads the queue."""
        leader = self._service.leader(self._vhost, QUEUE)
        return lambda: self._kill("kill the leader", [leader], away)

    def kill_majority(self, away: float = AWAY) -> Act:
        """Kill the two nodes that do not lead the queue, at once."""
        leader = self._service.leader(self._vhost, QUEUE)
        others = [node for node in NODES if node != leader]
        return lambda: self._kill("kill two nodes", others, away)

    def _kill(self, name: str, nodes: Sequence[str], away: float) -> None:
        began = epoch()
        self._service.kill_some(*nodes)
        time.sleep(away)
        self._service.start_some(*nodes)
        self._record(began, name, survivable=len(nodes) <= MINORITY)

    def cut_off(self, partition: Partition) -> Act:
        """Cut off the node that the first listener and the publisher use, but not the second listener."""
        node = self.attach()
        self._lead(node, leads=partition.leads)
        self._service.handle_partitions(partition.handling, partition.net_tick)
        return lambda: self._cut_off(node, partition)

    def _cut_off(self, node: str, partition: Partition) -> None:
        began = epoch()
        self._service.isolate(node)
        time.sleep(partition.seconds)
        self._service.heal()
        if partition.handling == IGNORE and partition.seconds > partition.net_tick:
            # RabbitMQ's guide: the nodes do not agree again by themselves; one side is to be restarted. The
            # command start_app would wait for Erlang's own agreement, which may never come.
            self._service.kill_some(node)
            self._service.start_some(node)
        self._record(began, partition.name, survivable=True)

    def forget(self) -> Act:
        """Kill the node of the first listener and remove it from the cluster; then it joins as a new one."""
        node = self.attach()
        return lambda: self._forget(node)

    def _forget(self, node: str) -> None:
        other = next(one for one in NODES if one != node)
        name = name_of(node)
        began = epoch()
        self._service.kill_some(node)
        self._service.run_on(other, "rabbitmqctl", "forget_cluster_node", name)
        if name in self._service.members(self._vhost, QUEUE):
            raise RuntimeError(f"{name} is forgotten, but still a member of the queue")
        self._service.renew(node)
        self._service.run_on(other, "rabbitmq-queues", "grow", name, "all")
        self._record(began, "forget a node", survivable=True)

    def attach(self) -> str:
        """Start the listeners (again); return the node of the first, which the publisher uses too.

        The second listener uses another node. All of them know the addresses of all nodes.
        """
        if self._attached:
            return self._attached
        node = self._play.chance.choice(NODES)
        stage = self._play.stage
        first, second = stage.listeners
        with self._service.accepting(node):
            _restart(first)
            self._play.publisher.close()
            self._play.publisher = Publisher(stage.cloud.conf, stage.history, threads=1)
            self._play.publish(self._play.event(self._alarms[0]))
            self._play.latencies(set(self._play.published))
        with self._service.accepting(*(one for one in NODES if one != node)):
            _restart(second)
        self._attached = node
        return node

    def _lead(self, node: str, *, leads: bool) -> None:
        """Make a node the leader of the queue, or another one."""
        if (self._service.leader(self._vhost, QUEUE) == node) != leads:
            others = [one for one in NODES if one != node]
            self._service.transfer(self._vhost, QUEUE, node if leads else others[0])

    def _record(self, began: float, name: str, *, survivable: bool) -> None:
        """Record a strike, and wait until the queue is on all nodes again."""
        self._attached = ""
        strike = Strike(began, epoch(), name, ends_process=False, survivable=survivable)
        self._play.stage.history.add(strike)
        wait(
            lambda: self._service.is_whole(self._vhost, QUEUE),
            SETTLE,
            self._play.progress,
            lambda: "the nodes join the queue",
            pause=0.5,
        )


def _restart(listener: Listener) -> None:
    if listener.is_started:
        listener.kill()
    listener.start(wait=True)
