"""Column types and table options, and what the supported databases store differently: texts, upserts."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from eventalarm.model import UTC

ID = sa.String(36)
ALARM_ID = sa.String(128)
KEY = sa.String(255)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLE_OPTIONS: Final[Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
# Holds eventalarm's tables, once the modules that declare them are imported.
metadata = sa.MetaData()


def eventalarm_table(name: str, *elements: sa.schema.SchemaItem) -> sa.Table:
    """Declare a table of eventalarm: a table of :data:`metadata` with our options on MySQL and MariaDB."""
    return sa.Table(name, metadata, *elements, **TABLE_OPTIONS)


# Three of four lists of actions and constraints are empty; parsing JSON is a tenth of loading a project.
EMPTY_LIST: Final = "[]"

KEY_LENGTH: Final = 255
AODH_TEXT_LENGTH: Final = 8000
DIGEST_LENGTH: Final = 32
CHUNK: Final = 500


class UtcDateTime(sa.types.TypeDecorator[datetime.datetime]):
    """An aware UTC datetime, stored naive with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return a type with microseconds, which MySQL and MariaDB omit by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> Any:
        """Remove the time zone of a value to be stored."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime.datetime | None:
        """Add the time zone to a stored value."""
        return value.replace(tzinfo=UTC) if value is not None else None


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON stored as text, as in Aodh; text that is not JSON is read as None instead of raising an error."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Encode a value to be stored."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode a stored value; one unreadable row must not stop the others (G6)."""
        if value == EMPTY_LIST:
            return []
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError):
            return None


class LongJsonText(JsonText):
    """JSON stored as text of any length."""

    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return MySQL's type for long text; that of other databases has no limit."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.LONGTEXT())
        return super().load_dialect_impl(dialect)


def clean(text: str) -> str:
    """Replace what UTF-8 or PostgreSQL cannot store: lone surrogates and NUL."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def to_key(text: str) -> str:
    """Return *text* as an indexed key: at most 255 characters, still distinct for distinct long texts.

    Trailing blanks are removed, since MySQL compares "a" and "a " as equal.
    """
    text = clean(text).rstrip()
    if len(text) <= KEY_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{text[: KEY_LENGTH - DIGEST_LENGTH - 1]}~{digest}"


def for_aodh(text: str) -> str:
    """Return *text* as Aodh's text columns can store it: three-byte UTF-8, 64 KiB with JSON escapes."""
    text = clean(text)
    if not text.isascii():
        text = "".join(c if ord(c) <= 0xFFFF else "\ufffd" for c in text)
    return text if len(text) <= AODH_TEXT_LENGTH else text[: AODH_TEXT_LENGTH - 1] + "…"


def in_chunks(items: Collection[str], size: int = CHUNK) -> Iterator[list[str]]:
    """Yield *items* in sorted lists of at most *size*: databases bound the parameters of a statement."""
    ordered = sorted(items)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


# The condition of a partial index of deliveries.
IS_UNFINISHED: Final = "state IN ('pending', 'leased', 'deferred')"


def partial(condition: str) -> dict[str, Any]:
    """Return the arguments of a partial index; MySQL, which has none, indexes all rows."""
    return {"sqlite_where": sa.text(condition), **of_postgresql(condition)}


def of_postgresql(condition: str) -> dict[str, Any]:
    """Return the arguments of an index that is partial on PostgreSQL only."""
    return {"postgresql_where": sa.text(condition)}


def insert_new(table: sa.Table) -> Mapping[str, sa.Insert]:
    """Return, by dialect, a statement that inserts rows and ignores those whose primary key is there."""
    lite, post, my = sqlite.insert(table), postgresql.insert(table), mysql.insert(table)
    # Unlike INSERT IGNORE, this ignores no other error.
    same = {column.name: table.c[column.name] for column in table.primary_key}
    on_mysql = my.on_duplicate_key_update(same)
    return {
        "sqlite": lite.on_conflict_do_nothing(),
        "postgresql": post.on_conflict_do_nothing(),
        "mysql": on_mysql,
        "mariadb": on_mysql,
    }


def upserts(table: sa.Table, key: str) -> Mapping[str, sa.Insert]:
    """Return, by dialect, a statement that inserts a row or updates the row with the same *key*.

    *key* is the primary key. On MySQL any unique key counts, so the caller ensures that rows do not clash on
    another one. Columns without a value keep theirs.
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
