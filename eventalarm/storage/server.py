"""What kind of server the database is: whether it takes writes, is a node of a cluster, and its session."""

from __future__ import annotations

import dataclasses
from typing import Final

from eventalarm.storage.database import Database

# The bit of wsrep_sync_wait by which reads wait.
SYNC_READS: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """``standby``: PostgreSQL in recovery. ``cluster_size``: nodes of a Galera cluster, 0 without one.

    ``sync_wait`` and ``time_zone`` are those of our own session; the zone is empty where none matters.
    """

    standby: bool = False
    read_only: bool = False
    cluster_size: int = 0
    sync_wait: int = 0
    time_zone: str = ""


def look(database: Database) -> Server:
    """Ask the server.

    :raises eventalarm.exceptions.Retryable: when the database failed.
    """
    if database.dialect == "postgresql":
        with database.read() as connection:
            query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')"
            standby, read_only = connection.exec_driver_sql(query).one()
        return Server(standby=bool(standby), read_only=read_only == "on")
    if database.dialect not in ("mysql", "mariadb"):
        return Server()
    with database.read() as connection:
        query = "SELECT @@global.read_only, @@SESSION.time_zone"
        read_only, time_zone = connection.exec_driver_sql(query).one()
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
    )
