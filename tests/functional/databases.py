"""Fresh databases for tests, empty or with Aodh's tables; Aodh's own migrations run once per engine."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
from typing import Protocol

import sqlalchemy as sa

from tests.functional.helpers import create_aodh_schema
from tests.functional.services import MariaDB, PostgreSQL

_NUMBERS = itertools.count()


class Databases(Protocol):
    """One engine's supply of databases."""

    def empty(self) -> str:
        """Return the URL of a new, empty database."""

    def with_aodh(self) -> str:
        """Return the URL of a new database that holds Aodh's tables and no rows."""


def _new_name() -> str:
    return f"t{os.getpid()}_{next(_NUMBERS)}"


def _execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


class SqliteDatabases:
    """Files in one directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._template: pathlib.Path | None = None

    def empty(self) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{self._directory / _new_name()}.sqlite"

    def with_aodh(self) -> str:
        """Return the URL of a copy of a file with Aodh's tables."""
        if self._template is None:
            self._template = self._directory / "aodh.sqlite"
            create_aodh_schema(self._directory, f"sqlite:///{self._template}")
        url = self.empty()
        shutil.copyfile(self._template, url.removeprefix("sqlite:///"))
        return url


class PostgresqlDatabases:
    """Databases of one server; PostgreSQL copies a template by itself."""

    def __init__(self, server: PostgreSQL, directory: pathlib.Path) -> None:
        self._server = server
        self._directory = directory
        self._template = ""

    def empty(self) -> str:
        """Return the URL of a new database."""
        return self._create()

    def with_aodh(self) -> str:
        """Return the URL of a copy of the database with Aodh's tables."""
        if not self._template:
            url = self._create()
            create_aodh_schema(self._directory, url)
            self._template = url.rpartition("/")[2]
        return self._create(self._template)

    def _create(self, template: str = "template1") -> str:
        name = _new_name()
        _execute(self._server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.url(name)


class MariadbDatabases:
    """Databases of one server; Aodh's tables are made again from what SHOW CREATE TABLE printed."""

    def __init__(self, server: MariaDB, directory: pathlib.Path) -> None:
        self._server = server
        self._directory = directory
        self._statements: list[str] = []

    def empty(self) -> str:
        """Return the URL of a new database."""
        name = _new_name()
        _execute(self._server.url("mysql"), f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self._server.url(name)

    def with_aodh(self) -> str:
        """Return the URL of a new database with Aodh's tables."""
        url = self.empty()
        if self._statements:
            _execute(url, *self._statements)
        else:
            create_aodh_schema(self._directory, url)
            self._statements = self._read(url)
        return url

    @staticmethod
    def _read(url: str) -> list[str]:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            tables = [row[0] for row in connection.exec_driver_sql("SHOW TABLES")]
            made = [connection.exec_driver_sql(f"SHOW CREATE TABLE `{table}`").one()[1] for table in tables]
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        stamp = f"INSERT INTO alembic_version (version_num) VALUES ('{version}')"
        return ["SET foreign_key_checks = 0", *made, stamp]
