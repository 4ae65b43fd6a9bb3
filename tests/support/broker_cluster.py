"""A RabbitMQ cluster of three nodes on one machine, each of which can be killed and started again."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, ClassVar

from pifpaf.drivers import Driver

from tests.support.keeper import free_ports, keep, kill_all
from tests.support.servers import KeptRabbitMQ
from tests.support.services import RabbitMQ

NODES = ("1", "2", "3")


class KeptRabbitMQCluster(KeptRabbitMQ):
    """Three nodes that share one name server; the first one answers what the keeper asks."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = True
        self.names = {number: f"{self.nodename}-{number}@localhost" for number in NODES}
        self.node = self.names["1"]
        ports = [self.port, *free_ports(len(NODES) - 1)]
        self._ports = dict(zip(self.names.values(), ports, strict=True))
        self._dist_ports = dict(zip(self.names.values(), free_ports(len(NODES)), strict=True))

    def start_node(self, nodename: str) -> Any:
        # Every node has a port of its own for the others.
        os.environ["RABBITMQ_DIST_PORT"] = str(self._dist_ports[nodename])
        return super().start_node(nodename)

    def info(self) -> dict[str, Any]:
        return {**super().info(), "ports": {number: self._ports[name] for number, name in self.names.items()}}

    def kill_one(self, number: str) -> None:
        """End a node by SIGKILL."""
        server = self._process[self.names[number]]
        family = server.children(recursive=True)
        self.kill_node(self.names[number], signal.SIGKILL)
        kill_all(family)
        running = [name for name in self.names.values() if name in self._process]
        self.node = running[0] if running else self.names["1"]

    def start_one(self, number: str) -> None:
        """Start a node again on its data."""
        self.start_node(self.names[number])

    def kill(self) -> None:
        for number, name in self.names.items():
            if name in self._process:
                self.kill_one(number)


class RabbitMQCluster(RabbitMQ):
    """The tests' end of the cluster; nodes are ``1``, ``2`` and ``3``."""

    name = "rabbitmq-cluster"
    module: ClassVar[str] = "tests.support.broker_cluster"

    def new_url(self) -> str:
        """Return the transport URL of an unused vhost, with all nodes."""
        vhost = super().new_url().rpartition("/")[2]
        return self.url(vhost, *NODES)

    def url(self, vhost: str, *nodes: str) -> str:
        """Return the transport URL of a vhost with some of the nodes."""
        user, password = self.info["user"], self.info["password"]
        hosts = (f"{user}:{password}@127.0.0.1:{self.info['ports'][node]}" for node in nodes)
        return f"rabbit://{','.join(hosts)}/{vhost}"

    def leader(self, vhost: str, queue: str) -> str:
        """Return the node that leads a quorum queue."""
        rows = self.ctl("list_queues", "-p", vhost, "name", "leader", "--formatter", "csv").splitlines()
        (name,) = (row.split(",")[1].strip('"') for row in rows if row.startswith((queue, f'"{queue}"')))
        return name.partition("@")[0].rpartition("-")[2]

    def is_whole(self, vhost: str, queue: str) -> bool:
        """Return True if a quorum queue runs on every node."""
        listed = self.ctl("list_queues", "-p", vhost, "name", "online", "--formatter", "json")
        return any(row["name"] == queue and len(row["online"]) == len(NODES) for row in json.loads(listed))

    def kill_one(self, node: str) -> None:
        """End a node by SIGKILL."""
        self.ask("kill_one", node)

    def start_one(self, node: str) -> None:
        """Start a node again on its data."""
        self.ask("start_one", node)


KEPT: dict[str, type[Driver]] = {"rabbitmq-cluster": KeptRabbitMQCluster}


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
