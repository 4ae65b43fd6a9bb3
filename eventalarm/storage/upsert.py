"""Insert or replace rows in one statement, as each database says it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite


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
