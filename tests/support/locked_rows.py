"""Rows of alarms that stay locked, and listeners that wait for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from tests.support.cloud import Cloud
from tests.support.helpers import wait_until

WAITING = {
    "mysql": "SELECT variable_value + 0 AS n FROM information_schema.global_status "
    "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
    "postgresql": "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
}


@contextlib.contextmanager
def locked(cloud: Cloud, *alarms: str) -> Iterator[None]:
    """Keep the rows of *alarms* locked, as a program other than eventalarm might."""
    engine = sa.create_engine(cloud.database_url, poolclass=sa.NullPool)
    query = sa.text("SELECT alarm_id FROM alarm WHERE alarm_id IN :ids FOR UPDATE")
    with engine.begin() as connection:
        connection.execute(query.bindparams(sa.bindparam("ids", expanding=True)), {"ids": list(alarms)})
        yield


def wait_for_waiter(cloud: Cloud) -> None:
    """Return as soon as a session waits for a row."""
    query = WAITING[cloud.database.dialect]
    wait_until(lambda: cloud.rows(query)[0]["n"], what="the listener waits for the row")
