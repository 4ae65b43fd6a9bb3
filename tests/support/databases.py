"""Fresh databases for tests: empty, with Aodh's tables, or with ours too; migrations run once per engine."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
from collections.abc import Callable
from functools import partial
from typing import Protocol

import sqlalchemy as sa

from eventalarm.storage import database as storage
from eventalarm.storage.migrations import VERSION_TABLE
from eventalarm.storage.upgrade import upgrade
from tests.support.galera import Galera
from tests.support.helpers import create_aodh_schema

VERSION_TABLES = ("alembic_version", VERSION_TABLE)
_NUMBERS = itertools.count()


class Databases(Protocol):
    """One engine's supply of databases."""

    def empty(self) -> str:
        """Return the URL of a new, empty database."""

    def with_aodh(self) -> str:
        """Return the URL of a new database that holds Aodh's tables and no rows."""

    def with_ours(self) -> str:
        """Return the URL of a new database that holds Aodh's tables and ours, and no rows."""


def _new_name() -> str:
    return f"t{os.getpid()}_{next(_NUMBERS)}"


def _execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _upgrade(url: str) -> str:
    """Create our tables beside Aodh's with our migrations; return the URL of the database."""
    database = storage.connect(url)
    upgrade(database)
    database.dispose()
    return url


class SqliteDatabases:
    """Files in one directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._aodh = ""
        self._ours = ""

    def empty(self) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{self._directory / _new_name()}.sqlite"

    def with_aodh(self) -> str:
        """Return the URL of a copy of a file with Aodh's tables."""
        if not self._aodh:
            self._aodh = self.empty()
            create_aodh_schema(self._directory, self._aodh)
        return self._copy(self._aodh)

    def with_ours(self) -> str:
        """Return the URL of a copy of a file with Aodh's tables and ours."""
        self._ours = self._ours or _upgrade(self.with_aodh())
        return self._copy(self._ours)

    def _copy(self, template: str) -> str:
        url = self.empty()
        shutil.copyfile(template.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        return url


class PostgresqlDatabases:
    """Databases of one server; PostgreSQL copies a template by itself.

    :param url: returns the URL of a database by its name.
    """

    def __init__(self, url: Callable[[str], str], directory: pathlib.Path) -> None:
        self._url = url
        self._directory = directory
        self._aodh = ""
        self._ours = ""

    def empty(self) -> str:
        """Return the URL of a new database."""
        return self._create()

    def with_aodh(self) -> str:
        """Return the URL of a copy of the database with Aodh's tables."""
        if not self._aodh:
            url = self._create()
            create_aodh_schema(self._directory, url)
            self._aodh = url.rpartition("/")[2]
        return self._create(self._aodh)

    def with_ours(self) -> str:
        """Return the URL of a copy of the database with Aodh's tables and ours."""
        self._ours = self._ours or _upgrade(self.with_aodh()).rpartition("/")[2]
        return self._create(self._ours)

    def _create(self, template: str = "template1") -> str:
        name = _new_name()
        _execute(self._url("postgres"), f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url(name)


class MariadbDatabases:
    """Databases of one server; tables are recreated from the output of SHOW CREATE TABLE.

    :param url: returns the URL of a database by its name.
    """

    def __init__(self, url: Callable[[str], str], directory: pathlib.Path) -> None:
        self._url = url
        self._directory = directory
        self._aodh: list[str] = []
        self._ours: list[str] = []

    def empty(self) -> str:
        """Return the URL of a new database."""
        name = _new_name()
        _execute(self._url("mysql"), f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self._url(name)

    def with_aodh(self) -> str:
        """Return the URL of a new database with Aodh's tables."""
        url = self.empty()
        if self._aodh:
            _execute(url, *self._aodh)
        else:
            create_aodh_schema(self._directory, url)
            self._aodh = self._read(url)
        return url

    def with_ours(self) -> str:
        """Return the URL of a new database with Aodh's tables and ours."""
        if not self._ours:
            url = _upgrade(self.with_aodh())
            self._ours = self._read(url)
            return url
        url = self.empty()
        _execute(url, *self._ours)
        return url

    @staticmethod
    def _read(url: str) -> list[str]:
        """Return the statements that create the tables of a database and the rows of its version tables."""
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        made, noted = [], []
        with engine.connect() as connection:
            for (table,) in connection.exec_driver_sql("SHOW TABLES").all():
                made.append(connection.exec_driver_sql(f"SHOW CREATE TABLE `{table}`").one()[1])
                if table in VERSION_TABLES:
                    version = connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar_one()
                    noted.append(f"INSERT INTO {table} (version_num) VALUES ('{version}')")
        return ["SET foreign_key_checks = 0", *made, *noted]


class GaleraDatabases:
    """Databases of a cluster, by two of its nodes."""

    def __init__(self, cluster: Galera, directory: pathlib.Path) -> None:
        self._cluster = cluster
        self._databases = MariadbDatabases(partial(cluster.url, "a"), directory)

    def with_ours(self) -> tuple[str, str]:
        """Return the URLs, one for each node, of a new database with Aodh's tables and ours."""
        one = self._databases.with_ours()
        other = self._cluster.url("b", one.rpartition("/")[2])
        _execute(other, "SET SESSION wsrep_sync_wait = 15", "SELECT count(*) FROM eventalarm_leader_lease")
        return one, other
