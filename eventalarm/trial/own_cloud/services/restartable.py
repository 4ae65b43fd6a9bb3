"""Real brokers and databases, started through pifpaf and killed on request.

Each service belongs to a keeper, a child process that obeys one JSON command per line and ends, with
everything it started, as soon as its input closes: however a run ends, nothing is left running.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any, ClassVar

from eventalarm.trial.own_cloud.services.keeper import SERVER_PATH


class Service:
    """Our end of one kept service; ``kill`` and ``start`` keep its data.

    ``module`` is the keeper's, and ``directory`` where that is found if it is not installed.
    """

    name: ClassVar[str]
    module: ClassVar[str] = "eventalarm.trial.own_cloud.services.servers"
    directory: ClassVar[pathlib.Path | None] = None
    programs: ClassVar[dict[str, str]]

    def __init__(self, log_dir: pathlib.Path, tempdir: pathlib.Path | None = None) -> None:
        """Start it; its data is in *tempdir*, by default where temporary files are."""
        for program, package in self.programs.items():
            if not shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *SERVER_PATH])):
                raise RuntimeError(f"{program} is not installed: apt-get install {package}")
        self.log = log_dir / f"{self.name}.log"
        self.running = True
        with self.log.open("w") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", self.module, self.name],
                cwd=self.directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(tempdir)} if tempdir else None,
            )
        self.info: dict[str, Any] = self._answer()

    def _answer(self) -> Any:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        reply = json.loads(line) if line else {"error": "its keeper died"}
        if "error" in reply:
            raise RuntimeError(f"{self.name}: {reply['error']}\n{self.log.read_text()[-3000:]}")
        return reply.get("result")

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Make the keeper do *verb*; raise RuntimeError with its message if that fails."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._keeper.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        self.ask("kill")
        self.running = False

    def start(self) -> None:
        """Restart the server on the same port and data, unless it runs."""
        if not self.running:
            self.ask("start")
            self.running = True

    def stop(self) -> None:
        """End the server and its keeper."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=60)


class RabbitMQ(Service):
    """A RabbitMQ node; every stage gets its own vhost."""

    name = "rabbitmq"
    programs: ClassVar[dict[str, str]] = {"rabbitmq-server": "rabbitmq-server"}

    def __init__(self, log_dir: pathlib.Path, tempdir: pathlib.Path | None = None) -> None:
        super().__init__(log_dir, tempdir)
        self._spare: list[str] = []

    def new_url(self) -> str:
        """Return the transport URL of an unused vhost."""
        if not self._spare:
            self._spare = self.ask("new_vhosts", 25)
        return "rabbit://{user}:{password}@127.0.0.1:{port}/{}".format(self._spare.pop(0), **self.info)

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return what it printed."""
        text: str = self.ask("ctl", *arguments)
        return text

    def queues(self, url: str) -> dict[str, dict[str, Any]]:
        """Return the queues of the vhost of *url* by name: durable, type, messages, consumers."""
        vhost = url.partition("?")[0].rpartition("/")[2]
        columns = ["name", "durable", "type", "messages", "consumers"]
        return {row["name"]: row for row in self.ask("list_queues", vhost, *columns)}

    def unacknowledged(self, url: str) -> int:
        """Return the number of unacknowledged messages of the vhost."""
        return self._total(url, "messages_unacknowledged")

    def ready(self, url: str) -> int:
        """Return the number of ready messages of the vhost."""
        return self._total(url, "messages_ready")

    def _total(self, url: str, column: str) -> int:
        vhost = url.partition("?")[0].rpartition("/")[2]
        return sum(int(row[column]) for row in self.ask("list_queues", vhost, column))


class MariaDB(Service):
    """A MariaDB server."""

    name = "mariadb"
    programs: ClassVar[dict[str, str]] = {"mysqld": "mariadb-server"}

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        return f"mysql+pymysql://root@127.0.0.1:{self.info['port']}/{database}"


class SteppedMariaDB(MariaDB):
    """A MariaDB server with a local time zone, whose clock a test can set."""

    name = "stepped-mariadb"

    def set_ahead(self, seconds: float) -> None:
        """Set the server's clock *seconds* ahead of the system's."""
        self.ask("set_ahead", seconds)


class PostgreSQL(Service):
    """A PostgreSQL server."""

    name = "postgresql"
    programs: ClassVar[dict[str, str]] = {"pg_config": "postgresql", "setpriv": "util-linux"}

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        return "postgresql://{user}@127.0.0.1:{port}/{}".format(database, **self.info)
