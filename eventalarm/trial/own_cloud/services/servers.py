"""The servers that a keeper runs: drivers of pifpaf that can be killed and started again.

``python -m eventalarm.trial.own_cloud.services.servers NAME`` keeps one of them.
"""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

import psutil
from pifpaf.drivers import Driver
from pifpaf.drivers.mysql import MySQLDriver
from pifpaf.drivers.postgresql import PostgreSQLDriver
from pifpaf.drivers.rabbitmq import RabbitMQDriver

from eventalarm.trial.own_cloud.services.faketime import faked_clock, set_clock
from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, free_ports, keep, kill_all

# An idle node must not spin: the machine may have two cores.
QUIET_ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
# Prints what ``rabbitmqctl list_queues --formatter json`` does.
LIST_QUEUES = (
    "Plain = fun({{resource, _, queue, Name}}) -> Name; (Value) -> Value end, "
    "io:put_chars(rabbit_json:encode([maps:from_list([{{Key, Plain(Value)}} || {{Key, Value}} <- Queue]) "
    '|| Queue <- rabbit_amqqueue:info_all(<<"{vhost}">>, [{columns}])])).\n'
)


def _is_erlang(name: str) -> bool:
    return name == "HOME" or name.startswith(("ERL_", "RABBITMQ_"))


class KeptRabbitMQ(RabbitMQDriver):
    """A node with its own name server, so that nodes of parallel runs do not see each other."""

    def __init__(self) -> None:
        port, self.epmd_port, self.dist_port, ctl = free_ports(4)
        super().__init__(port=port)
        self.node = f"{self.nodename}@localhost"
        self.vhosts = 0
        os.environ.update(
            ERL_EPMD_PORT=str(self.epmd_port),
            ERL_EPMD_ADDRESS=LOCALHOST,
            RABBITMQ_DIST_PORT=str(self.dist_port),
            RABBITMQ_CTL_DIST_PORT_MIN=str(ctl),
            RABBITMQ_CTL_DIST_PORT_MAX="65535",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=QUIET_ERLANG,
        )

    def _setUp(self) -> None:  # noqa: N802
        epmd = subprocess.Popen(["epmd"], stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(epmd.wait)
        self.addCleanup(epmd.kill)
        while socket.socket().connect_ex((LOCALHOST, self.epmd_port)):
            time.sleep(0.02)
        super()._setUp()

    def info(self) -> dict[str, Any]:
        """Return what a client must know to connect."""
        # With these in its environment ``rabbitmqctl`` finds this node.
        command = shutil.which("rabbitmqctl", path=":".join(self._path))
        environment = {name: value for name, value in {**os.environ, **self.env}.items() if _is_erlang(name)}
        ctl = [command, "-n", self.node]
        return {
            "port": self.port,
            "user": self.username,
            "password": self.password,
            "ctl": ["env", *(f"{name}={value}" for name, value in environment.items()), *ctl],
        }

    def kill(self) -> None:
        """End the server by SIGKILL."""
        server = self._process[self.node]
        family = server.children(recursive=True)
        self.kill_node(self.node, signal.SIGKILL)
        kill_all(family)

    def start(self) -> None:
        """Start the server again on its port and data."""
        self.start_node(self.node)

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return what it printed."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [
                shutil.which("rabbitmqctl", path=":".join(self._path)) or "rabbitmqctl",
                "-q",
                "-n",
                self.node,
                *arguments,
            ],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stdout} {done.stderr}")
        return done.stdout

    def list_queues(self, vhost: str, *columns: str) -> list[dict[str, Any]]:
        """Return *columns* of the queues of a vhost.

        By erl_call where there is one: unlike rabbitmqctl it starts no Erlang VM, which takes a second.
        """
        if not shutil.which("erl_call"):
            listed = self.ctl("list_queues", "-p", vhost, *columns, "--formatter", "json")
        else:
            done = subprocess.run(
                [
                    "erl_call",
                    "-address",
                    f"{LOCALHOST}:{self.dist_port}",
                    # A node refuses a second connection of one name, also while it still closes the first.
                    "-h",
                    f"tests{uuid.uuid4().hex}",
                    "-fetch_stdout",
                    "-no_result_term",
                    "-e",
                ],
                input=LIST_QUEUES.format(vhost=vhost, columns=", ".join(columns)),
                env={**os.environ, **self.env},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"erl_call: {done.stdout} {done.stderr}")
            listed = done.stdout
        rows: list[dict[str, Any]] = json.loads(listed)
        return rows

    def new_vhosts(self, count: int) -> list[str]:
        """Create *count* vhosts in one call, since each call starts an Erlang VM."""
        names = [f"test-{self.vhosts + number}" for number in range(count)]
        self.vhosts += count
        grant = {"user": self.username, "configure": ".*", "write": ".*", "read": ".*"}
        definitions = pathlib.Path(self.tempdir, "vhosts.json")
        definitions.write_text(
            json.dumps(
                {
                    "vhosts": [{"name": name} for name in names],
                    "permissions": [{**grant, "vhost": name} for name in names],
                }
            )
        )
        self.ctl("import_definitions", str(definitions))
        return names


class KeptMariaDB(MySQLDriver):
    """A server on TCP; committed data is with the kernel, so killing the process loses nothing.

    It never waits for the disk, which the creation of tables would do dozens of times for each test.
    """

    server: psutil.Popen
    again: tuple[list[str], dict[str, Any]]

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = free_ports(1)

    def _exec(self, command: list[str], **options: Any) -> Any:
        if "--skip-networking" not in command:
            return super()._exec(command, **options)
        self.again = (command, options)
        served = [
            *(argument for argument in command if argument != "--skip-networking"),
            f"--port={self.port}",
            f"--bind-address={LOCALHOST}",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--debug-no-sync",
            "--max-connections=500",
        ]
        self.server, output = super()._exec(served, **options)
        return self.server, output

    def info(self) -> dict[str, Any]:
        """Return what a client must know to connect."""
        return {"port": self.port}

    def kill(self) -> None:
        """End the server by SIGKILL."""
        kill_all([self.server])

    def start(self) -> None:
        """Start the server again on its port and data."""
        command, options = self.again
        self._exec(command, **options)


class KeptSteppedMariaDB(KeptMariaDB):
    """A server in the time zone of Berlin, whose clock alone can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = pathlib.Path(tempfile.mkdtemp(), "offset")
        self.set_ahead(0.0)

    def _exec(self, command: list[str], **options: Any) -> Any:
        if "--skip-networking" in command:
            options["env"] = {**faked_clock(self.offset), "TZ": "Europe/Berlin"}
        return super()._exec(command, **options)

    def set_ahead(self, seconds: float) -> None:
        """Set the server's clock *seconds* ahead of the system's."""
        set_clock(self.offset, seconds)


class KeptPostgreSQL(PostgreSQLDriver):
    """A server on TCP, run by another user if we are root, since initdb refuses root.

    Commits reach the kernel before they are confirmed (unlike pifpaf's default), since a killed server
    must not lose them.
    """

    again: tuple[list[str], dict[str, Any]]

    def __init__(self) -> None:
        super().__init__(port=free_ports(1)[0], host=LOCALHOST, sync=True)
        self.user = ""

    def _setUp(self) -> None:  # noqa: N802
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = next(name for name in ("postgres", "nobody") if name in known)
        super()._setUp()

    def _exec(self, command: list[str], **options: Any) -> Any:
        if command[-1] == "start":
            self.again = (command, options)
        elif command[-1] == "stop":
            # Its data is not needed any more; a clean end writes hundreds of databases to the disk first.
            command = [*command, "-m", "immediate"]
        prefix = []
        if self.user:
            shutil.chown(self.tempdir, self.user)
            prefix = ["setpriv", f"--reuid={self.user}", "--clear-groups", "--"]
        result = super()._exec([*prefix, *command], **options)
        if command[-1] == "initdb":
            with pathlib.Path(self.tempdir, "postgresql.conf").open("a", encoding="utf-8") as conf:
                conf.write("fsync = off\nfull_page_writes = off\nmax_connections = 500\n")
        return result

    def info(self) -> dict[str, Any]:
        """Return what a client must know to connect."""
        owner = self.user or pwd.getpwuid(os.geteuid()).pw_name
        return {"port": self.port, "user": owner}

    def kill(self) -> None:
        """End the server by SIGKILL."""
        pid = int(pathlib.Path(self.tempdir, "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        kill_all([postmaster, *postmaster.children()])

    def start(self) -> None:
        """Start the server again on its port and data."""
        command, options = self.again
        self._exec(command, **options)


KEPT: dict[str, type[Driver]] = {
    "rabbitmq": KeptRabbitMQ,
    "mariadb": KeptMariaDB,
    "stepped-mariadb": KeptSteppedMariaDB,
    "postgresql": KeptPostgreSQL,
}


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
