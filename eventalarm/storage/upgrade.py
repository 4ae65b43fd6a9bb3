"""The way to the schema of this release. Apart from the look at it: services need not import Alembic."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from eventalarm.exceptions import Retryable, SchemaError
from eventalarm.storage.database import Database
from eventalarm.storage.schema import SchemaState, SchemaStatus, check, look

LOCK_NAME: Final = "eventalarm_dbsync"


def upgrade(database: Database, *, lock_timeout: float = 300.0) -> SchemaStatus:
    """Bring our tables to the schema of this release; return the status that was found before.

    Safe to repeat, to run twice at once (one waits for the other, *lock_timeout* seconds on MySQL) and to
    run after an upgrade that was interrupted.

    :raises SchemaError: when Aodh's schema is missing or too old, or ours is newer; nothing was changed.
    :raises Retryable: when the database failed, or the other upgrade took too long.
    """
    _require_upgradable(check(database))
    with database._sorting_errors(), _only_one(database.engine, lock_timeout) as connection:
        status = look(connection)
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
    """Return where Alembic finds the revisions."""
    config = Config()
    folder = pathlib.Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _only_one(engine: sa.Engine, timeout: float) -> Iterator[sa.Connection]:
    """Open a transaction that no other upgrade can open before this one is committed."""
    if engine.dialect.name in ("mysql", "mariadb"):
        with _named_lock(engine, timeout), engine.begin() as connection:
            yield connection
        return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("UPDATE alarm SET state = state WHERE 1 = 0")
        else:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LOCK_NAME})
        yield connection


@contextlib.contextmanager
def _named_lock(engine: sa.Engine, timeout: float) -> Iterator[None]:
    """Hold MySQL's lock on a connection of its own: it must outlive the commit of the work."""
    with engine.connect() as connection:
        if connection.execute(sa.select(sa.func.get_lock(LOCK_NAME, timeout))).scalar() != 1:
            raise Retryable(f"another eventalarm-dbsync has been at work for {timeout:g} seconds; try again")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.release_lock(LOCK_NAME)))
