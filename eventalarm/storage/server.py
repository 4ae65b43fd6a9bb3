"""What kind of server the database is: whether it takes writes, is a node of a cluster, and its session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import re2
import sqlalchemy as sa

from eventalarm.storage.database import Database

# The bit of wsrep_sync_wait by which reads wait.
SYNC_READS: Final = 1

# The first releases with SKIP LOCKED, and with limits on idle transactions.
OLDEST: Final[Mapping[str, tuple[int, int]]] = {"MariaDB": (10, 6), "MySQL": (8, 0), "PostgreSQL": (9, 6)}


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """``standby``: PostgreSQL in recovery. ``cluster_size``: nodes of a Galera cluster, 0 without one.

    ``sync_wait`` and ``time_zone`` are those of our own session; the zone is empty where none matters.
    ``version`` is what the server says; ``max_packet`` is MariaDB's and MySQL's ``max_allowed_packet`` in
    bytes, 0 elsewhere; ``pooled`` is true behind a pooler (pgbouncer).
    """

    standby: bool = False
    read_only: bool = False
    cluster_size: int = 0
    sync_wait: int = 0
    time_zone: str = ""
    version: str = ""
    max_packet: int = 0
    pooled: bool = False


def too_old(dialect: str, version: str) -> str:
    """Return a sentence if a server of *dialect* with this *version* lacks what we need; empty if not."""
    product = (
        "PostgreSQL" if dialect == "postgresql" else "MariaDB" if "mariadb" in version.lower() else "MySQL"
    )
    # Some proxies put the number before MariaDB's that replication wants to see.
    numbers = re2.match(r"(\d+)(?:\.(\d+))?", version.strip().removeprefix("5.5.5-"))
    if dialect not in ("postgresql", "mysql", "mariadb") or numbers is None:
        return ""
    found = int(numbers[1]), int(numbers[2] or 0)
    oldest = OLDEST[product]
    if found >= oldest:
        return ""
    named = ".".join(map(str, oldest))
    return f"{product} {version.strip()} is too old: eventalarm needs {product} {named} or later"


def version_of(connection: sa.Connection) -> str:
    """Return the version that the server of an open *connection* says; empty for SQLite."""
    query = {"postgresql": "SHOW server_version", "mysql": "SELECT VERSION()", "mariadb": "SELECT VERSION()"}
    asked = query.get(connection.dialect.name)
    return str(connection.exec_driver_sql(asked).scalar_one()) if asked else ""


def look(database: Database) -> Server:
    """Ask the server.

    :raises eventalarm.exceptions.Retryable: when the database failed.
    """
    if database.dialect == "postgresql":
        with database.read() as connection:
            query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')"
            standby, read_only = connection.exec_driver_sql(query).one()
            version = version_of(connection)
        return Server(
            standby=bool(standby), read_only=read_only == "on", version=version, pooled=database.pooled
        )
    if database.dialect not in ("mysql", "mariadb"):
        return Server()
    with database.read() as connection:
        query = "SELECT @@global.read_only, @@SESSION.time_zone, @@global.max_allowed_packet"
        read_only, time_zone, max_packet = connection.exec_driver_sql(query).one()
        version = version_of(connection)
        named = "SHOW SESSION VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')"
        wsrep = {str(row[0]): row[1] for row in connection.exec_driver_sql(named)}
        size = 0
        if str(wsrep.get("wsrep_on", "OFF")).upper() == "ON":
            found = connection.exec_driver_sql("SHOW STATUS LIKE 'wsrep_cluster_size'").first()
            size = int(found[1]) if found is not None else 0
    return Server(
        read_only=str(read_only).upper() not in ("0", "OFF"),
        cluster_size=size,
        sync_wait=int(wsrep.get("wsrep_sync_wait", 0)),
        time_zone=str(time_zone),
        version=version,
        max_packet=int(max_packet),
    )
