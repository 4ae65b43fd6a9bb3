"""A Galera cluster of three MariaDB nodes on one machine, each of which can be killed and started again."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from typing import Any, ClassVar

import psutil
import pymysql
from pifpaf.drivers import Driver

from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, free_ports, keep, kill_all
from eventalarm.trial.own_cloud.services.restartable import Service

NODES = ("a", "b", "c")
STATE, SIZE = "wsrep_local_state", "wsrep_cluster_size"
SYNCED = "4"
RECOVERED = re.compile(r"WSREP: Recovered position: (\S+:-?\d+)")


class KeptGalera(Driver):
    """Three nodes of one cluster, all of which accept writes.

    They start as after a common power failure: with the same data and the same view of the cluster, which
    forms again when all are up, so that no state has to be transferred. If we are root, another user runs
    them: rsync, which sends a node's data to another one, refuses root's directories.
    """

    def _setUp(self) -> None:  # noqa: N802
        super()._setUp()
        library = next(iter(glob.glob("/usr/lib*/galera*/libgalera_smm.so")), None)
        if library is None:
            raise RuntimeError("libgalera_smm.so is not installed: apt-get install galera-4")
        self.library = library
        self.folder = pathlib.Path(self.tempdir)
        known = {entry.pw_name for entry in pwd.getpwall()}
        ours = pwd.getpwuid(os.geteuid()).pw_name
        self.user = next(name for name in ("mysql", "nobody") if name in known) if ours == "root" else ours
        shutil.chown(self.folder, self.user)
        self.nodes: dict[str, psutil.Popen] = {}
        ports = free_ports(4 * len(NODES))
        self.ports, self.groups, self.increments, self.snapshots = (
            dict(zip(NODES, ports[kind::4], strict=True)) for kind in range(4)
        )
        position = self._make_data()
        for name in NODES:
            self._start(name, f"--wsrep-start-position={position}")

    def _make_data(self) -> str:
        """Create the same data for each node; return its position."""
        first = self.folder / NODES[0]
        self._exec(["mysql_install_db", "--no-defaults", "--skip-test-db", f"--datadir={first}"])
        state = str(uuid.uuid4())
        saved = f"# GALERA saved state\nversion: 2.1\nuuid: {state}\nseqno: 0\nsafe_to_bootstrap: 1\n"
        (first / "grastate.dat").write_text(saved)
        for path in (first, *first.rglob("*")):
            shutil.chown(path, self.user)
        ids = {name: str(uuid.uuid1()) for name in NODES}
        members = "".join(f"member: {one} 0\n" for one in sorted(ids.values()))
        view = f"#vwbeg\nview_id: 3 {min(ids.values())} 2\nbootstrap: 0\n{members}#vwend\n"
        for name, one in ids.items():
            if name != NODES[0]:
                self._exec(["cp", "-a", str(first), str(self.folder / name)])
            (self.folder / name / "gvwstate.dat").write_text(f"my_uuid: {one}\n{view}")
            shutil.chown(self.folder / name / "gvwstate.dat", self.user)
        return f"{state}:0"

    def _command(self, name: str) -> list[str]:
        here = f"{LOCALHOST}:{self.groups[name]}"
        provider = {
            "gmcast.listen_addr": f"tcp://{here}",
            "ist.recv_addr": f"{LOCALHOST}:{self.increments[name]}",
            "gcache.size": "64M",
            "pc.recovery": "yes",
            "pc.linger": "PT0S",
            # Tests share the machine: a slow node must stay a member.
            "evs.suspect_timeout": "PT10S",
            "evs.inactive_timeout": "PT20S",
        }
        members = ",".join(f"{LOCALHOST}:{port}" for port in self.groups.values())
        return [
            *("mysqld", "--no-defaults", f"--datadir={self.folder / name}", "--skip-grant-tables"),
            *(f"--user={self.user}", f"--socket={self.folder / name}.sock"),
            *(f"--bind-address={LOCALHOST}", f"--port={self.ports[name]}", "--max-connections=200"),
            *("--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=2"),
            *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"),
            *(
                "--wsrep-on=ON",
                f"--wsrep-provider={self.library}",
                f"--wsrep-cluster-address=gcomm://{members}",
            ),
            *(f"--wsrep-node-name={name}", f"--wsrep-node-address={here}", "--wsrep-sst-method=rsync"),
            f"--wsrep-sst-receive-address={LOCALHOST}:{self.snapshots[name]}",
            "--wsrep-provider-options=" + ";".join(f"{key}={value}" for key, value in provider.items()),
        ]

    def _start(self, name: str, *options: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        command = [*self._command(name), *options]
        self.nodes[name] = psutil.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def info(self) -> dict[str, Any]:
        for name, port in self.ports.items():
            while status(port) != (SYNCED, str(len(NODES))):
                if self.nodes[name].poll() is not None:
                    raise RuntimeError((self.folder / f"{name}.log").read_text()[-3000:])
                time.sleep(0.05)
        return {"ports": self.ports, "logs": {name: str(self.folder / f"{name}.log") for name in NODES}}

    def kill_one(self, name: str) -> None:
        """End a node by SIGKILL."""
        kill_all([self.nodes[name], *self.nodes[name].children(recursive=True)])

    def start_one(self, name: str) -> None:
        """Start a node again on its data, at the position that it reached; it receives what is missing."""
        # A node that was killed while the others went on is a new member.
        (self.folder / name / "gvwstate.dat").unlink(missing_ok=True)
        command = [*self._command(name), "--wsrep-recover", f"--log-error={self.folder / name}.recover"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (position,) = RECOVERED.findall((self.folder / f"{name}.recover").read_text())[-1:]
        self._start(name, f"--wsrep-start-position={position}")

    def join(self, name: str, donor: str) -> None:
        """Start a node without data: *donor* sends it everything."""
        shutil.rmtree(self.folder / name)
        (self.folder / name).mkdir()
        shutil.chown(self.folder / name, self.user)
        self._start(name, f"--wsrep-sst-donor={donor}")

    def kill(self) -> None:
        for name in NODES:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.kill_one(name)


class Galera(Service):
    """A Galera cluster of three nodes, ``a``, ``b`` and ``c``."""

    name = "galera"
    module: ClassVar[str] = "tests.support.galera"
    directory: ClassVar[pathlib.Path | None] = pathlib.Path(__file__).parents[2]
    programs: ClassVar[dict[str, str]] = {"mysqld": "mariadb-server", "rsync": "rsync", "lsof": "lsof"}

    def url(self, node: str, database: str) -> str:
        """Return the SQLAlchemy URL of *database* on one of the nodes."""
        return f"mysql+pymysql://root@127.0.0.1:{self.info['ports'][node]}/{database}"

    def kill_one(self, node: str) -> None:
        """End a node by SIGKILL."""
        self.ask("kill_one", node)

    def start_one(self, node: str) -> None:
        """Start a node again on its data; return before it is synced."""
        self.ask("start_one", node)

    def join(self, node: str, donor: str) -> None:
        """Start a dead node without data: *donor* sends it everything. Return before it is synced."""
        self.ask("join", node, donor)

    def stop(self) -> None:
        """End the nodes and their keeper; what the nodes have logged stays beside the keeper's log."""
        for node, log in self.info["logs"].items():
            shutil.copyfile(log, self.log.with_name(f"galera-{node}.log"))
        super().stop()

    def set_provider(self, node: str, **options: str) -> None:
        """Set options of the Galera library of one node, for example ``gmcast__isolate="1"``."""
        pairs = ";".join(f"{name.replace('__', '.')}={value}" for name, value in options.items())
        with self.session(node) as cursor:
            cursor.execute(f"SET GLOBAL wsrep_provider_options = '{pairs}'")

    @contextlib.contextmanager
    def session(self, node: str) -> Any:
        """Yield a cursor of a new session on one node."""
        port = self.info["ports"][node]
        connection = pymysql.connect(host=LOCALHOST, port=port, user="root", connect_timeout=2)
        with connection, connection.cursor() as cursor:
            yield cursor

    def is_whole(self) -> bool:
        """Return True if all nodes are synced with each other."""
        whole = (SYNCED, str(len(NODES)))
        return all(status(port) == whole for port in self.info["ports"].values())


class NodeCheck:
    """Returns True while a node is synced, in a cluster of any size, as clustercheck does, by one session."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._connection: pymysql.Connection[Any] | None = None

    def __call__(self) -> bool:
        with self._lock:
            return self.status().get(STATE) == SYNCED

    def status(self) -> dict[str, str]:
        """Return ``wsrep_local_state`` and ``wsrep_cluster_size``; nothing while the node does not answer."""
        for _ in range(2):
            try:
                if self._connection is None:
                    login = {"host": LOCALHOST, "port": self._port, "user": "root"}
                    self._connection = pymysql.connect(**login, connect_timeout=2, read_timeout=2)
                with self._connection.cursor() as cursor:
                    cursor.execute(f"SHOW STATUS WHERE Variable_name IN ('{STATE}', '{SIZE}')")
                    return dict(cursor.fetchall())
            except pymysql.Error:
                self.close()
        return {}

    def close(self) -> None:
        """End its session."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.Error):
                self._connection.close()
        self._connection = None


def status(port: int) -> tuple[str, str]:
    """Return ``wsrep_local_state`` and ``wsrep_cluster_size`` of a node; empty while it does not answer."""
    check = NodeCheck(port)
    found = check.status()
    check.close()
    return found.get(STATE, ""), found.get(SIZE, "")


KEPT: dict[str, type[Driver]] = {"galera": KeptGalera}


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
