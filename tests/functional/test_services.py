"""The services and helpers that the other functional tests depend on work as documented."""

from __future__ import annotations

import json
import pathlib
import sys
import urllib.request
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedIndex

from eventalarm.storage import database, schema
from eventalarm.storage.schema import SchemaState
from eventalarm.storage.upgrade import upgrade
from eventalarm.trial.own_cloud.services.restartable import MariaDB, PostgreSQL, RabbitMQ, Service
from tests.functional.conftest import ENGINES, Spawn, _supply
from tests.support.helpers import WebhookSink


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
def test_a_killed_database_keeps_what_it_committed(name: str, request: pytest.FixtureRequest) -> None:
    server: MariaDB | PostgreSQL = request.getfixturevalue(name)
    engine = sa.create_engine(request.getfixturevalue(f"{name}_url"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (n INTEGER)")
        connection.exec_driver_sql("INSERT INTO kept VALUES (42)")
    server.kill()
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
    server.start()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT n FROM kept").scalar_one() == 42


def test_a_database_with_aodh_tables_has_the_schema_of_aodh(aodh_database_url: str) -> None:
    engine = sa.create_engine(aodh_database_url, poolclass=sa.NullPool)
    tables = sa.inspect(engine).get_table_names()
    assert {"alarm", "alarm_history", "alembic_version"} <= set(tables)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM alarm").scalar_one() == 0


def _comparable(index: ReflectedIndex) -> dict[str, Any]:
    """Return an index with its options as texts: SQLite's conditions are objects."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_with_our_tables_is_as_the_migrations_make_it(
    engine: str, request: pytest.FixtureRequest
) -> None:
    supply = _supply(engine, request)
    migrated, copied = (database.connect(url) for url in (supply.with_aodh(), supply.with_ours()))
    upgrade(migrated)
    assert schema.check(copied).state is SchemaState.CURRENT
    theirs, ours = (sa.inspect(one.engine) for one in (migrated, copied))
    for name in theirs.get_table_names():
        assert repr(ours.get_columns(name)) == repr(theirs.get_columns(name))
        assert [_comparable(index) for index in ours.get_indexes(name)] == [
            _comparable(index) for index in theirs.get_indexes(name)
        ]
    assert sorted(ours.get_table_names()) == sorted(theirs.get_table_names())
    migrated.dispose()
    copied.dispose()


def test_each_test_has_its_own_vhost(rabbitmq: RabbitMQ, rabbit_url: str) -> None:
    assert rabbitmq.new_url() != rabbit_url
    assert rabbitmq.queues(rabbit_url) == {}


def test_a_missing_server_is_named_with_its_package(tmp_path: pathlib.Path) -> None:
    class Absent(Service):
        name = "absent"
        programs = {"no-such-server": "some-package"}

    with pytest.raises(RuntimeError, match="no-such-server is not installed: apt-get install some-package"):
        Absent(tmp_path)


def test_a_process_is_watched_and_ended(spawn: Spawn) -> None:
    process = spawn([sys.executable, "-c", "import time; print('ready 7'); time.sleep(600)"])
    assert process.wait_for_log(r"ready (\d)")[1] == "7"
    assert process.terminate() == -15
    with pytest.raises(AssertionError, match="ended with -15"):
        process.wait_for_log("never printed")


def test_the_sink_records_requests_and_answers_as_configured(webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/a", statuses=[202, 201], headers={"Retry-After": "3"}, body=b"hello")

    def post() -> tuple[int, str | None, bytes]:
        with urllib.request.urlopen(webhook_sink.url("/a"), json.dumps({"n": 1}).encode()) as answer:
            return answer.status, answer.headers["Retry-After"], answer.read()

    assert [post() for _ in range(3)] == [(202, "3", b"hello"), (201, "3", b"hello"), (201, "3", b"hello")]
    assert [request.json for request in webhook_sink.wait(3, "/a")] == [{"n": 1}] * 3


def test_the_sink_hangs_until_released(webhook_sink: WebhookSink) -> None:
    release = webhook_sink.hang("/slow")
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(webhook_sink.url("/slow"), b"{}", timeout=0.3)
    release()
    assert urllib.request.urlopen(webhook_sink.url("/slow"), b"{}", timeout=5).status == 200
    assert len(webhook_sink.at("/slow")) == 2
