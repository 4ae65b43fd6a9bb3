"""The indexes on Aodh's ``alarm`` are created while Aodh and listeners continue to write to it."""

from __future__ import annotations

import pathlib

import pytest
import sqlalchemy as sa

from eventalarm.storage import database, schema
from eventalarm.storage.schema import SchemaState
from tests.functional.conftest import Spawn
from tests.support.helpers import Process, console_script, wait_until

INDEXES = {
    "eventalarm_ix_alarm_timestamp",
    "eventalarm_ix_alarm_project_state",
    "eventalarm_ix_alarm_state",
}
# Finds the sessions that create an index and wait.
BUILDERS = {
    "mysql": "SELECT id AS pid FROM information_schema.processlist WHERE info LIKE 'CREATE INDEX%' "
    "AND state LIKE 'Waiting for table metadata lock%'",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' "
    "AND wait_event_type = 'Lock' AND datname = current_database()",
}
VALID = (
    "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE c.relname LIKE 'eventalarm_ix_alarm%'"
)
WAIT = {"mysql": "SET SESSION lock_wait_timeout = 10", "postgresql": "SET lock_timeout = '5s'"}


class Site:
    """A database with Aodh's tables, and other programs that write to it."""

    def __init__(self, url: str, spawn: Spawn, tmp_path: pathlib.Path) -> None:
        self.url = url
        self._spawn = spawn
        self._config = tmp_path / "aodh.conf"
        self._config.write_text(f"[database]\nconnection = {url}\n")
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.dialect = self.engine.dialect.name

    def writer(self) -> sa.Connection:
        """Return a connection with an open transaction that wrote to ``alarm``."""
        connection = self.engine.connect()
        self.write(connection)
        return connection

    def write(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(WAIT[self.dialect])
        connection.exec_driver_sql("UPDATE alarm SET state = 'alarm' WHERE alarm_id = 'none'")

    def dbsync(self) -> Process:
        return self._spawn([console_script("eventalarm-dbsync"), "--config-file", str(self._config)])

    def builders(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(BUILDERS[self.dialect])).scalars())

    def wait_for_builder(self) -> int:
        return wait_until(self.builders, 30, "a session that makes an index waits")[0]

    def indexes(self) -> dict[str, bool]:
        """Return the indexes of PostgreSQL that are ours on ``alarm``, and whether each is valid."""
        with self.engine.connect() as connection:
            return {str(name): bool(valid) for name, valid in connection.execute(sa.text(VALID))}

    def state(self) -> SchemaState:
        opened = database.connect(self.url)
        try:
            return schema.check(opened).state
        finally:
            opened.dispose()


@pytest.fixture
def postgresql_site(aodh_postgresql_url: str, spawn: Spawn, tmp_path: pathlib.Path) -> Site:
    return Site(aodh_postgresql_url, spawn, tmp_path)


@pytest.fixture
def mariadb_site(aodh_mariadb_url: str, spawn: Spawn, tmp_path: pathlib.Path) -> Site:
    return Site(aodh_mariadb_url, spawn, tmp_path)


@pytest.mark.parametrize("site", ["postgresql_site", "mariadb_site"])
def test_writers_go_on_while_dbsync_waits_for_an_open_transaction(
    site: str, request: pytest.FixtureRequest
) -> None:
    """Before the fix: on PostgreSQL every other writer waited behind CREATE INDEX as long as it did."""
    at: Site = request.getfixturevalue(site)
    with at.writer() as held:
        dbsync = at.dbsync()
        at.wait_for_builder()
        for _ in range(3):
            with at.engine.begin() as other:
                at.write(other)
        assert dbsync.popen.poll() is None
        held.rollback()
    assert dbsync.wait() == 0, dbsync.text()
    assert at.state() is SchemaState.CURRENT
    assert {str(index["name"]) for index in sa.inspect(at.engine).get_indexes("alarm")} >= INDEXES


def test_an_invalid_index_of_an_ended_session_is_recreated(postgresql_site: Site) -> None:
    """A killed session leaves an index that exists but is not valid."""
    site = postgresql_site
    with site.writer() as held:
        dbsync = site.dbsync()
        builder = site.wait_for_builder()
        with site.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({builder})")
        assert dbsync.wait() == 2
        assert dbsync.text().count("\n") == 1, dbsync.text()
        assert set(site.indexes().values()) == {False}
        held.rollback()
    assert site.state() is SchemaState.MISSING
    again = site.dbsync()
    assert again.wait() == 0, again.text()
    assert site.indexes() == dict.fromkeys(INDEXES, True)


@pytest.mark.parametrize("site", ["postgresql_site", "mariadb_site"])
def test_dbsync_after_a_kill_waits_for_the_index_of_the_killed_session(
    site: str, request: pytest.FixtureRequest
) -> None:
    """The session of a killed process still finishes its index, and blocks others until then."""
    at: Site = request.getfixturevalue(site)
    with at.writer() as held:
        killed = at.dbsync()
        at.wait_for_builder()
        killed.kill()
        again, third = at.dbsync(), at.dbsync()
        with at.engine.begin() as other:
            at.write(other)
        held.rollback()
    assert (again.wait(), third.wait()) == (0, 0), (again.text(), third.text())
    assert at.state() is SchemaState.CURRENT
    if at.dialect == "postgresql":
        assert at.indexes() == dict.fromkeys(INDEXES, True)


def test_two_dbsyncs_beside_an_open_transaction_do_not_deadlock(postgresql_site: Site) -> None:
    """The process that waits for the other must hold no snapshot, or both would wait for each other."""
    at = postgresql_site
    with at.writer() as held:
        both = [at.dbsync(), at.dbsync()]
        at.wait_for_builder()
        held.rollback()
    assert [one.wait() for one in both] == [0, 0], [one.text() for one in both]
    assert at.state() is SchemaState.CURRENT
