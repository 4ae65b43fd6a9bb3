"""Which database servers are new enough, by what they say of themselves."""

import pytest

from eventalarm.storage.schema import SchemaState, assess, too_old


@pytest.mark.parametrize(
    ("dialect", "version"),
    [
        ("mysql", "10.6.0-MariaDB"),
        ("mysql", "10.11.6-MariaDB-0+deb12u1"),
        ("mysql", "5.5.5-10.6.4-MariaDB-log"),
        ("mariadb", "11.4.2-MariaDB"),
        ("mysql", "8.0.36-0ubuntu0.22.04.1"),
        ("mysql", "8.0.mysql_aurora.3.04.0"),
        ("mysql", "9.1.0"),
        ("postgresql", "9.6.24"),
        ("postgresql", "15.5 (Debian 15.5-0+deb12u1)"),
        ("postgresql", "17beta1"),
        ("sqlite", ""),
        ("mysql", "unknown"),
    ],
)
def test_servers_that_are_new_enough(dialect: str, version: str) -> None:
    assert too_old(dialect, version) == ""


@pytest.mark.parametrize(
    ("dialect", "version", "words"),
    [
        (
            "mysql",
            "10.5.23-MariaDB",
            "MariaDB 10.5.23-MariaDB is too old: eventalarm needs MariaDB 10.6 or later",
        ),
        ("mysql", "5.5.5-10.3.39-MariaDB", "needs MariaDB 10.6 or later"),
        ("mysql", "5.7.44-log", "MySQL 5.7.44-log is too old: eventalarm needs MySQL 8.0 or later"),
        ("postgresql", "9.5.25", "needs PostgreSQL 9.6 or later"),
        ("mysql", "8.0.11-TiDB-v8.5.6", "cannot be used: it does not lock rows where SKIP LOCKED is given"),
    ],
)
def test_servers_that_are_too_old(dialect: str, version: str, words: str) -> None:
    assert words in too_old(dialect, version)


def test_no_schema_can_be_made_on_a_server_that_is_too_old() -> None:
    status = assess({}, "", ("0001",), too_old("mysql", "5.7.44"))
    assert status.state is SchemaState.SERVER_OLD
    assert not status.upgradable
    assert status.message.endswith("needs MySQL 8.0 or later; upgrade or replace the database server")
