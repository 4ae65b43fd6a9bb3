"""What health checks say while a process, the broker, the database or a lease is gone, and afterwards."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
import sqlalchemy as sa

from eventalarm import bus
from eventalarm.cmd import status
from eventalarm.ifa_shim.api import application as ifa
from eventalarm.ingest import application as ingest
from eventalarm.trial.own_cloud.services.keeper import free_ports
from eventalarm.trial.own_cloud.services.restartable import MariaDB, RabbitMQ
from tests.functional.conftest import Spawn
from tests.support import inprocess
from tests.support.cloud import Cloud
from tests.support.helpers import Process, wait_until
from tests.support.ifa_server import served

LONG = 30.0
BOTH = {"healthcheck": {"backends": "eventalarm_database,eventalarm_broker"}}
DATABASE, BROKER = "the database does not answer", "the broker does not answer"


def ask(url: str) -> tuple[int, str]:
    """Return status and text of a health check."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode().strip()


class Deployment:
    """A cloud with a listener of two workers and both APIs, all of whose health checks can be asked."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.listener: Process = cloud.start_listener()
        wait_until(lambda: self.listener.text().count("Listening on topic") == 2, LONG, "two workers")
        self._root = f"http://127.0.0.1:{cloud.conf.eventalarm.metrics_port}"
        self._stack = contextlib.ExitStack()
        transport = bus.get_transport(cloud.conf)
        self._stack.callback(transport.cleanup)
        applications = (
            ifa.application(cloud.conf, cloud.database),
            ingest.application(cloud.conf, transport, lambda: cloud.database),
        )
        self._apis = [self._stack.enter_context(served(app)) for app in applications]

    def healthz(self) -> tuple[int, str]:
        return ask(f"{self._root}/healthz")

    def listening(self) -> bool:
        """Return True if the metrics port is open."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.cloud.conf.eventalarm.metrics_port)) == 0

    def readyz(self) -> tuple[int, str]:
        return ask(f"{self._root}/readyz")

    def await_ready(self) -> None:
        """Return once all probes answer 200, and ``eventalarm-status check --quick`` ends with 0."""
        wait_until(lambda: self.readyz() == (200, "ok"), LONG, "the listener to be ready")
        assert self.healthz() == (200, "ok")
        self.await_apis(200, "the database answers", "the broker answers")
        wait_until(lambda: self.quick().returncode == 0, LONG, "all checks to be OK")
        assert self.quick().stdout.splitlines()[0] == "eventalarm OK"

    def await_apis(self, code: int, *reasons: str) -> None:
        """Return once ``/healthcheck`` of both APIs answers *code* with *reasons*."""
        for root in self._apis:
            url = f"{root}/healthcheck"
            wait_until(lambda: ask(url) == (code, "\n".join(reasons)), LONG, f"{url}: {code}")  # noqa: B023

    def await_unready(self, *reasons: str) -> None:
        """Return once ``/readyz`` answers 503 with *reasons*; ``/healthz`` answers 200 all the time."""

        def unready() -> bool:
            assert self.healthz() == (200, "ok")
            code, text = self.readyz()
            return code == 503 and set(reasons) <= set(text.split("; "))

        wait_until(unready, LONG, f"unready: {reasons}")

    def quick(self) -> subprocess.CompletedProcess[str]:
        """Run ``eventalarm-status check --quick``."""
        return inprocess.run(status.main, "check", "--quick", "--config-file", str(self.cloud.conf_path))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def deployment(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str
) -> Iterator[Deployment]:
    (port,) = free_ports(1)
    made = Cloud(
        spawn,
        tmp_path,
        our_mariadb_url,
        rabbit_url,
        eventalarm={"workers": 2, "metrics_port": port, "watchdog_warn": 1, "lock_timeout": 0.5},
        eventalarm_delivery={"lease": 2.0, "poll_interval": 0.2},
        eventalarm_ifa={"auth_mode": "noauth"},
        eventalarm_ingest={"auth_mode": "noauth"},
        **BOTH,
    )
    running = Deployment(made)
    yield running
    running.close()
    made.close()


def workers(deployment: Deployment) -> list[psutil.Process]:
    """Return the two workers, in the order of their numbers: the processes that talk to the broker."""
    broker = sa.make_url(deployment.cloud.conf.transport_url).port
    family = sorted(psutil.Process(deployment.listener.pid).children(), key=lambda one: one.pid)
    found = [p for p in family if any(c.raddr and c.raddr.port == broker for c in p.net_connections("tcp"))]
    assert len(found) == 2
    return found


def test_a_suspended_worker_fails_liveness_and_readiness_until_it_continues(deployment: Deployment) -> None:
    deployment.await_ready()
    for number, worker in enumerate(workers(deployment)):
        expected = (503, f"worker process {number}: no progress")
        worker.suspend()
        wait_until(lambda: deployment.healthz() == expected, LONG, "healthz to name the worker")  # noqa: B023
        assert deployment.readyz()[0] == 503
        assert expected[1] in deployment.readyz()[1].split("; ")
        worker.resume()
        deployment.await_ready()


def test_a_dead_broker_is_named_by_all_probes_until_it_is_back(
    deployment: Deployment, rabbitmq: RabbitMQ
) -> None:
    deployment.await_ready()
    rabbitmq.kill()
    deployment.await_unready("worker process 0, 1: does not consume from the broker")
    deployment.await_apis(503, "the database answers", BROKER)
    found = deployment.quick()
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.splitlines()[0] == "eventalarm FAILED: broker"
    text = " ".join(found.stdout.split())
    assert re.search(r"FAILED broker rabbit://\S+ does not answer: .*refused", text)
    assert "OK database mysql" in text
    assert "the connection is lost; it is opened again" in deployment.listener.text()
    rabbitmq.start()
    deployment.await_ready()


def test_a_dead_database_is_named_by_all_probes_until_it_is_back(
    deployment: Deployment, mariadb: MariaDB
) -> None:
    deployment.await_ready()
    mariadb.kill()
    deployment.await_unready("worker process 0, 1: no valid lease", DATABASE)
    deployment.await_apis(503, DATABASE, "the broker answers")
    found = deployment.quick()
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.splitlines()[0] == "eventalarm FAILED: database"
    assert "SKIPPED listeners" in " ".join(found.stdout.split())
    mariadb.start()
    deployment.await_ready()


def test_a_lost_lease_fails_readiness_only_until_it_is_held_again(deployment: Deployment) -> None:
    """The database answers, but what renews the lease is locked by another session."""
    deployment.await_ready()
    engine = sa.create_engine(deployment.cloud.database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT * FROM eventalarm_worker FOR UPDATE"))
        deployment.await_unready("worker process 0, 1: no valid lease")
        assert DATABASE not in deployment.readyz()[1]
        deployment.await_apis(200, "the database answers", "the broker answers")
        wait_until(lambda: deployment.quick().returncode == 1, LONG, "the check to fail")
        found = deployment.quick().stdout
        assert found.splitlines()[0] == "eventalarm FAILED: listeners"
        assert "no listener is running" in found
    deployment.await_ready()


def test_a_listener_that_waits_for_its_services_says_for_which(
    deployment: Deployment, rabbitmq: RabbitMQ, mariadb: MariaDB
) -> None:
    deployment.listener.kill()
    mariadb.kill()
    rabbitmq.kill()
    deployment.listener = deployment.cloud.start_listener(wait=False)
    wait_until(
        lambda: deployment.listening() and deployment.healthz() == (200, "ok"), LONG, "the first reports"
    )
    deployment.await_unready("worker process 0, 1: waiting for the database", DATABASE)
    mariadb.start()
    deployment.await_unready("worker process 0, 1: waiting for the broker")
    rabbitmq.start()
    deployment.await_ready()
