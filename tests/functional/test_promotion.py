"""A PostgreSQL standby promoted behind HAProxy, in short; the long form is ``postgresql-failover``."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest

from eventalarm.status.checks import Level
from eventalarm.status.database_server import check_server
from eventalarm.storage.database import connect
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from eventalarm.trial.own_cloud.stage import Ground
from tests.functional.disruption.promotion import fail_over, freeze, jump_back
from tests.support.databases import PostgresqlDatabases
from tests.support.postgresql_cluster import PostgresqlCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlCluster]:
    """A primary and its standby, whose roles change."""
    try:
        running = PostgresqlCluster(tmp_path_factory.mktemp("postgresql-cluster"))
    except RuntimeError as exc:
        pytest.fail(str(exc), pytrace=False)
    yield running
    running.stop()


def test_the_health_check_warns_of_commits_that_a_promotion_can_lose(cluster: PostgresqlCluster) -> None:
    database = connect(cluster.url("postgres"))
    try:
        assert check_server(database, 1024).level is Level.OK
        cluster.wait_for_standby(synchronous=False)
        found = check_server(database, 1024)
        assert (found.level, found.figures) == (Level.WARNING, {"standbys": 1})
        cluster.wait_for_standby()
    finally:
        database.dispose()


@pytest.mark.timeout(400)
def test_a_promotion_and_a_clock_set_back_lose_and_double_nothing(
    cluster: PostgresqlCluster, rabbitmq: RabbitMQ, tmp_path: pathlib.Path, figure: Callable[[str], None]
) -> None:
    """G1, G2 and G9. The former primary runs on beside its successor, and gets no sessions.

    Fails if commits are asynchronous and the standby lags; if HAProxy sends sessions to every node that is
    not in recovery; and if an event is dated by the clock of the database.
    """
    rabbitmq.start()
    ground = Ground(rabbitmq, cluster, PostgresqlDatabases(cluster.url, tmp_path).with_ours)
    finding = fail_over(ground, cluster, tmp_path, Progress(), strikes=(jump_back, freeze), rounds=1)
    for name, number in finding.figures.items():
        figure(f"promotion: {name}: {number:,.0f}")
    assert finding.wrong == []
