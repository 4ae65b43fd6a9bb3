"""Between statements our connections hold nothing that blocks another session's DDL."""

from __future__ import annotations

import gc
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from eventalarm.storage import database
from eventalarm.storage.database import Database
from eventalarm.storage.migrations import VERSION_TABLE
from eventalarm.storage.schema import SchemaState
from eventalarm.storage.upgrade import upgrade
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, wait_until

# Seconds for which DDL may wait for a lock: less than a lock that is kept by mistake.
PATIENCE = 5
OPEN_TRANSACTIONS = {
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = :me",
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE pid = :me AND state <> 'idle'",
}
WHO = {"mysql": "SELECT connection_id()", "postgresql": "SELECT pg_backend_pid()"}


@pytest.fixture
def opened(our_server_url: str) -> Iterator[Database]:
    """A database as our programs open it, once on each engine that serves a cloud."""
    one = database.connect(our_server_url)
    yield one
    one.dispose()


def holds(opened: Database, session: int, transactions: int) -> None:
    """Wait until a session holds that many open transactions."""
    engine = sa.create_engine(opened.engine.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    query = sa.text(OPEN_TRANSACTIONS[opened.dialect])
    with engine.connect() as connection:

        def look() -> bool:
            if opened.dialect == "mysql":
                # The view is refreshed when nobody has read it for a tenth of a second.
                connection.exec_driver_sql("DO SLEEP(0.15)")
            return bool(connection.execute(query, {"me": session}).scalar_one() == transactions)

        wait_until(look, 3, f"session {session} with {transactions} open transactions")


def alter(url: str | sa.URL, *statements: str) -> float:
    """Run DDL that gives up after :data:`PATIENCE`; return the seconds it took."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    limit = {
        "mysql": f"SET lock_wait_timeout = {PATIENCE}",
        "postgresql": f"SET lock_timeout = '{PATIENCE}s'",
    }
    with engine.connect() as connection:
        connection.exec_driver_sql(limit[engine.dialect.name])
        started = time.monotonic()
        for statement in statements:
            connection.exec_driver_sql(statement)
        return time.monotonic() - started


def test_a_reader_commits_every_statement(opened: Database) -> None:
    """Before the fix autocommit was 0 on MariaDB: the parent engine's level overwrote the child's."""
    for _ in range(2):
        with opened.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM alarm")
            session = connection.exec_driver_sql(WHO[opened.dialect]).scalar_one()
            if opened.dialect == "mysql":
                assert connection.exec_driver_sql("SELECT @@autocommit").scalar_one() == 1
            holds(opened, session, 0)
        holds(opened, session, 0)
        alter(
            opened.engine.url,
            "ALTER TABLE alarm ADD COLUMN later INTEGER",
            "ALTER TABLE alarm DROP COLUMN later",
        )


def test_a_writer_is_one_transaction(opened: Database) -> None:
    """Also on a connection that served a reader before."""
    sessions = set()
    for _ in range(2):
        with opened.read() as connection:
            sessions.add(connection.exec_driver_sql(WHO[opened.dialect]).scalar_one())
        opened.leave()
        with opened.begin() as connection:
            session = connection.exec_driver_sql(WHO[opened.dialect]).scalar_one()
            sessions.add(session)
            connection.exec_driver_sql("UPDATE alarm SET state = 'ok' WHERE alarm_id = 'none'")
            assert connection.get_isolation_level() == "READ COMMITTED"
            if opened.dialect == "mysql":
                assert connection.exec_driver_sql("SELECT @@autocommit").scalar_one() == 0
            holds(opened, session, 1)
        holds(opened, session, 0)
        opened.leave()
    assert len(sessions) == 1


def test_ddl_does_not_wait_for_listeners(
    our_server_url: str,
    rabbit_url: str,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    webhook_sink: WebhookSink,
    figure: Callable[[str], None],
) -> None:
    """Before the fix, on MariaDB: lock wait timeout of ALTER TABLE beside an idle listener."""
    cloud = Cloud(spawn, tmp_path, our_server_url, rabbit_url)
    alarm = cloud.create_alarm([webhook_sink.url("/a")], repeat_actions=True)
    cloud.start_listener()
    cloud.publish(make_event())
    cloud.wait_for_state(alarm, "alarm")
    ddl = ["ALTER TABLE alarm ADD COLUMN later INTEGER", "ALTER TABLE alarm DROP COLUMN later"]
    idle = alter(our_server_url, *ddl)

    stop, sent = threading.Event(), [1]

    def keep_busy() -> None:
        while not stop.is_set():
            cloud.publish(*(make_event() for _ in range(20)))
            sent.append(20)
            webhook_sink.wait(sum(sent) - 100)

    publisher = threading.Thread(target=keep_busy)
    publisher.start()
    try:
        webhook_sink.wait(20)
        busy = alter(our_server_url, *ddl)
        with cloud.database.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM {VERSION_TABLE}")
        on = " ON alarm" if cloud.database.dialect == "mysql" else ""
        alter(our_server_url, f"DROP INDEX eventalarm_ix_alarm_state{on}")
        started = time.monotonic()
        assert upgrade(cloud.database).state is SchemaState.MISSING
        synced = time.monotonic() - started
    finally:
        stop.set()
        publisher.join()
    webhook_sink.wait(sum(sent))
    dialect = cloud.database.dialect
    figure(
        f"ddl on {dialect}: {idle:.2f} s beside an idle listener, {busy:.2f} s beside a busy one; "
        f"eventalarm-dbsync {synced:.2f} s"
    )
    cloud.close()


def test_the_connections_of_an_ended_thread_go_back_at_once(opened: Database) -> None:
    """They do not wait for the garbage collector, which is disabled in this test."""

    def use() -> None:
        with opened.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        with opened.begin() as connection:
            connection.exec_driver_sql("SELECT 1")

    gc.disable()
    try:
        threads = [threading.Thread(target=use) for _ in range(20)]
        for thread in threads:
            thread.start()
            thread.join()
    finally:
        gc.enable()
    pool = opened.engine.pool
    assert isinstance(pool, sa.QueuePool)
    assert pool.checkedout() == 0
    assert pool.checkedin() == 2
