"""The broker and the database of one benchmark run, with durable commits; and the machine's data."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import statistics
import subprocess
import time
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks.children import ROOT
from eventalarm.database_url import with_driver
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.services.restartable import MariaDB, PostgreSQL, RabbitMQ
from tests.support.databases import Databases, MariadbDatabases, PostgresqlDatabases

# The servers of the tests lose data on a power cut; with these settings a commit waits for the disk.
DURABLE = {
    "mariadb": (
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        "SET GLOBAL innodb_buffer_pool_size = 1073741824",
    ),
    "postgresql": (
        "ALTER SYSTEM SET fsync = on",
        "ALTER SYSTEM SET full_page_writes = on",
        "ALTER SYSTEM SET synchronous_commit = on",
        "SELECT pg_reload_conf()",
    ),
}
PACKAGES = ("eventalarm", "aodh", "oslo.messaging", "aiohttp", "SQLAlchemy", "PyMySQL", "psycopg", "amqp")


class Ground:
    """RabbitMQ and one database server, started when first used."""

    def __init__(self, directory: pathlib.Path, database: str, progress: Progress) -> None:
        self._directory = directory
        self._kind = database
        self._progress = progress
        self._services: list[Any] = []
        self._rabbit: RabbitMQ | None = None
        self._databases: Databases | None = None
        self._facts: dict[str, Any] = {"database": database}

    def transport_url(self) -> str:
        """Return the transport URL of a fresh vhost, for quorum queues."""
        if self._rabbit is None:
            self._progress.say("starting RabbitMQ")
            self._rabbit = RabbitMQ(self._directory)
            self._services.append(self._rabbit)
        return self._rabbit.new_url() + "?rabbit_quorum_queue=true"

    def database_url(self) -> str:
        """Return the URL of a fresh database with Aodh's tables."""
        if self._databases is None:
            self._progress.say(f"starting {self._kind}")
            self._databases = self._start_database()
            seconds = commit_time(with_driver(self._databases.empty()))
            self._facts["durable_commit_ms"] = round(seconds * 1000, 3)
            self._progress.say(f"one durable commit takes {seconds * 1000:.2f} ms")
        return with_driver(self._databases.with_aodh())

    def _start_database(self) -> Databases:
        if self._kind == "postgresql":
            postgresql = PostgreSQL(self._directory)
            self._services.append(postgresql)
            execute(with_driver(postgresql.url("postgres")), *DURABLE[self._kind])
            return PostgresqlDatabases(postgresql.url, self._directory)
        mariadb = MariaDB(self._directory)
        self._services.append(mariadb)
        execute(mariadb.url("mysql"), *DURABLE[self._kind])
        return MariadbDatabases(mariadb.url, self._directory)

    def facts(self) -> dict[str, Any]:
        """Return measured properties of the services: so far, the time that a durable commit takes."""
        return dict(self._facts)

    def close(self) -> None:
        """End the services."""
        for service in reversed(self._services):
            service.stop()


def execute(url: str, *statements: str) -> None:
    """Execute statements, each committed by itself."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def commit_time(url: str, count: int = 50) -> float:
    """Return the median seconds of one durable one-row commit, the lower bound of any database work."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    times = []
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE benchmark_commit (n INTEGER)")
        connection.commit()
        for number in range(count):
            began = time.perf_counter()
            connection.exec_driver_sql(f"INSERT INTO benchmark_commit VALUES ({number})")
            connection.commit()
            times.append(time.perf_counter() - began)
        connection.exec_driver_sql("DROP TABLE benchmark_commit")
        connection.commit()
    return statistics.median(times)


def environment() -> dict[str, Any]:
    """Return what a reader must know about the machine and the software to interpret the figures."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_at_start": os.getloadavg()[0],
        "versions": versions,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
