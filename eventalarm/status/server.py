"""The checks of the database server and of the clocks of hosts, on which the guarantees rest."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

from eventalarm.status.outcome import Finding, Level
from eventalarm.storage.database import Database
from eventalarm.storage.server import SYNC_READS, Server, look, too_old
from eventalarm.storage.stats import clock_offsets, last_alarm_change

# Seconds by which the clock of a host may differ from the database's without a warning.
TOLERATED: Final = 1.0
# The size of a statement that holds an event, as a multiple of the size of the event: it is escaped.
PACKETS: Final = 4
UTC: Final = ("+00:00", "UTC")
SYNCHRONISE: Final = "synchronise the clocks of all hosts, for example with chrony"


def look_at_server(database: Database, max_event_size: int) -> Finding:
    """Check the version of the server, whether it is writable, and the settings of our sessions."""
    return judge(database.dialect, look(database), max_event_size)


def judge(dialect: str, server: Server, max_event_size: int = 0) -> Finding:
    """Return the worst problem of *server*, or OK.

    :param max_event_size: bytes of the largest event that is stored; a statement can be four times as large.
    """
    if (unfit := _unfit(dialect, server)) is not None:
        return unfit
    if server.cluster_size and not server.sync_wait & SYNC_READS:
        return Finding(
            Level.WARNING,
            f"{dialect} is a node of a Galera cluster, and reads do not wait for the other nodes "
            f"(wsrep_sync_wait = {server.sync_wait}): a new alarm can miss its first event",
            "remove mysql_wsrep_sync_wait from [database], or set it to 1",
        )
    if server.max_packet and server.max_packet <= PACKETS * max_event_size:
        return Finding(
            Level.WARNING,
            f"max_allowed_packet of {dialect} is {server.max_packet} bytes: it refuses statements with an "
            f"event of [eventalarm] max_event_size ({max_event_size} bytes)",
            f"set max_allowed_packet to more than {PACKETS * max_event_size}, or lower max_event_size",
            {"max_allowed_packet": server.max_packet, "max_event_size": max_event_size},
        )
    if server.time_zone not in ("", *UTC):
        return Finding(
            Level.WARNING,
            f"sessions use the time zone {server.time_zone}: a proxy in front of {dialect} resets it",
            "configure the proxy to keep session settings, or run the server in the time zone +00:00",
        )
    cluster = f", one of {server.cluster_size} nodes of a Galera cluster" if server.cluster_size else ""
    pooled = ", through a pooler; the limits of sessions are set in each transaction" if server.pooled else ""
    return Finding(
        Level.OK, f"{dialect} {server.version}".rstrip() + f" answers and is writable{cluster}{pooled}"
    )


def _unfit(dialect: str, server: Server) -> Finding | None:
    """Return why *server* cannot be used; None if it is new enough and writable."""
    if old := too_old(dialect, server.version):
        return Finding(Level.FAILED, old, "upgrade the database server")
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


def look_at_clocks(database: Database, overlap: float) -> Finding:
    """Compare the clocks of listeners, of this host and of the hosts of Aodh's API with the database's."""
    changed = last_alarm_change(database)
    now = database.now()
    offsets = dict(clock_offsets(database))
    offsets["this host"] = database.clock.host_offset() or 0.0
    return judge_clocks(offsets, None if changed is None else changed - now, overlap)


def judge_clocks(offsets: Mapping[str, float], newest: datetime.timedelta | None, overlap: float) -> Finding:
    """Judge the clocks of hosts.

    :param offsets: by how many seconds each host is ahead of the database.
    :param newest: how far the last change of an alarm lies in the database's future, negative for the past.
    :param overlap: seconds by which the clocks of the hosts of Aodh's API may differ.
    """
    figures = {host: round(seconds, 3) for host, seconds in sorted(offsets.items())}
    if newest is not None and newest.total_seconds() > overlap:
        return Finding(
            Level.FAILED,
            f"an alarm was changed {newest.total_seconds():.1f} s in the database's future: the clock of a "
            "host that runs Aodh's API is ahead, and new alarms from other hosts can be missed",
            SYNCHRONISE,
            figures,
        )
    wrong = [f"{host} by {seconds:+.1f} s" for host, seconds in figures.items() if abs(seconds) > TOLERATED]
    if wrong:
        text = f"clocks differ from the database's: {', '.join(wrong)}"
        return Finding(Level.WARNING, text, SYNCHRONISE, figures)
    return Finding(Level.OK, f"the clocks of {len(figures)} hosts agree with the database's", figures=figures)
