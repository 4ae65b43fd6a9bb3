"""The schema on real databases: created, checked, upgraded twice, concurrently and after interruption."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from eventalarm.cmd import dbsync as command
from eventalarm.exceptions import Retryable, SchemaError
from eventalarm.status.checks import Level
from eventalarm.status.database_server import check_server
from eventalarm.storage import database, schema, stats, tables
from eventalarm.storage.migrations import REVISIONS, VERSION_TABLE
from eventalarm.storage.schema import SchemaState
from eventalarm.storage.tables import metadata
from eventalarm.storage.upgrade import _only_one, alembic_config, upgrade
from tests.support import inprocess

TIMESTAMP_INDEX = "eventalarm_ix_alarm_timestamp"


@pytest.fixture
def aodh_database(aodh_database_url: str) -> Iterator[database.Database]:
    """A database with Aodh's schema, once on each engine."""
    opened = database.connect(aodh_database_url)
    yield opened
    opened.dispose()


def execute(opened: database.Database, *statements: str) -> None:
    with opened.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def indexes(opened: database.Database, table: str) -> set[str]:
    return {str(index["name"]) for index in sa.inspect(opened.engine).get_indexes(table)}


def test_revisions_of_services_and_alembic_agree() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert list(REVISIONS) == [one.revision for one in script.walk_revisions()]


def test_an_upgrade_creates_the_schema_of_the_tables_module(aodh_database: database.Database) -> None:
    assert schema.check(aodh_database).state is SchemaState.MISSING
    upgrade(aodh_database)
    assert schema.check(aodh_database).state is SchemaState.CURRENT
    schema.require_current(aodh_database)

    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    def here(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        # Alembic does not ask for which dialects an index is.
        return kind != "index" or name != "ix_eventalarm_delivery_ready" or is_postgresql

    is_postgresql = aodh_database.dialect == "postgresql"
    with aodh_database.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": ours}
        options["include_object"] = here
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_upgrade_twice_changes_nothing(aodh_database: database.Database) -> None:
    assert upgrade(aodh_database).state is SchemaState.MISSING
    assert upgrade(aodh_database).state is SchemaState.CURRENT
    assert TIMESTAMP_INDEX in indexes(aodh_database, "alarm")


def test_upgrades_at_the_same_time(aodh_database_url: str) -> None:
    def run(_: int) -> SchemaState:
        opened = database.connect(aodh_database_url)
        try:
            return upgrade(opened).state
        finally:
            opened.dispose()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(run, range(4)))
    assert found == sorted([SchemaState.MISSING, *[SchemaState.CURRENT] * 3])


def test_upgrade_goes_on_where_another_was_interrupted(aodh_database: database.Database) -> None:
    with aodh_database.engine.begin() as connection:
        connection.execute(sa.schema.CreateTable(tables.occurrence))
        tables.worker.create(connection)
        connection.execute(sa.text(f"CREATE INDEX {TIMESTAMP_INDEX} ON alarm (timestamp)"))
    upgrade(aodh_database)
    assert "ix_eventalarm_occurrence_raised" in indexes(aodh_database, "eventalarm_occurrence")
    assert set(metadata.tables) <= set(sa.inspect(aodh_database.engine).get_table_names())


@pytest.fixture(params=["mariadb", "postgresql"])
def aodh_server_url(request: pytest.FixtureRequest) -> str:
    """A database with Aodh's schema, once on each engine that serves a cloud."""
    url: str = request.getfixturevalue(f"aodh_{request.param}_url")
    return url


def test_upgrade_gives_up_waiting_for_another(aodh_server_url: str) -> None:
    opened = database.connect(aodh_server_url)
    with _only_one(opened.engine, 1.0), pytest.raises(Retryable, match="another eventalarm-dbsync"):
        upgrade(opened, lock_timeout=0.1)
    assert schema.check(opened).state is SchemaState.MISSING
    assert upgrade(opened, lock_timeout=0.1).state is SchemaState.MISSING
    opened.dispose()


def test_the_lock_outlives_the_commit(aodh_server_url: str) -> None:
    opened, second = database.connect(aodh_server_url), database.connect(aodh_server_url)
    refused = []

    @sa.event.listens_for(opened.engine, "commit")
    def upgrade_too(_: sa.Connection) -> None:
        with pytest.raises(Retryable, match="another eventalarm-dbsync"):
            upgrade(second, lock_timeout=0.1)
        refused.append(True)

    upgrade(opened)
    assert refused
    assert upgrade(second).state is SchemaState.CURRENT
    opened.dispose()
    second.dispose()


def test_mariadb_tables_keep_case_and_microseconds(aodh_mariadb_url: str) -> None:
    opened = database.connect(aodh_mariadb_url)
    upgrade(opened)
    with opened.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT table_name, engine, table_collation FROM information_schema.tables "
                "WHERE table_schema = database() AND table_name LIKE 'eventalarm%'"
            )
        ).all()
        precision = connection.execute(
            sa.text(
                "SELECT DISTINCT datetime_precision FROM information_schema.columns WHERE table_schema = "
                "database() AND table_name LIKE 'eventalarm%' AND data_type = 'datetime'"
            )
        ).scalars()
        assert list(precision) == [6]
    assert {tuple(row) for row in rows if row[0] != VERSION_TABLE} == {
        (name, "InnoDB", "utf8mb4_bin") for name in metadata.tables
    }
    opened.dispose()


def test_real_servers_are_new_enough(aodh_server_url: str) -> None:
    opened = database.connect(aodh_server_url)
    found = check_server(opened, 1024 * 1024)
    assert found.level is Level.OK, found
    seen = stats.read_server(opened)
    assert seen.version
    assert seen.version in found.message
    assert (seen.max_packet > 0) == (opened.dialect == "mysql")
    opened.dispose()


def test_a_database_without_aodh_is_refused(database_url: str) -> None:
    opened = database.connect(database_url)
    assert schema.check(opened).state is SchemaState.AODH_MISSING
    with pytest.raises(SchemaError, match="run aodh-dbsync first"):
        upgrade(opened)
    assert sa.inspect(opened.engine).get_table_names() == []
    opened.dispose()


def test_a_database_of_an_old_aodh_is_refused(aodh_database: database.Database) -> None:
    execute(aodh_database, "ALTER TABLE alarm DROP COLUMN state_reason")
    with pytest.raises(SchemaError, match=r"no column alarm\.state_reason.*Aodh 5\.1"):
        upgrade(aodh_database)
    assert schema.check(aodh_database).state is SchemaState.AODH_OLD


def test_a_schema_newer_than_this_release_is_refused(aodh_database: database.Database) -> None:
    upgrade(aodh_database)
    execute(aodh_database, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    assert schema.check(aodh_database).state is SchemaState.NEWER
    with pytest.raises(SchemaError, match="9999"):
        upgrade(aodh_database)
    with pytest.raises(SchemaError, match="9999"):
        schema.require_current(aodh_database)


def dbsync(tmp_path: pathlib.Path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "aodh.conf"
    config.write_text(f"[database]\nconnection = {url}\n")
    return inprocess.run(command.main, "--config-file", str(config), *flags)


def test_the_command(aodh_sqlite_url: str, tmp_path: pathlib.Path) -> None:
    before = dbsync(tmp_path, aodh_sqlite_url, "--check")
    assert (before.returncode, before.stdout) == (1, "")
    assert "run eventalarm-dbsync" in before.stderr

    done = dbsync(tmp_path, aodh_sqlite_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "created" in done.stdout

    after = dbsync(tmp_path, aodh_sqlite_url, "--check")
    assert (after.returncode, after.stderr) == (0, "")
    assert f"current (revision {REVISIONS[0]})" in after.stdout

    version = dbsync(tmp_path, aodh_sqlite_url, "--version")
    assert version.stdout.endswith(f"(schema {REVISIONS[0]})\n")


def test_the_command_without_aodh(tmp_path: pathlib.Path) -> None:
    for flags in ([], ["--check"]):
        result = dbsync(tmp_path, f"sqlite:///{tmp_path}/empty.sqlite", *flags)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "aodh-dbsync" in result.stderr


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_the_command_without_a_database(tmp_path: pathlib.Path, scheme: str) -> None:
    result = dbsync(tmp_path, f"{scheme}://aodh:s3cret@127.0.0.1:1/aodh")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert "s3cret" not in result.stderr
