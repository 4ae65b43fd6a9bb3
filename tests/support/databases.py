"""Fresh databases for tests, of SQLite and of Galera too; migrations run once per engine."""

from __future__ import annotations

import pathlib
import shutil
from functools import partial

from eventalarm.trial.own_cloud.programs.configuration import create_aodh_schema
from eventalarm.trial.own_cloud.services.databases import (
    Databases,
    MariadbDatabases,
    PostgresqlDatabases,
    execute,
    new_name,
    with_our_tables,
)
from tests.support.galera import Galera

__all__ = ["Databases", "GaleraDatabases", "MariadbDatabases", "PostgresqlDatabases", "SqliteDatabases"]


class SqliteDatabases:
    """Files in one directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._aodh = ""
        self._ours = ""

    def empty(self) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{self._directory / new_name()}.sqlite"

    def with_aodh(self) -> str:
        """Return the URL of a copy of a file with Aodh's tables."""
        if not self._aodh:
            self._aodh = self.empty()
            create_aodh_schema(self._directory, self._aodh)
        return self._copy(self._aodh)

    def with_ours(self) -> str:
        """Return the URL of a copy of a file with Aodh's tables and ours."""
        self._ours = self._ours or with_our_tables(self.with_aodh())
        return self._copy(self._ours)

    def _copy(self, template: str) -> str:
        url = self.empty()
        shutil.copyfile(template.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        return url


class GaleraDatabases:
    """Databases of a cluster, by two of its nodes."""

    def __init__(self, cluster: Galera, directory: pathlib.Path) -> None:
        self._cluster = cluster
        self._databases = MariadbDatabases(partial(cluster.url, "a"), directory)

    def with_ours(self) -> tuple[str, str]:
        """Return the URLs, one for each node, of a new database with Aodh's tables and ours."""
        one = self._databases.with_ours()
        other = self._cluster.url("b", one.rpartition("/")[2])
        execute(other, "SET SESSION wsrep_sync_wait = 15", "SELECT count(*) FROM eventalarm_leader_lease")
        return one, other
