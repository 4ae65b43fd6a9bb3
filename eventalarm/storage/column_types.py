"""Column types, and statements, that hide what differs between the supported databases."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from eventalarm.model import UTC

ID = sa.String(36)
ALARM_ID = sa.String(128)
KEY = sa.String(255)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# Three of four lists of actions and constraints are; reading JSON is a tenth of loading a project.
EMPTY_LIST: Final = "[]"


class UtcDateTime(sa.types.TypeDecorator[datetime.datetime]):
    """An aware UTC datetime, stored naive with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Ask MySQL and MariaDB for the microseconds that they leave out by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> Any:
        """Drop the time zone on the way in."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime.datetime | None:
        """Put the time zone back on the way out."""
        return value.replace(tzinfo=UTC) if value is not None else None


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as text, as Aodh keeps it; text that is not JSON reads as None instead of failing."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Encode on the way in."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode on the way out; one unreadable row must not stop the others (G6)."""
        if value == EMPTY_LIST:
            return []
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError):
            return None


def upserts(table: sa.Table, key: str) -> Mapping[str, sa.Insert]:
    """Return, by dialect, a statement that inserts a row or, where its *key* is there already, replaces it.

    *key* is the primary key. On MySQL any unique key counts, so the caller sees to it that rows do not clash
    on another one. A row replaced keeps what it is not given.
    """
    others = [column.name for column in table.columns if column.name != key]
    lite, post, my = sqlite.insert(table), postgresql.insert(table), mysql.insert(table)
    on_mysql = my.on_duplicate_key_update({name: my.inserted[name] for name in others})
    return {
        "sqlite": lite.on_conflict_do_update(
            index_elements=[key], set_={name: lite.excluded[name] for name in others}
        ),
        "postgresql": post.on_conflict_do_update(
            index_elements=[key], set_={name: post.excluded[name] for name in others}
        ),
        "mysql": on_mysql,
        "mariadb": on_mysql,
    }
