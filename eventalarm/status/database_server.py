"""The checks of the database server: whether it can hold what the guarantees need."""

from __future__ import annotations

from typing import Final

from eventalarm.status.checks import Finding, Level, named
from eventalarm.storage.database import Database
from eventalarm.storage.schema import too_old
from eventalarm.storage.session import SYNC_BITS
from eventalarm.storage.stats import Server, read_server

# The size of a statement that holds an event, as a multiple of the size of the event: it is escaped.
PACKET_FACTOR: Final = 4
UTC: Final = ("+00:00", "UTC")
# The states of standbys for which a commit of PostgreSQL waits.
CONFIRMING: Final = frozenset({"sync", "quorum"})
SYNCED: Final = "Synced"


def check_server(database: Database, max_event_size: int) -> Finding:
    """Check the version of the server, whether it is writable, and the settings of our sessions."""
    return server_finding(database.dialect, read_server(database), max_event_size)


def server_finding(dialect: str, server: Server, max_event_size: int = 0) -> Finding:
    """Return the worst problem of *server*, or OK.

    :param max_event_size: bytes of the largest event that is stored; a statement can be four times as large.
    """
    if (unfit := _unfit(dialect, server)) is not None:
        return unfit
    if server.cluster_size and (problem := _of_cluster(dialect, server)) is not None:
        return problem
    if (risk := _lost_commits(dialect, server)) is not None:
        return risk
    if server.max_packet and server.max_packet <= PACKET_FACTOR * max_event_size:
        return Finding(
            Level.WARNING,
            f"max_allowed_packet of {dialect} is {server.max_packet} bytes: it refuses statements with an "
            f"event of [eventalarm] max_event_size ({max_event_size} bytes)",
            f"set max_allowed_packet to more than {PACKET_FACTOR * max_event_size}, or lower max_event_size",
            {"max_allowed_packet": server.max_packet, "max_event_size": max_event_size},
        )
    if server.time_zone not in ("", *UTC):
        return Finding(
            Level.WARNING,
            f"sessions use the time zone {server.time_zone}: a proxy in front of {dialect} resets it",
            "configure the proxy to keep session settings, or run the server in the time zone +00:00",
        )
    cluster = f", one of {server.cluster_size} nodes of a Galera cluster" if server.cluster_size else ""
    cluster += _several(server)
    pooled = ", through a pooler; the limits of sessions are set in each transaction" if server.pooled else ""
    return Finding(
        Level.OK, f"{dialect} {server.version}".rstrip() + f" answers and is writable{cluster}{pooled}"
    )


def _lost_commits(dialect: str, server: Server) -> Finding | None:
    """Return why commits that PostgreSQL has confirmed can be lost, or None if that is not known."""
    if server.synchronous_commit == "off":
        return Finding(
            Level.WARNING,
            f"synchronous_commit of {dialect} is off: commits are confirmed before they are written, and are "
            "lost in a crash, with what they fired",
            "set synchronous_commit to on, at least for the role of [database] connection",
        )
    waits = server.synchronous_commit != "local" and not CONFIRMING.isdisjoint(server.standbys)
    if server.standbys and not waits:
        return Finding(
            Level.WARNING,
            f"{dialect} confirms commits before a standby has them (sync_state {server.standbys[0]}, "
            f"synchronous_commit {server.synchronous_commit}): the last ones are lost when a standby is "
            "promoted, with what they fired",
            "set synchronous_standby_names, in Patroni synchronous_mode, and synchronous_commit to on",
            {"standbys": len(server.standbys)},
        )
    return None


def _several(server: Server) -> str:
    return f"; connections lead to {named(server.nodes)}" if len(server.nodes) > 1 else ""


def _of_cluster(dialect: str, server: Server) -> Finding | None:
    """Return what is wrong with a Galera cluster or how it is used, or None.

    With one writer, sessions that do not wait matter only when another node becomes the writer. With several
    they break guarantees in everyday use.
    """
    if server.sync_wait & SYNC_BITS != SYNC_BITS:
        return Finding(
            Level.FAILED if len(server.nodes) > 1 else Level.WARNING,
            f"{dialect} is a node of a Galera cluster{_several(server)}, and sessions do not wait for the "
            f"other nodes (wsrep_sync_wait = {server.sync_wait}): a new alarm can miss its first event, and "
            "a delivery can be sent twice",
            f"remove mysql_wsrep_sync_wait from [database], or set it to {SYNC_BITS}",
        )
    if server.node_state != SYNCED:
        return Finding(
            Level.WARNING,
            f"a node of the Galera cluster is used although its state is {server.node_state}",
            "have the proxy use only nodes whose wsrep_local_state is 4 (Synced), as clustercheck does",
        )
    return None


def _unfit(dialect: str, server: Server) -> Finding | None:
    """Return why *server* cannot be used, or None if it is new enough and writable."""
    if old := too_old(dialect, server.version):
        return Finding(Level.FAILED, old, "upgrade or replace the database server")
    if server.standby:
        return Finding(
            Level.FAILED,
            f"{dialect} answers, but it is a standby (pg_is_in_recovery): nothing can be written",
            "point [database] connection at the primary, for example with target_session_attrs=read-write",
        )
    if server.read_only:
        return Finding(
            Level.FAILED,
            f"{dialect} answers, but it is read-only: nothing can be written",
            "point [database] connection at the writable server",
        )
    return None
