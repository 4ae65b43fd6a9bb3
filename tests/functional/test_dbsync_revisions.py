"""Upgrades between revisions: a copy of the package with a second revision stands for a later release."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

import eventalarm
from eventalarm.exceptions import SchemaError
from eventalarm.storage import database, schema
from eventalarm.storage.migrations import REVISIONS
from eventalarm.storage.schema import SchemaState
from eventalarm.storage.upgrade import upgrade
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import WebhookSink

PACKAGE = pathlib.Path(eventalarm.__file__).parent
TABLE = "eventalarm_worker"
NEXT = "9999"
# One that only expands the schema: this release goes on working with it.
EXPANDED = f"{int(REVISIONS[0]) + 1:04}"
REVISION = f'''
import sqlalchemy as sa
from alembic import op
from eventalarm.storage.migrations import operations

revision = "NEXT"
down_revision = "{REVISIONS[0]}"


def upgrade() -> None:
    operations.add_column("{TABLE}", sa.Column("zone", sa.String(36)))
    op.execute("UPDATE {TABLE} SET zone = host WHERE zone IS NULL")
    operations.create_index("ix_{TABLE}_zone", "{TABLE}", "zone")
    operations.create_table("eventalarm_zone", sa.Column("name", sa.String(36), primary_key=True))
'''


class LaterRelease:
    """The commands of a release that has one more revision."""

    def __init__(self, directory: pathlib.Path, revision: str = NEXT) -> None:
        self._directory = directory
        copied = shutil.copytree(PACKAGE, directory / "eventalarm")
        migrations = copied / "storage" / "migrations"
        (migrations / "versions" / f"{revision}_zones.py").write_text(REVISION.replace("NEXT", revision))
        known = (migrations / "__init__.py").read_text()
        (migrations / "__init__.py").write_text(
            known.replace("REVISIONS = (", f'REVISIONS = ("{revision}", ')
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Python imports this release."""
        return {"PYTHONPATH": str(self._directory)}

    def dbsync(self, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run ``eventalarm-dbsync`` on the database at *url*."""
        config = self._directory / "aodh.conf"
        config.write_text(f"[database]\nconnection = {url}\n")
        command = [sys.executable, "-m", "eventalarm.cmd.dbsync", "--config-file", str(config), *flags]
        return subprocess.run(
            command,
            cwd=self._directory,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> LaterRelease:
    return LaterRelease(tmp_path_factory.mktemp("later"))


@pytest.fixture
def old(our_database_url: str) -> Iterator[database.Database]:
    """A database that this release has upgraded and used, once on each engine."""
    opened = database.connect(our_database_url)
    with opened.begin() as connection:
        insert = (
            f"INSERT INTO {TABLE} (worker_id, host, expires_at) VALUES ('w', 'h1', '2026-01-01 00:00:00')"
        )
        connection.execute(sa.text(insert))
    yield opened
    opened.dispose()


def test_an_older_schema_is_upgraded(
    old: database.Database, our_database_url: str, later: LaterRelease
) -> None:
    before = later.dbsync(our_database_url, "--check")
    assert (before.returncode, before.stdout) == (1, "")
    assert f"at revision {REVISIONS[0]}, this release needs {NEXT}; run eventalarm-dbsync" in before.stderr

    done = later.dbsync(our_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"eventalarm's schema was upgraded from revision {REVISIONS[0]} to {NEXT}\n"
    with old.read() as connection:
        assert connection.exec_driver_sql(f"SELECT zone FROM {TABLE}").scalars().all() == ["h1"]
    assert "eventalarm_zone" in sa.inspect(old.engine).get_table_names()

    after = later.dbsync(our_database_url, "--check")
    assert (after.returncode, after.stderr) == (0, "")
    assert f"current (revision {NEXT})" in after.stdout

    assert schema.check(old).state is SchemaState.NEWER
    with pytest.raises(SchemaError, match=NEXT):
        upgrade(old)


def test_an_interrupted_upgrade_goes_on(
    old: database.Database, our_database_url: str, later: LaterRelease
) -> None:
    with old.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {TABLE} ADD COLUMN zone VARCHAR(36)")
        connection.exec_driver_sql(f"CREATE INDEX ix_{TABLE}_zone ON {TABLE} (zone)")
    done = later.dbsync(our_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    with old.read() as connection:
        assert connection.exec_driver_sql(f"SELECT zone FROM {TABLE}").scalars().all() == ["h1"]
    assert "eventalarm_zone" in sa.inspect(old.engine).get_table_names()


def test_a_new_database_takes_all_revisions(aodh_database_url: str, later: LaterRelease) -> None:
    done = later.dbsync(aodh_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"eventalarm's tables were created (revision {NEXT})\n"
    opened = database.connect(aodh_database_url)
    assert "eventalarm_zone" in sa.inspect(opened.engine).get_table_names()
    opened.dispose()


def test_listeners_of_two_releases_run_side_by_side(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    """A listener of the old release that is restarted on the expanded schema must start, and evaluate."""
    later = LaterRelease(tmp_path / "later", EXPANDED)
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url)
    assert later.dbsync(our_mariadb_url).returncode == 0
    assert schema.check(cloud.database).state is SchemaState.AHEAD
    old, new = (
        (cloud.start_listener(), "old"),
        (spawn(listener_command(cloud), env=later.environment), "new"),
    )
    new[0].wait_for_log("Listening on topic")
    for process, name in (old, new):
        alarms = [cloud.create_alarm([webhook_sink.url(f"/{name}")], instance=name)]
        cloud.publish(make_event(name))
        webhook_sink.wait(1, f"/{name}")
        assert [t["kind"] for t in cloud.transitions(alarms[0])] == ["raised"]
        # The other one evaluates the next event alone.
        process.terminate()
    cloud.close()


def listener_command(cloud: Cloud) -> list[object]:
    """Return a command that runs the listener of the release on the path of Python."""
    code = "from eventalarm.cmd.listener import main; main()"
    return [sys.executable, "-c", code, "--config-file", cloud.conf_path]
