"""Upgrade to the schema of this release; a module of its own, so that services do not import Alembic."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from eventalarm.exceptions import Retryable, SchemaError
from eventalarm.storage.database import Database
from eventalarm.storage.schema import SchemaState, SchemaStatus, check, look

LOCK_NAME: Final = "eventalarm_dbsync"
LOCKING: Final = {
    "postgresql": {
        "lock": "SELECT pg_try_advisory_lock(hashtext(:name))",
        "unlock": "SELECT pg_advisory_unlock(hashtext(:name))",
    },
    "mysql": {"lock": "SELECT get_lock(:name, :timeout)", "unlock": "SELECT release_lock(:name)"},
}
POOLED: Final = (
    "[database] connection leads to a pooler (pgbouncer), behind which no lock outlives a transaction; run "
    "eventalarm-dbsync with a [database] connection that names the PostgreSQL server itself"
)
# Seconds between two tries of PostgreSQL's lock.
BETWEEN: Final = 0.2


def upgrade(database: Database, *, lock_timeout: float = 300.0) -> SchemaStatus:
    """Upgrade eventalarm's tables to the schema of this release; return the status that was found before.

    It can be repeated, run twice at once (one waits for the other, for at most *lock_timeout* seconds) and
    run after an upgrade that was interrupted.

    :raises SchemaError: if Aodh's schema is missing or too old, or eventalarm's is newer; nothing was
    changed.
    :raises Retryable: if the database failed, or the other upgrade took too long.
    """
    _require_upgradable(check(database))
    if database.pooled:
        raise SchemaError(POOLED)
    with database._sorting_errors(), _only_one(database.engine, lock_timeout) as connection:
        status = look(connection)
        if connection.dialect.name != "sqlite":
            # Alembic begins a transaction itself, and ends it where a revision needs none.
            connection.rollback()
        _require_upgradable(status)
        if status.state is not SchemaState.CURRENT:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return status


def _require_upgradable(status: SchemaStatus) -> None:
    if not status.upgradable:
        raise SchemaError(status.message)


def alembic_config() -> Config:
    """Return Alembic's configuration, which names the folder of the revisions."""
    config = Config()
    folder = pathlib.Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _only_one(engine: sa.Engine, timeout: float) -> Iterator[sa.Connection]:
    """Open a connection that excludes other upgrades until it is closed; it is in no transaction.

    The lock belongs to the session of the upgrade: it survives commits, and a server that still executes the
    statement of a killed process keeps it for as long. On SQLite it is a transaction.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alarm SET state = state WHERE 1 = 0")
            yield connection
        return
    with engine.connect() as connection:
        if not _lock(connection, timeout):
            raise Retryable(f"another eventalarm-dbsync has been at work for {timeout:g} seconds; try again")
        try:
            yield connection
        finally:
            if not (connection.closed or connection.invalidated):
                connection.rollback()
                connection.execute(_function("unlock", connection), {"name": LOCK_NAME})
                connection.rollback()


def _lock(connection: sa.Connection, timeout: float) -> bool:
    """Acquire the lock; return False after *timeout* seconds.

    On PostgreSQL it is polled: a statement that waits holds a snapshot, and an index that is created
    concurrently waits for the end of all snapshots.
    """
    given: dict[str, Any] = {"name": LOCK_NAME}
    if connection.dialect.name != "postgresql":
        given["timeout"] = timeout
    give_up = time.monotonic() + timeout
    while not (taken := connection.execute(_function("lock", connection), given).scalar()):
        connection.rollback()
        if time.monotonic() >= give_up:
            break
        time.sleep(BETWEEN)
    connection.rollback()
    return bool(taken)


def _function(kind: str, connection: sa.Connection) -> sa.TextClause:
    return sa.text(LOCKING["postgresql" if connection.dialect.name == "postgresql" else "mysql"][kind])
