"""The state of the schema and the server: what the database holds, and whether that is what is needed."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import re2
import sqlalchemy as sa

from eventalarm.exceptions import SchemaError
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.migrations import REVISIONS, VERSION_TABLE

# The release that added alarm.state_reason, the newest of Aodh's columns that are used.
OLDEST_AODH: Final = "Aodh 5.1 (Pike)"

# The first releases with SKIP LOCKED, and with limits on idle transactions.
OLDEST: Final[Mapping[str, tuple[int, int]]] = {"MariaDB": (10, 6), "MySQL": (8, 0), "PostgreSQL": (9, 6)}

Columns = Mapping[str, frozenset[str]]


class SchemaState(enum.StrEnum):
    """The state of the schema in a database."""

    SERVER_OLD = "the database server is too old"
    AODH_MISSING = "Aodh's schema is missing"
    AODH_OLD = "Aodh's schema is too old"
    MISSING = "missing"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead of this release, and compatible"
    NEWER = "newer than this release"


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The result of a check: ``found`` and ``wanted`` are revisions, ``lacking`` lists what is missing."""

    state: SchemaState
    found: str
    wanted: str
    lacking: tuple[str, ...] = ()

    @property
    def upgradable(self) -> bool:
        """Return True if the schema is that of this release or can be upgraded to it."""
        return self.state in (SchemaState.MISSING, SchemaState.BEHIND, SchemaState.CURRENT)

    @property
    def usable(self) -> bool:
        """Return True if services of this release can run on the schema, also beside those of the next."""
        return self.state in (SchemaState.CURRENT, SchemaState.AHEAD)

    @property
    def message(self) -> str:
        """Return a sentence for operators that names the remedy."""
        names = ", ".join(self.lacking)
        match self.state:
            case SchemaState.SERVER_OLD | SchemaState.AODH_MISSING:
                aodh = f"Aodh's schema is missing (no table {names}); run aodh-dbsync first"
                server = f"{names}; upgrade or replace the database server"
                return server if self.state is SchemaState.SERVER_OLD else aodh
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
            case SchemaState.NEWER | SchemaState.AHEAD:
                what = "works with" if self.usable else "does not know"
                return (
                    f"eventalarm's schema is at revision {self.found}, which this release {what} (it ends at "
                    f"{self.wanted}); run the release of eventalarm that upgraded it, or a later one"
                )
        return f"eventalarm's schema is current (revision {self.found})"


def check(database: Database) -> SchemaStatus:
    """Return the state of the schema; nothing is changed.

    :raises Retryable: if the database does not answer.
    """
    with database.read() as connection:
        return look(connection)


def require_current(database: Database) -> None:
    """Return if services of this release can run on the schema of the database.

    :raises SchemaError: if it does not; the message names the command that corrects it.
    :raises Retryable: if the database does not answer.
    """
    status = check(database)
    if not status.usable:
        raise SchemaError(status.message)


def look(connection: sa.Connection) -> SchemaStatus:
    """Return the state of the schema, read on an open connection; nothing is changed."""
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
    return assess(columns, found, REVISIONS, too_old(connection.dialect.name, version_of(connection)))


def assess(columns: Columns, found: str, known: Sequence[str], server: str = "") -> SchemaStatus:
    """Return the state of a database with *columns* of Aodh's tables and revision *found* of eventalarm's.

    *known* are the revisions of this release, the newest first; *server* is why the server is too old, or
    empty.
    """
    wanted = known[0]
    if server:
        return SchemaStatus(SchemaState.SERVER_OLD, found, wanted, (server,))
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
        return SchemaStatus(
            SchemaState.AHEAD if _is_compatible(found, wanted) else SchemaState.NEWER, found, wanted
        )
    return SchemaStatus(SchemaState.CURRENT if found == wanted else SchemaState.BEHIND, found, wanted)


def _is_compatible(found: str, wanted: str) -> bool:
    """Return True if the release of revision *wanted* works on the later revision *found*.

    The first two digits of a revision count the contractions, which remove only what the release before no
    longer used: a release works with everything up to the next contraction.
    """
    if not (found.isdigit() and len(found) == len(wanted) == 4 and found > wanted):
        return False
    return int(found[:2]) <= int(wanted[:2]) + 1


def too_old(dialect: str, version: str) -> str:
    """Return a sentence if a server of *dialect* with this *version* cannot be used; empty if it can."""
    if "tidb" in version.lower():
        # It names itself MySQL 8.0, and reads without a lock (pingcap/tidb issues 18207 and 69720).
        return f"TiDB {version.strip()} cannot be used: it does not lock rows where SKIP LOCKED is given"
    product = (
        "PostgreSQL" if dialect == "postgresql" else "MariaDB" if "mariadb" in version.lower() else "MySQL"
    )
    # Some proxies prefix MariaDB's version with the one that replication expects.
    numbers = re2.match(r"(\d+)(?:\.(\d+))?", version.strip().removeprefix("5.5.5-"))
    if dialect not in ("postgresql", "mysql", "mariadb") or numbers is None:
        return ""
    found = int(numbers[1]), int(numbers[2] or 0)
    oldest = OLDEST[product]
    if found >= oldest:
        return ""
    named = ".".join(map(str, oldest))
    return f"{product} {version.strip()} is too old: eventalarm needs {product} {named} or later"


def version_of(connection: sa.Connection) -> str:
    """Return the version of the server of an open *connection*; empty for SQLite."""
    query = {"postgresql": "SHOW server_version", "mysql": "SELECT VERSION()", "mariadb": "SELECT VERSION()"}
    asked = query.get(connection.dialect.name)
    return str(connection.exec_driver_sql(asked).scalar_one()) if asked else ""
