"""The state of the schema: what the database holds, what we need, and the way from one to the other."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from eventalarm.exceptions import Retryable, SchemaError
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.migrations import VERSION_TABLE

# alarm.state_reason is the newest of Aodh's columns that we use; the release that brought it.
OLDEST_AODH: Final = "Aodh 5.1 (Pike)"
LOCK_NAME: Final = "eventalarm_dbsync"

Columns = Mapping[str, frozenset[str]]


class SchemaState(enum.StrEnum):
    """What a look at the database found."""

    AODH_MISSING = "Aodh's schema is missing"
    AODH_OLD = "Aodh's schema is too old"
    MISSING = "missing"
    BEHIND = "behind"
    CURRENT = "current"
    NEWER = "newer than this release"


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a look found: ``found`` and ``wanted`` are revisions, ``lacking`` names of Aodh's schema."""

    state: SchemaState
    found: str
    wanted: str
    lacking: tuple[str, ...] = ()

    @property
    def upgradable(self) -> bool:
        """Tell whether :func:`upgrade` can lead to the schema that we need, or it is there already."""
        return self.state in (SchemaState.MISSING, SchemaState.BEHIND, SchemaState.CURRENT)

    @property
    def message(self) -> str:
        """Say it to a person, with the command that mends it."""
        names = ", ".join(self.lacking)
        match self.state:
            case SchemaState.AODH_MISSING:
                return f"Aodh's schema is missing (no table {names}); run aodh-dbsync first"
            case SchemaState.AODH_OLD:
                return (
                    f"Aodh's schema is too old (no column {names}); eventalarm needs the schema of "
                    f"{OLDEST_AODH} or later: upgrade Aodh and run aodh-dbsync first"
                )
            case SchemaState.MISSING:
                return "eventalarm's tables are missing; run eventalarm-dbsync"
            case SchemaState.BEHIND:
                return (
                    f"eventalarm's schema is at revision {self.found}, this release needs {self.wanted}; "
                    "run eventalarm-dbsync"
                )
            case SchemaState.NEWER:
                return (
                    f"eventalarm's schema is at revision {self.found}, which this release does not know (it "
                    f"ends at {self.wanted}); run the release of eventalarm that upgraded it, or a later one"
                )
        return f"eventalarm's schema is current (revision {self.found})"


def head_revision() -> str:
    """Return the revision of the schema that this release needs."""
    return ScriptDirectory.from_config(_alembic_config()).get_current_head() or ""


def check(database: Database) -> SchemaStatus:
    """Look at the database and change nothing.

    :raises Retryable: when the database does not answer.
    """
    with database.read() as connection:
        return _look(connection)


def require_current(database: Database) -> None:
    """Return when the database holds the schema that we need.

    :raises SchemaError: when it does not; the message names the command that mends it.
    :raises Retryable: when the database does not answer.
    """
    status = check(database)
    if status.state is not SchemaState.CURRENT:
        raise SchemaError(status.message)


def upgrade(database: Database, *, lock_timeout: float = 300.0) -> SchemaStatus:
    """Bring our tables to the schema of this release; return the status that was found before.

    Safe to repeat, to run twice at once (one waits for the other, *lock_timeout* seconds on MySQL) and to
    run after an upgrade that was interrupted.

    :raises SchemaError: when Aodh's schema is missing or too old, or ours is newer; nothing was changed.
    :raises Retryable: when the database failed, or the other upgrade took too long.
    """
    _require_upgradable(check(database))
    with database._sorting_errors(), _only_one(database.engine, lock_timeout) as connection:
        status = _look(connection)
        _require_upgradable(status)
        if status.state is not SchemaState.CURRENT:
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return status


def _require_upgradable(status: SchemaStatus) -> None:
    if not status.upgradable:
        raise SchemaError(status.message)


def _alembic_config() -> Config:
    config = Config()
    folder = pathlib.Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _look(connection: sa.Connection) -> SchemaStatus:
    inspector = sa.inspect(connection)
    names = set(inspector.get_table_names())
    columns = {
        name: frozenset(column["name"] for column in inspector.get_columns(name))
        for name in tables.aodh_metadata.tables
        if name in names
    }
    found = ""
    if VERSION_TABLE in names:
        version = sa.table(VERSION_TABLE, sa.column("version_num"))
        found = connection.execute(sa.select(version.c.version_num)).scalar() or ""
    script = ScriptDirectory.from_config(_alembic_config())
    return judge(columns, found, [revision.revision for revision in script.walk_revisions()])


def judge(columns: Columns, found: str, known: list[str]) -> SchemaStatus:
    """Decide what a database is that holds *columns* of Aodh's tables and revision *found* of ours.

    *known* are the revisions of this release, the newest first.
    """
    wanted = known[0]
    needed: dict[str, Any] = dict(tables.aodh_metadata.tables)
    missing = tuple(name for name in needed if name not in columns)
    if missing:
        return SchemaStatus(SchemaState.AODH_MISSING, found, wanted, missing)
    lacking = tuple(
        f"{name}.{column.name}"
        for name, table in needed.items()
        for column in table.columns
        if column.name not in columns[name]
    )
    if lacking:
        return SchemaStatus(SchemaState.AODH_OLD, found, wanted, lacking)
    if not found:
        return SchemaStatus(SchemaState.MISSING, found, wanted)
    if found not in known:
        return SchemaStatus(SchemaState.NEWER, found, wanted)
    return SchemaStatus(SchemaState.CURRENT if found == wanted else SchemaState.BEHIND, found, wanted)


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
