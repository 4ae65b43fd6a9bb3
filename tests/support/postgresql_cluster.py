"""A PostgreSQL primary and its standby behind HAProxy, whose roles a test swaps as a cluster manager does."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import shutil
import signal
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import fixtures
import psutil
import psycopg
from pifpaf.drivers import Driver

from eventalarm.trial.own_cloud.services.faketime import faked_clock, set_clock
from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, keep, kill_all
from eventalarm.trial.own_cloud.services.restartable import PostgreSQL
from tests.support.haproxy import DOWN, UP, Backend, HAProxy, HealthCheck
from tests.support.helpers import wait_until
from tests.support.replicas import KeptPostgresqlPair, run

NODES = ("a", "b")
# Seconds for a change of roles.
WAIT = 60.0


class KeptPostgresqlCluster(KeptPostgresqlPair):
    """A primary ``a`` and its standby ``b``; each has its own clock, and can become a standby again."""

    def _setUp(self) -> None:  # noqa: N802
        place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        # The server may be run by another user.
        place.chmod(0o755)
        self._clocks = {node: place / node for node in NODES}
        for node in NODES:
            self.set_ahead(node, 0.0)
        super()._setUp()
        self._programs = pathlib.Path(self.again[0][0]).parent
        self._folders = {"a": pathlib.Path(self.tempdir), "b": self.standby}
        # First of all, since a server that was killed or stopped cannot be asked to end.
        self.addCleanup(self.kill)

    def _exec(self, command: list[str], **options: Any) -> Any:
        if command[-1] == "stop":
            options["ignore_failure"] = True
        if command[-1] != "start":
            return super()._exec(command, **options)
        node = "b" if "-D" in command and str(self.standby) in command else "a"
        # Not in the environment of the program that changes the user: libfaketime keeps files of that user.
        clock = [f"{name}={value}" for name, value in faked_clock(self._clocks[node]).items()]
        result = super()._exec(["env", *clock, *command], **options)
        self.again = (command, options)
        return result

    def set_ahead(self, node: str, seconds: float) -> None:
        """Set the clock of a node *seconds* ahead of the system's."""
        set_clock(self._clocks[node], seconds)

    def signal_one(self, node: str, number: int) -> None:
        """Send a signal to every process of a node."""
        for process in self._processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self, node: str) -> list[psutil.Process]:
        path = self._folders[node] / "postmaster.pid"
        try:
            postmaster = psutil.Process(int(path.read_text().split()[0]))
        except (FileNotFoundError, psutil.NoSuchProcess):
            return []
        return [postmaster, *postmaster.children(recursive=True)]

    def kill_one(self, node: str) -> None:
        """End a node by SIGKILL."""
        kill_all(self._processes(node))
        (self._folders[node] / "postmaster.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        for node in NODES:
            self.kill_one(node)

    def follow(self, node: str) -> None:
        """Make a node that has ended a standby of the other one, with a fresh copy of its data."""
        folder = self._folders[node]
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        ports = self.info()["ports"]
        (other,) = (name for name in NODES if name != node)
        source = ["-h", LOCALHOST, "-p", str(ports[other]), "-U", self.info()["user"]]
        copied = ["-D", str(folder), "-R", "-X", "stream", "-c", "fast"]
        self._exec([str(self._programs / "pg_basebackup"), *source, *copied])
        place = f'-k {folder} -p {ports[node]} -h "{LOCALHOST}"'
        self._exec([str(self._programs / "pg_ctl"), "-D", str(folder), "-w", "-o", place, "start"])


KEPT: dict[str, type[Driver]] = {"postgresql-cluster": KeptPostgresqlCluster}


class PostgresqlCluster(PostgreSQL):
    """The tests' end of the cluster; :meth:`url` leads through HAProxy.

    HAProxy asks each node for its role over HTTP, as it asks Patroni at ``/primary``: a node is used if it is
    the ``leader``, which the cluster manager decides, and not in recovery. So an old primary that runs
    without knowing of its successor gets no sessions.

    Commits wait for the standby while there is one, as in Patroni's synchronous mode.
    """

    name = "postgresql-cluster"
    module: ClassVar[str] = "tests.support.postgresql_cluster"
    directory: ClassVar[pathlib.Path | None] = pathlib.Path(__file__).parents[2]

    def __init__(self, log_dir: pathlib.Path) -> None:
        super().__init__(log_dir)
        self.leader = "a"
        self.promotions, self.has_standby = 0, True
        self._checks = {node: HealthCheck(functools.partial(self.is_primary, node)) for node in NODES}
        ports: Mapping[str, int] = self.info["ports"]
        backends = [Backend(node, ports[node], self._checks[node].port) for node in NODES]
        try:
            self.proxy = HAProxy(log_dir, backends)
            self.wait_for_standby()
            self.proxy.wait_for(a=UP, b=DOWN)
        except BaseException:
            self.stop()
            raise

    @property
    def standby(self) -> str:
        """The node that is not the leader."""
        return "b" if self.leader == "a" else "a"

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database* through HAProxy."""
        return f"postgresql://{self.info['user']}@{LOCALHOST}:{self.proxy.port}/{database}"

    def sql(self, node: str, *statements: str) -> list[Any]:
        """Run statements on a node itself; return the first column of the last one."""
        url = f"postgresql://{self.info['user']}@{LOCALHOST}:{self.info['ports'][node]}/postgres"
        return run(url, *statements)

    def is_primary(self, node: str) -> bool:
        """Return True if a node may be written to; raise psycopg.Error if it does not answer."""
        if node != self.leader:
            return False
        place = {"host": LOCALHOST, "port": self.info["ports"][node], "user": self.info["user"]}
        with psycopg.connect(dbname="postgres", connect_timeout=2, **place) as connection:
            row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
        return row is not None and bool(row[0])

    def set_ahead(self, node: str, seconds: float) -> None:
        """Set the clock of a node *seconds* ahead of the system's."""
        self.ask("set_ahead", node, seconds)

    def kill_one(self, node: str) -> None:
        """End a node by SIGKILL."""
        self.ask("kill_one", node)

    def freeze(self, node: str) -> None:
        """Stop every process of a node, as if its host had no processor time."""
        self.ask("signal_one", node, signal.SIGSTOP)

    def thaw(self, node: str) -> None:
        """Let every process of a node run on."""
        self.ask("signal_one", node, signal.SIGCONT)

    def cut_standby_off(self) -> None:
        """Let the standby receive nothing any more, as if the link to its primary were cut."""
        self.sql(self.standby, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        query = "SELECT count(*) FROM pg_stat_wal_receiver"
        wait_until(lambda: self.sql(self.standby, query) == [0], WAIT, "the standby to receive nothing")

    def promote(self) -> None:
        """Make the standby the leader once HAProxy finds the former one down."""
        former, successor = self.leader, self.standby
        self.proxy.wait_for(WAIT, **{former: DOWN})
        # Without a standby of its own, no commit would return.
        self.sql(successor, "ALTER SYSTEM SET synchronous_standby_names = ''")
        assert self.sql(successor, "SELECT pg_promote()") == [True]
        self.leader = successor
        self.promotions += 1
        self.has_standby = False
        self.proxy.wait_for(WAIT, **{successor: UP})

    def rejoin(self) -> None:
        """End the former leader, if it still runs, and make it the standby of the leader."""
        self.kill_one(self.standby)
        self.ask("follow", self.standby)
        self.wait_for_standby()
        self.has_standby = True

    def wait_for_standby(self, *, synchronous: bool = True) -> None:
        """Wait until the standby receives commits; *synchronous* ones wait for it from now on."""
        names = "*" if synchronous else ""
        leader = f"ALTER SYSTEM SET synchronous_standby_names = '{names}'"
        self.sql(self.leader, leader, "SELECT pg_reload_conf()")
        wanted = ["sync" if synchronous else "async"]
        query = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: self.sql(self.leader, query) == wanted, WAIT, "the standby to stream")

    def stop(self) -> None:
        """End the nodes and HAProxy."""
        for check in self._checks.values():
            check.close()
        if hasattr(self, "proxy"):
            self.proxy.close()
        super().stop()


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
