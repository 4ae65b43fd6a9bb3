"""Fresh databases: empty, with Aodh's tables, or with ours too; migrations run once per engine."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Protocol

import sqlalchemy as sa

from eventalarm.storage import database as storage
from eventalarm.storage.migrations import VERSION_TABLE
from eventalarm.storage.upgrade import upgrade
from eventalarm.trial.own_cloud.programs.configuration import create_aodh_schema

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


def new_name() -> str:
    """Return a name that no other database of this process and server has."""
    return f"t{os.getpid()}_{next(_NUMBERS)}"


def execute(url: str, *statements: str) -> None:
    """Execute statements, each committed by itself."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def with_our_tables(url: str) -> str:
    """Create our tables beside Aodh's with our migrations; return the URL of the database."""
    database = storage.connect(url)
    upgrade(database)
    database.dispose()
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
        self._ours = self._ours or with_our_tables(self.with_aodh()).rpartition("/")[2]
        return self._create(self._ours)

    def _create(self, template: str = "template1") -> str:
        name = new_name()
        execute(self._url("postgres"), f"CREATE DATABASE {name} TEMPLATE {template}")
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
        name = new_name()
        execute(self._url("mysql"), f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self._url(name)

    def with_aodh(self) -> str:
        """Return the URL of a new database with Aodh's tables."""
        url = self.empty()
        if self._aodh:
            execute(url, *self._aodh)
        else:
            create_aodh_schema(self._directory, url)
            self._aodh = self._read(url)
        return url

    def with_ours(self) -> str:
        """Return the URL of a new database with Aodh's tables and ours."""
        if not self._ours:
            url = with_our_tables(self.with_aodh())
            self._ours = self._read(url)
            return url
        url = self.empty()
        execute(url, *self._ours)
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
                    version = connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar_one()  # noqa: S608 - one of VERSION_TABLES
                    noted.append(f"INSERT INTO {table} (version_num) VALUES ('{version}')")  # noqa: S608 - as above
        return ["SET foreign_key_checks = 0", *made, *noted]
