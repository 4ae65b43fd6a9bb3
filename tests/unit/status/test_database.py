"""What the health check says of the server and of clocks."""

import datetime

import pytest

from eventalarm.status.checks import Level
from eventalarm.status.database import clocks_finding
from eventalarm.status.database_server import server_finding
from eventalarm.storage.stats import Server


@pytest.mark.parametrize(
    ("server", "level", "word"),
    [
        (Server(), Level.OK, "writable"),
        (Server(standby=True, read_only=True), Level.FAILED, "standby"),
        (Server(read_only=True), Level.FAILED, "read-only"),
        (Server(cluster_size=3, sync_wait=15, time_zone="+00:00"), Level.OK, "one of 3 nodes"),
        (Server(cluster_size=3, sync_wait=7, nodes=("a", "b")), Level.OK, "connections lead to a, b"),
        (Server(cluster_size=3, sync_wait=1, nodes=("a",)), Level.WARNING, "wsrep_sync_wait = 1"),
        (Server(cluster_size=3, sync_wait=1, nodes=("a", "b")), Level.FAILED, "connections lead to a, b"),
        (Server(cluster_size=3, sync_wait=7, node_state="Donor/Desynced"), Level.WARNING, "Donor/Desynced"),
        (Server(cluster_size=3, sync_wait=7, time_zone="UTC"), Level.OK, "one of 3 nodes"),
        (Server(cluster_size=3, sync_wait=6), Level.WARNING, "wsrep_sync_wait = 6"),
        (Server(time_zone="SYSTEM"), Level.WARNING, "time zone SYSTEM"),
        (Server(version="10.5.3-MariaDB"), Level.FAILED, "MariaDB 10.5.3-MariaDB is too old"),
        (Server(version="10.11.6-MariaDB-0+deb12u1"), Level.OK, "mariadb 10.11.6"),
        (Server(max_packet=4 * 1024), Level.WARNING, "max_allowed_packet of mariadb is 4096 bytes"),
        (Server(max_packet=4 * 1024 + 1), Level.OK, "writable"),
        (Server(pooled=True), Level.OK, "through a pooler"),
        (Server(standbys=("async",)), Level.WARNING, "sync_state async"),
        (Server(standbys=("async", "quorum")), Level.OK, "writable"),
        (Server(standbys=("sync",), synchronous_commit="remote_apply"), Level.OK, "writable"),
        (Server(standbys=("sync",), synchronous_commit="local"), Level.WARNING, "synchronous_commit local"),
        (Server(synchronous_commit="local"), Level.OK, "writable"),
        (Server(synchronous_commit="off"), Level.WARNING, "synchronous_commit of mariadb is off"),
    ],
)
def test_the_settings_that_guarantees_rest_on_are_checked(server: Server, level: Level, word: str) -> None:
    found = server_finding("mariadb", server, 1024)
    assert found.level is level
    assert word in found.message
    assert bool(found.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("offsets", "newest", "max_skew", "level", "word"),
    [
        ({"a": 0.2, "b": -0.9}, None, 1.0, Level.OK, "2 hosts"),
        ({"a": 0.2, "b": -0.9}, None, 0.5, Level.WARNING, "b by -0.9 s"),
        ({"a": 0.2, "b": -30.0}, -5.0, 1.0, Level.WARNING, "b by -30.0 s"),
        ({"a": 0.0}, 9.0, 1.0, Level.OK, "1 hosts"),
        ({"a": 30.0}, 31.0, 60.0, Level.FAILED, "31.0 s in the database's future"),
    ],
)
def test_clocks_are_compared_with_the_databases(
    offsets: dict[str, float], newest: float | None, max_skew: float, level: Level, word: str
) -> None:
    ahead = None if newest is None else datetime.timedelta(seconds=newest)
    found = clocks_finding(offsets, ahead, overlap=10.0, max_skew=max_skew)
    assert found.level is level
    assert word in found.message
    assert found.figures == offsets
