"""The trials of a RabbitMQ cluster in their short form; the long one is ``tox -e disrupt -- cluster``."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from functools import partial

import pytest

from eventalarm.trial.history.availability import cells
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.services.restartable import MariaDB, RabbitMQ
from eventalarm.trial.own_cloud.stage import Ground
from tests.functional.disruption.cluster import broker_cluster
from tests.functional.disruption.cluster_disruptors import PAUSE_MINORITY, Cluster, Partition


# Three nodes start, which takes ten seconds on two idle cores, and minutes on busy ones.
@pytest.mark.timeout(900)
def test_a_cluster_without_its_leader_loses_nothing(
    rabbitmq: RabbitMQ,
    mariadb: MariaDB,
    our_mariadb_url: str,
    tmp_path: pathlib.Path,
    figure: Callable[[str], None],
) -> None:
    """The leader of the queue is cut off together with a listener and the publisher; then it is killed."""
    ground = Ground(rabbitmq, mariadb, lambda: our_mariadb_url)
    partition = Partition(PAUSE_MINORITY, 5.0, leads=True)
    kill = partial(Cluster.kill_leader, away=0.0)
    finding = broker_cluster(ground, tmp_path, Progress(), rounds=1, kills=[kill], partitions=[partition])
    for row in finding.rows:
        figure(f"cluster: {', '.join(cells(row))}")
    assert finding.wrong == []
    assert {row.disruption for row in finding.rows} >= {"kill the leader"}
