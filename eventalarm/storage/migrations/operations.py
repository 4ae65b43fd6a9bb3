"""Repeatable steps of a revision, and the column types that revisions use.

MySQL commits every DDL statement at once, so a revision that was interrupted there must skip what is already
done. The types never change, as released revisions do not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from oslo_db import exception as db_exception
from sqlalchemy.dialects import mysql

from eventalarm.storage.errors import is_lock_timeout

ID: Final = sa.String(36)
ALARM_ID: Final = sa.String(128)
KEY: Final = sa.String(255)
LONG_TEXT: Final = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MOMENT: Final = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE_OPTIONS: Final[Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

# Seconds for which MySQL may queue other statements behind one wait, and for which the wait is retried.
MYSQL_WAIT: Final = 2
MYSQL_TRIES: Final = 300.0


def where(condition: str) -> dict[str, Any]:
    """Return the arguments of a partial index; MySQL, which has none, indexes all rows."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def where_postgresql(condition: str) -> dict[str, Any]:
    """Return the arguments of an index that is partial on PostgreSQL only."""
    return {"postgresql_where": sa.text(condition)}


def create_table(name: str, *elements: sa.Column[Any] | sa.UniqueConstraint | sa.Index) -> None:
    """Create the table *name* unless it exists, and each of its indexes that does not exist."""
    indexes = [one for one in elements if isinstance(one, sa.Index)]
    if not sa.inspect(op.get_bind()).has_table(name):
        others = [one for one in elements if not isinstance(one, sa.Index)]
        op.create_table(name, *others, **TABLE_OPTIONS)
    for index in indexes:
        create_index(str(index.name), name, *map(str, index.expressions), **index.dialect_kwargs)


def create_index(name: str, table: str, *columns: str, **options: Any) -> None:
    """Create the index *name* on *table* unless it exists; *options* are those of :func:`where`."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns), **options)


def create_index_online(name: str, table: str, *columns: str) -> None:
    """Create the index *name* on *table* unless it exists, while other transactions write to *table*.

    On PostgreSQL everything before it in the revision is committed. An invalid index, which a killed run left
    behind, is dropped first.
    """
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        _create_concurrently(name, table, columns)
    elif dialect in ("mysql", "mariadb"):
        _create_in_place(name, table, columns)
    else:
        create_index(name, table, *columns)


def _create_concurrently(name: str, table: str, columns: Sequence[str]) -> None:
    query = sa.text(
        "SELECT pg_index.indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = pg_index.indexrelid "
        "WHERE pg_class.relname = :name AND pg_index.indrelid = CAST(:table AS regclass)"
    )
    bind = op.get_bind()
    failed: Exception | None = None
    with op.get_context().autocommit_block():
        try:
            valid = bind.execute(query, {"name": name, "table": table}).scalar()
            if valid is False:
                op.drop_index(name, table, postgresql_concurrently=True)
            if not valid:
                op.create_index(name, table, list(columns), postgresql_concurrently=True)
        except (db_exception.DBError, sa.exc.DBAPIError) as exc:
            # Raised after the block: on a lost connection the end of the block fails too and would hide it.
            failed = exc
            bind.rollback()
    if failed is not None:
        raise failed


def _create_in_place(name: str, table: str, columns: Sequence[str]) -> None:
    """Wait for open transactions in short steps: other statements on the table queue behind each wait."""
    bind = op.get_bind()
    if name in {index["name"] for index in sa.inspect(bind).get_indexes(table)}:
        return
    quote = bind.dialect.identifier_preparer.quote
    keys = ", ".join(map(quote, columns))
    create = f"CREATE INDEX {quote(name)} ON {quote(table)} ({keys}) ALGORITHM=INPLACE LOCK=NONE"
    before = bind.exec_driver_sql("SELECT @@SESSION.lock_wait_timeout").scalar_one()
    bind.exec_driver_sql(f"SET SESSION lock_wait_timeout = {MYSQL_WAIT}")
    give_up = time.monotonic() + MYSQL_TRIES
    while True:
        try:
            bind.exec_driver_sql(create)
        except (db_exception.DBError, sa.exc.DBAPIError) as exc:
            if not is_lock_timeout(exc) or time.monotonic() > give_up:
                raise
            time.sleep(MYSQL_WAIT)
        else:
            break
    bind.exec_driver_sql(f"SET SESSION lock_wait_timeout = {before}")


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add *column* to *table* unless it exists."""
    if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
