"""Fixtures of the functional tests; every worker has its own services, started when first requested.

So a test may kill ``rabbitmq``, ``mariadb`` or ``postgresql`` without disturbing tests in other workers;
the fixtures that return URLs restart what an earlier test has killed.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from eventalarm.storage import database as storage
from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import (
    MariaDB,
    PostgreSQL,
    RabbitMQ,
    Service,
    SteppedMariaDB,
)
from tests.support.browser import Browser
from tests.support.browser import chromium as start_chromium
from tests.support.databases import (
    Databases,
    GaleraDatabases,
    MariadbDatabases,
    PostgresqlDatabases,
    SqliteDatabases,
)
from tests.support.definitions import SHIPPED, Converter, merged
from tests.support.distribution import Distribution, shared_distribution
from tests.support.galera import Galera
from tests.support.helpers import Process, WebhookSink
from tests.support.ifa_api import IfaApi
from tests.support.listening import listening
from tests.support.subscribers import World

ENGINES = ["sqlite", "mariadb", "postgresql"]
S = TypeVar("S", bound=Service)
Spawn = Callable[..., Process]


def _serve(service: type[S], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S]:
    try:
        running = service(tmp_path_factory.mktemp(service.name))
    except RuntimeError as exc:
        pytest.fail(str(exc), pytrace=False)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ node: ``kill``, ``start``, ``ctl``, ``queues``."""
    yield from _serve(RabbitMQ, tmp_path_factory)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium."""
    try:
        with start_chromium(tmp_path_factory.mktemp("chromium")) as browser:
            yield browser
    except RuntimeError as exc:
        pytest.fail(str(exc), pytrace=False)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A MariaDB server: ``kill``, ``start``, ``url(database)``."""
    yield from _serve(MariaDB, tmp_path_factory)


@pytest.fixture(scope="session")
def _stepped_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedMariaDB]:
    yield from _serve(SteppedMariaDB, tmp_path_factory)


@pytest.fixture
def stepped_mariadb(_stepped_mariadb: SteppedMariaDB) -> Iterator[SteppedMariaDB]:
    """A MariaDB server with a local time zone, whose clock can be set: ``set_ahead(seconds)``."""
    yield _stepped_mariadb
    _stepped_mariadb.set_ahead(0.0)


@pytest.fixture(scope="session")
def _stepped_databases(
    _stepped_mariadb: SteppedMariaDB, tmp_path_factory: pytest.TempPathFactory
) -> MariadbDatabases:
    return MariadbDatabases(_stepped_mariadb.url, tmp_path_factory.mktemp("stepped"))


@pytest.fixture
def our_stepped_url(stepped_mariadb: SteppedMariaDB, _stepped_databases: MariadbDatabases) -> str:
    """A fresh database with Aodh's tables and ours, on ``stepped_mariadb``."""
    return _stepped_databases.with_ours()


@pytest.fixture(scope="session")
def galera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Galera]:
    """A Galera cluster of three nodes: ``url(node, database)`` with node ``a``, ``b`` or ``c``."""
    yield from _serve(Galera, tmp_path_factory)


@pytest.fixture(scope="session")
def _galera_databases(galera: Galera, tmp_path_factory: pytest.TempPathFactory) -> GaleraDatabases:
    return GaleraDatabases(galera, tmp_path_factory.mktemp("galera-aodh"))


@pytest.fixture
def our_galera_urls(_galera_databases: GaleraDatabases) -> tuple[str, str]:
    """A fresh database with Aodh's tables and ours, by two nodes of a cluster."""
    return _galera_databases.with_ours()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A PostgreSQL server: ``kill``, ``start``, ``url(database)``."""
    yield from _serve(PostgreSQL, tmp_path_factory)


@pytest.fixture(scope="session")
def _sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def _mariadb_databases(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> MariadbDatabases:
    return MariadbDatabases(mariadb.url, tmp_path_factory.mktemp("mariadb-aodh"))


@pytest.fixture(scope="session")
def _postgresql_databases(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> PostgresqlDatabases:
    return PostgresqlDatabases(postgresql.url, tmp_path_factory.mktemp("postgresql-aodh"))


def _supply(engine: str, request: pytest.FixtureRequest) -> Databases:
    if engine != "sqlite":
        request.getfixturevalue(engine).start()
    supply: Databases = request.getfixturevalue(f"_{engine}_databases")
    return supply


@pytest.fixture
def rabbit_url(rabbitmq: RabbitMQ) -> str:
    """The transport URL of a fresh vhost; append ``?rabbit_quorum_queue=true`` for quorum queues."""
    rabbitmq.start()
    return rabbitmq.new_url()


@pytest.fixture
def mariadb_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty MariaDB database."""
    return _supply("mariadb", request).empty()


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty PostgreSQL database."""
    return _supply("postgresql", request).empty()


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database, once on each engine."""
    return _supply(request.param, request).empty()


@pytest.fixture(params=ENGINES)
def aodh_database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with Aodh's tables, once on each engine."""
    return _supply(request.param, request).with_aodh()


@pytest.fixture
def aodh_sqlite_url(request: pytest.FixtureRequest) -> str:
    """A fresh SQLite database with Aodh's tables."""
    return _supply("sqlite", request).with_aodh()


@pytest.fixture
def aodh_mariadb_url(request: pytest.FixtureRequest) -> str:
    """A fresh MariaDB database with Aodh's tables."""
    return _supply("mariadb", request).with_aodh()


@pytest.fixture
def aodh_postgresql_url(request: pytest.FixtureRequest) -> str:
    """A fresh PostgreSQL database with Aodh's tables."""
    return _supply("postgresql", request).with_aodh()


@pytest.fixture(params=ENGINES)
def our_database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with Aodh's tables and ours, once on each engine."""
    return _supply(request.param, request).with_ours()


@pytest.fixture(params=[engine for engine in ENGINES if engine != "sqlite"])
def our_server_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with Aodh's tables and ours, once on each engine that serves a cloud."""
    return _supply(request.param, request).with_ours()


@pytest.fixture
def our_sqlite_url(request: pytest.FixtureRequest) -> str:
    """A fresh SQLite database with Aodh's tables and ours."""
    return _supply("sqlite", request).with_ours()


@pytest.fixture
def our_mariadb_url(request: pytest.FixtureRequest) -> str:
    """A fresh MariaDB database with Aodh's tables and ours."""
    return _supply("mariadb", request).with_ours()


@pytest.fixture
def our_postgresql_url(request: pytest.FixtureRequest) -> str:
    """A fresh PostgreSQL database with Aodh's tables and ours."""
    return _supply("postgresql", request).with_ours()


@pytest.fixture
def spawn(tmp_path: pathlib.Path) -> Iterator[Spawn]:
    """Start programs that end with the test: ``spawn([command, ...], env={}) -> Process``."""
    programs = Programs(tmp_path)
    yield programs
    programs.close()


@pytest.fixture
def webhook_sink() -> Iterator[WebhookSink]:
    """A real HTTP server that records requests and answers as configured."""
    sink = WebhookSink()
    yield sink
    sink.close()


@pytest.fixture
def opened(our_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(our_database_url, pipelines=True)
    yield result
    result.dispose()


@pytest.fixture
def api(opened: storage.Database) -> IfaApi:
    return IfaApi(opened)


@pytest.fixture
def lite_database(our_sqlite_url: str) -> Iterator[storage.Database]:
    """A database on SQLite alone, for tests that do not depend on the engine."""
    result = storage.connect(our_sqlite_url)
    yield result
    result.dispose()


@pytest.fixture
def small(lite_database: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    """A cloud on SQLite that suspends and probes subscribers at once."""
    made = World(lite_database, webhook_sink, suspend_after=1.0, probe_interval=0.1)
    with listening(made.api.conf, lite_database) as made.listener:
        yield made


@pytest.fixture
def lite(lite_database: storage.Database) -> IfaApi:
    """The API on SQLite alone, for tests that do not depend on the database."""
    return IfaApi(lite_database)


@pytest.fixture(scope="session")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Converter:
    """Ceilometer's converter with our event definitions merged into its own."""
    return Converter(merged(tmp_path_factory.mktemp("definitions")))


@pytest.fixture(scope="session")
def stock() -> Converter:
    """Ceilometer's converter with its own event definitions."""
    return Converter(SHIPPED)


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Distribution:
    """The sdist and the wheel of the working tree, built by the first worker that needs them."""
    base = tmp_path_factory.getbasetemp()
    return shared_distribution((base if worker_id == "master" else base.parent) / "distribution")
