"""Pairs of a primary and its replica, for failover by address: both stay up, and only one accepts writes."""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
from typing import Any, ClassVar

import psutil
import sqlalchemy as sa
from pifpaf.drivers import Driver

from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, free_ports, keep, kill_all
from eventalarm.trial.own_cloud.services.restartable import Service
from eventalarm.trial.own_cloud.services.servers import KeptMariaDB, KeptPostgreSQL
from tests.support.helpers import wait_until

# What a service account may do: neither SUPER nor READ ONLY ADMIN, which may write to a read-only server.
MAY = "ALTER, CREATE, CREATE VIEW, DELETE, DROP, INDEX, INSERT, PROCESS, REFERENCES, SELECT, UPDATE"


class KeptLoggingMariaDB(KeptMariaDB):
    """A server with a binary log, for either end of the replication."""

    def _exec(self, command: list[str], **options: Any) -> Any:
        if "--skip-networking" in command:
            replicates = [f"--server-id={self.port}", "--log-bin=changes", "--binlog-format=ROW"]
            command = [*command, *replicates, "--log-slave-updates"]
        return super()._exec(command, **options)


class KeptMariadbPair(Driver):
    """A primary ``a`` and its replica ``b``."""

    def _setUp(self) -> None:  # noqa: N802
        super()._setUp()
        self.servers = {name: self.useFixture(KeptLoggingMariaDB()) for name in ("a", "b")}

    def info(self) -> dict[str, Any]:
        return {"ports": {name: server.port for name, server in self.servers.items()}}

    def kill(self) -> None:
        kill_all([server.server for server in self.servers.values()])


class KeptPostgresqlPair(KeptPostgreSQL):
    """A primary ``a`` and its hot standby ``b``, made by ``pg_basebackup``."""

    def _setUp(self) -> None:  # noqa: N802
        super()._setUp()
        programs = pathlib.Path(self.again[0][0]).parent
        (self.standby_port,) = free_ports(1)
        self.standby = pathlib.Path(tempfile.mkdtemp(prefix="standby-"))
        self.addCleanup(shutil.rmtree, self.standby, ignore_errors=True)
        if self.user:
            shutil.chown(self.standby, self.user)
        source = ["-h", LOCALHOST, "-p", str(self.port), "-U", self.info()["user"]]
        copied = ["-D", str(self.standby), "-R", "-X", "stream", "-c", "fast"]
        self._exec([str(programs / "pg_basebackup"), *source, *copied])
        place = f'-k {self.standby} -p {self.standby_port} -h "{LOCALHOST}"'
        self._exec([str(programs / "pg_ctl"), "-D", str(self.standby), "-w", "-o", place, "start"])

    def info(self) -> dict[str, Any]:
        return {**super().info(), "ports": {"a": self.port, "b": self.standby_port}}

    def kill(self) -> None:
        for folder in (self.standby, pathlib.Path(self.tempdir)):
            pid = int((folder / "postmaster.pid").read_text().split()[0])
            postmaster = psutil.Process(pid)
            kill_all([postmaster, *postmaster.children()])


KEPT: dict[str, type[Driver]] = {"mariadb-pair": KeptMariadbPair, "postgresql-pair": KeptPostgresqlPair}


class Pair(Service):
    """A primary ``a`` and its replica ``b``; :meth:`url` is what a service account uses."""

    module: ClassVar[str] = "tests.support.replicas"
    directory: ClassVar[pathlib.Path | None] = pathlib.Path(__file__).parents[2]

    def url(self, database: str, node: str = "a") -> str:
        """Return the SQLAlchemy URL of *database* on one of the two."""
        raise NotImplementedError

    def fence(self) -> None:
        """Make ``a`` refuse writes; its sessions stay."""
        raise NotImplementedError

    def promote(self) -> None:
        """Make ``b`` accept writes once it has everything that ``a`` committed."""
        raise NotImplementedError


class MariadbPair(Pair):
    """MariaDB with asynchronous replication by GTID."""

    name = "mariadb-pair"
    programs: ClassVar[dict[str, str]] = {"mysqld": "mariadb-server"}

    def __init__(self, log_dir: pathlib.Path) -> None:
        super().__init__(log_dir)
        for node in ("a", "b"):
            # Without grant tables, everybody may write to a read-only server.
            run(
                f"mysql+pymysql://root@{LOCALHOST}:{self.info['ports'][node]}/mysql",
                *("SET sql_log_bin = 0", "FLUSH PRIVILEGES", "DELETE FROM global_priv WHERE user = ''"),
                *(
                    "FLUSH PRIVILEGES",
                    "CREATE USER admin@'%%'",
                    "GRANT ALL ON *.* TO admin@'%%'",
                    "CREATE USER service@'%%'",
                ),
                f"GRANT {MAY} ON *.* TO service@'%%'",
            )
        self._sql("b", "SET GLOBAL read_only = 1")
        primary = f"MASTER_HOST='{LOCALHOST}', MASTER_PORT={self.info['ports']['a']}, MASTER_USER='admin'"
        self._sql("b", f"CHANGE MASTER TO {primary}, MASTER_USE_GTID=slave_pos", "START SLAVE")

    def _sql(self, node: str, *statements: str) -> list[Any]:
        return run(f"mysql+pymysql://admin@{LOCALHOST}:{self.info['ports'][node]}/mysql", *statements)

    def url(self, database: str, node: str = "a") -> str:
        return f"mysql+pymysql://service@{LOCALHOST}:{self.info['ports'][node]}/{database}"

    def fence(self) -> None:
        self._sql("a", "SET GLOBAL read_only = 1")

    def promote(self) -> None:
        (position,) = self._sql("a", "SELECT @@global.gtid_binlog_pos")
        assert self._sql("b", f"SELECT MASTER_GTID_WAIT('{position}', 30)") == [0]
        self._sql("b", "STOP SLAVE", "SET GLOBAL read_only = 0")


class PostgresqlPair(Pair):
    """PostgreSQL with streaming replication."""

    name = "postgresql-pair"
    programs: ClassVar[dict[str, str]] = {"pg_config": "postgresql", "setpriv": "util-linux"}

    def _sql(self, node: str, *statements: str) -> list[Any]:
        return run(self.url("postgres", node), *statements)

    def url(self, database: str, node: str = "a") -> str:
        return f"postgresql://{self.info['user']}@{LOCALHOST}:{self.info['ports'][node]}/{database}"

    def fence(self) -> None:
        self._sql("a", "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        wait_until(lambda: self._sql("a", "SHOW default_transaction_read_only") == ["on"])

    def promote(self) -> None:
        (position,) = self._sql("a", "SELECT pg_current_wal_lsn()")
        caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: self._sql("b", caught_up) == [True])
        assert self._sql("b", "SELECT pg_promote()") == [True]


def run(url: str, *statements: str) -> list[Any]:
    """Run statements in one session, each committed by itself; return the last one's first column."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return list(result.scalars()) if result.returns_rows else []


if __name__ == "__main__":
    keep(KEPT, sys.argv[1])
