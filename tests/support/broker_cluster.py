"""A RabbitMQ cluster of three nodes on one machine, each of which can be killed, cut off and forgotten.

Every node is a host of its own (:mod:`tests.support.netns`). A user who may not create such hosts gets the
three nodes on the loopback address: they can be killed and forgotten, but not cut off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import psutil
from pifpaf.drivers import Driver

from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, SERVER_PATH, free_ports, keep, kill_all
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from eventalarm.trial.own_cloud.services.servers import QUIET_ERLANG
from tests.support.netns import Network

NODES = ("1", "2", "3")
USER, PASSWORD = "cluster", "secret"
VHOSTS = tuple(f"test-{number}" for number in range(10))
# What RabbitMQ advises for clusters of three nodes with quorum queues.
SETTINGS = "cluster_partition_handling = pause_minority"
# Joins the cluster of another node, as the commands stop_app, join_cluster and start_app do.
JOIN = "rabbit:stop(), ok = rabbit_mnesia:join_cluster('{}', disc), rabbit:start()."
TRANSFER = (
    '{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)), '
    "{{migrated, _}} = rabbit_quorum_queue:transfer_leadership(Queue, '{node}')."
)
HANDLE = (
    "ok = application:set_env(rabbit, cluster_partition_handling, {handling}), "
    "net_kernel:set_net_ticktime({net_tick}, 0)."
)
START: float = 120.0
PROGRAMS = ("/usr/lib/rabbitmq/bin", "/usr/libexec/rabbitmq")


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a node runs: the words that run a command there, its address, and its two ports."""

    prefix: Sequence[str]
    address: str
    port: int
    dist_port: int


class _Node:
    """One node; its data stays in its folder when it is killed."""

    def __init__(self, number: str, place: _Place, folder: pathlib.Path, env: dict[str, str]) -> None:
        self.number = number
        self.name = name_of(number)
        self.place = place
        self.folder = folder
        self._env = env
        self._server: psutil.Popen | None = None
        self._output = folder / "output"

    def create(self, definitions: pathlib.Path) -> None:
        """Make it a node without data, alone, with users and vhosts of *definitions*."""
        self.folder.mkdir()
        listener = f"listeners.tcp.1 = {self.place.address}:{self.place.port}"
        lines = [SETTINGS, listener, f"load_definitions = {definitions}"]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def join(self, other: _Node) -> None:
        """Make it a member of the cluster of another node; its own data is lost."""
        self.run("rabbitmqctl", "eval", JOIN.format(other.name))

    def start(self) -> None:
        """Start it; return once it serves clients."""
        named = {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self.place.dist_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder),
        }
        with self._output.open("w") as output:
            self._server = psutil.Popen(
                [*self.place.prefix, _program("rabbitmq-server")],
                env={**self._env, **named},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while "completed with" not in (text := self._output.read_text()):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start: {text[-2000:]}")
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        """True unless it was killed."""
        return self._server is not None

    def kill(self) -> None:
        """End it by SIGKILL, unless it was."""
        if self._server is not None:
            server, self._server = self._server, None
            children = server.children(recursive=True) if server.is_running() else []
            kill_all([server, *children])

    def run(self, program: str, *arguments: str) -> str:
        """Run one of RabbitMQ's commands on this node; return what it printed."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self.place.prefix, _program(program), "-q", "-n", self.name, *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} {arguments[0]}: {done.stdout} {done.stderr}")
        return done.stdout


def _program(name: str) -> str:
    # Those elsewhere may be wrappers of Debian, which change the user.
    return shutil.which(name, path=os.pathsep.join([*PROGRAMS, *SERVER_PATH])) or name


class KeptRabbitMQCluster(Driver):
    """Three nodes; the first one that runs answers what the keeper asks."""

    def __init__(self) -> None:
        super().__init__()
        self._network: Network | None = None
        with contextlib.suppress(RuntimeError):
            self._network = Network(*map(host_of, NODES))

    def _setUp(self) -> None:  # noqa: N802
        super()._setUp()
        if self._network:
            self.addCleanup(self._network.close)
        folder = pathlib.Path(self.tempdir)
        places = self._places()
        (epmd_port,) = free_ports(1)
        (folder / ".erlang.cookie").write_text("cluster")
        (folder / ".erlang.cookie").chmod(0o400)
        hosts = "".join(
            f'{{host, {{{place.address.replace(".", ",")}}}, ["{host_of(number)}"]}}.\n'
            for number, place in places.items()
        )
        (folder / "hosts").write_text(hosts + "{lookup, [file, native]}.\n")
        env = {
            **os.environ,
            "HOME": str(folder),
            "ERL_INETRC": str(folder / "hosts"),
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": QUIET_ERLANG,
        }
        self._start_name_servers(places, env, epmd_port)
        self._nodes = {n: _Node(n, place, folder / n, env) for n, place in places.items()}
        self._definitions = folder / "definitions.json"
        self._definitions.write_text(json.dumps(_definitions()))
        self.addCleanup(self.kill)
        for node in self._nodes.values():
            node.create(self._definitions)
        _at_once([node.start for node in self._nodes.values()])
        first, *others = self._nodes.values()
        # Nodes that discover each other at the same time wait for each other's locks, up to a minute.
        for node in others:
            node.join(first)

    def _places(self) -> dict[str, _Place]:
        if self._network:
            hosts = {number: self._network.hosts[host_of(number)] for number in NODES}
            return {n: _Place(host.prefix, host.address, 5672, 25672) for n, host in hosts.items()}
        ports = zip(NODES, free_ports(len(NODES)), free_ports(len(NODES)), strict=True)
        return {number: _Place((), LOCALHOST, port, dist) for number, port, dist in ports}

    def _start_name_servers(self, places: dict[str, _Place], env: dict[str, str], port: int) -> None:
        """Start the name server of each host, so that it ends with the cluster."""
        for address, place in {place.address: place for place in places.values()}.items():
            server = subprocess.Popen([*place.prefix, "epmd"], env=env, start_new_session=True)
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
            while socket.socket().connect_ex((address, port)):
                time.sleep(0.02)

    def info(self) -> dict[str, Any]:
        """Return what clients need, and whether nodes can be cut off."""
        served = {n: f"{node.place.address}:{node.place.port}" for n, node in self._nodes.items()}
        return {"user": USER, "password": PASSWORD, "nodes": served, "hosts": self._network is not None}

    def new_vhosts(self, _count: int) -> list[str]:
        """Return the vhosts, which exist from the start."""
        return list(VHOSTS)

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` on the first node that obeys: others may be dead, or cut off."""
        failed = RuntimeError("no node runs")
        for node in self._nodes.values():
            if node.is_running:
                try:
                    return node.run("rabbitmqctl", *arguments)
                except RuntimeError as exc:
                    failed = exc
        raise failed

    def list_queues(self, vhost: str, *columns: str) -> list[dict[str, Any]]:
        """Return *columns* of the queues of a vhost."""
        rows: list[dict[str, Any]] = json.loads(
            self.ctl("list_queues", "-p", vhost, *columns, "--formatter", "json")
        )
        return rows

    def run_on(self, number: str, program: str, *arguments: str) -> str:
        """Run one of RabbitMQ's commands on a node."""
        return self._nodes[number].run(program, *arguments)

    def run_on_all(self, numbers: Sequence[str], *arguments: str) -> None:
        """Run ``rabbitmqctl`` on several nodes at once."""
        _at_once([partial(self.run_on, number, "rabbitmqctl", *arguments) for number in numbers])

    def kill_some(self, *numbers: str) -> None:
        """End nodes by SIGKILL."""
        for number in numbers:
            self._nodes[number].kill()

    def start_some(self, *numbers: str) -> None:
        """Start nodes again on their data, all at once."""
        _at_once([self._nodes[number].start for number in numbers])

    def renew(self, number: str) -> None:
        """Start a dead node without its data, and have it join the others."""
        node = self._nodes[number]
        shutil.rmtree(node.folder)
        node.create(self._definitions)
        node.start()
        node.join(next(one for one in self._nodes.values() if one.number != number))

    def isolate(self, number: str) -> None:
        """Drop everything between a node and the others; clients reach all of them."""
        assert self._network is not None
        self._network.isolate(*map(host_of, sorted(NODES, key=lambda one: one != number)))

    def heal(self) -> None:
        """Let everything through again."""
        assert self._network is not None
        self._network.heal()

    def kill(self) -> None:
        """End all nodes."""
        self.kill_some(*NODES)


def _at_once(calls: Sequence[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(len(calls)) as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()


def _definitions() -> dict[str, Any]:
    grant = {"user": USER, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": USER, "password": PASSWORD, "tags": ""}],
        "vhosts": [{"name": name} for name in VHOSTS],
        "permissions": [{**grant, "vhost": name} for name in VHOSTS],
    }


class RabbitMQCluster(RabbitMQ):
    """The tests' end of the cluster; nodes are ``1``, ``2`` and ``3``."""

    name = "rabbitmq-cluster"
    module: ClassVar[str] = "tests.support.broker_cluster"
    directory: ClassVar[pathlib.Path | None] = pathlib.Path(__file__).parents[2]

    def new_url(self) -> str:
        """Return the transport URL of an unused vhost, with all nodes."""
        if not self._spare:
            self._spare = self.ask("new_vhosts", len(VHOSTS))
        return self.url(self._spare.pop(0), *NODES)

    def url(self, vhost: str, *nodes: str) -> str:
        """Return the transport URL of a vhost with some of the nodes."""
        hosts = (f"{USER}:{PASSWORD}@{self.info['nodes'][node]}" for node in nodes)
        return f"rabbit://{','.join(hosts)}/{vhost}"

    @property
    def has_hosts(self) -> bool:
        """True if nodes can be cut off from each other."""
        return bool(self.info["hosts"])

    def run_on(self, node: str, program: str, *arguments: str) -> str:
        """Run one of RabbitMQ's commands on a node; return what it printed."""
        return str(self.ask("run_on", node, program, *arguments))

    def _queue(self, vhost: str, queue: str, column: str) -> Any:
        rows = self.ask("list_queues", vhost, "name", column)
        return next(row[column] for row in rows if row["name"] == queue)

    def leader(self, vhost: str, queue: str) -> str:
        """Return the node that leads a quorum queue."""
        return number_of(self._queue(vhost, queue, "leader"))

    def members(self, vhost: str, queue: str) -> list[str]:
        """Return the Erlang names of the nodes that a quorum queue is on."""
        return list(self._queue(vhost, queue, "members"))

    def is_whole(self, vhost: str, queue: str) -> bool:
        """Return True if a quorum queue runs on every node."""
        return len(self._queue(vhost, queue, "online")) == len(NODES)

    def transfer(self, vhost: str, queue: str, node: str) -> None:
        """Make a node the leader of a quorum queue.

        :raises RuntimeError: if it does not become the leader.
        """
        self.ctl("eval", TRANSFER.format(vhost=vhost, queue=queue, node=name_of(node)))

    def handle_partitions(self, handling: str, net_tick: int) -> None:
        """Set how all nodes handle partitions, and after how many seconds of silence they suppose one."""
        self.ask("run_on_all", NODES, "eval", HANDLE.format(handling=handling, net_tick=net_tick))

    @contextlib.contextmanager
    def accepting(self, *nodes: str) -> Iterator[None]:
        """Have the other nodes accept no new clients during the block."""
        others = [one for one in NODES if one not in nodes]
        self.ask("run_on_all", others, "suspend_listeners")
        try:
            yield
        finally:
            self.ask("run_on_all", others, "resume_listeners")

    def kill_some(self, *nodes: str) -> None:
        """End nodes by SIGKILL."""
        self.ask("kill_some", *nodes)

    def start_some(self, *nodes: str) -> None:
        """Start nodes again on their data, all at once."""
        self.ask("start_some", *nodes)

    def renew(self, node: str) -> None:
        """Start a dead node without its data, and have it join the others."""
        self.ask("renew", node)

    def isolate(self, node: str) -> None:
        """Drop everything between a node and the others; clients reach all of them."""
        self.ask("isolate", node)

    def heal(self) -> None:
        """Let everything through again."""
        self.ask("heal")


def host_of(number: str) -> str:
    """Return the name of the host of a node."""
    return f"node{number}"


def name_of(number: str) -> str:
    """Return the Erlang name of a node."""
    return f"rabbit{number}@{host_of(number)}"


def number_of(name: str) -> str:
    """Return the number of the node with an Erlang name."""
    return name.rpartition("node")[2]


KEPT: dict[str, type[Driver]] = {"rabbitmq-cluster": KeptRabbitMQCluster}


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
