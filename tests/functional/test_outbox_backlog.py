"""The cost of a pass over a long outbox is proportional to its length; in a soak test it took minutes."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import metadata

KEYS, DEEP = 1000, 6
RETRIED = datetime.datetime.now(UTC) + datetime.timedelta(hours=1)


def row(key: int, depth: int, project: str = "p") -> dict[str, object]:
    """The first delivery of half of the keys is leased, of the others due later; their successors wait."""
    state, owner, due = "pending", None, IN_TURN
    if not depth:
        state, owner, due = ("leased", "me", AT_ONCE) if key % 2 else ("pending", None, RETRIED)
    return {
        "delivery_id": str(uuid.uuid4()),
        "transition_id": str(uuid.uuid4()),
        "order_key": f"{key:064d}",
        "alarm_id": str(key),
        "project_id": project,
        "action": "http://consumer/",
        "state": state,
        "owner": owner,
        "next_attempt_at": due,
        "created_at": AT_ONCE,
    }


def freeze_statistics(engine: sa.Engine) -> None:
    """Make MariaDB's statistics assume two order keys, as may happen when an outbox grows fast."""
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE eventalarm_delivery STATS_PERSISTENT=1 STATS_AUTO_RECALC=0")
        connection.exec_driver_sql("ANALYZE TABLE eventalarm_delivery")
        connection.exec_driver_sql(
            "UPDATE mysql.innodb_index_stats SET stat_value = 2 WHERE database_name = DATABASE()"
            " AND index_name = 'ix_eventalarm_delivery_order' AND stat_name LIKE 'n_diff%%'"
        )
        connection.exec_driver_sql(
            "UPDATE mysql.innodb_table_stats SET n_rows = 6000 WHERE database_name = DATABASE()"
            " AND table_name = 'eventalarm_delivery'"
        )
        connection.commit()
        connection.exec_driver_sql("FLUSH TABLES eventalarm_delivery")


@pytest.fixture
def database(mariadb_url: str) -> Iterator[storage.Database]:
    database = storage.connect(mariadb_url)
    metadata.create_all(database.engine)
    freeze_statistics(database.engine)
    for depth in range(DEEP):
        with database.begin() as connection:
            connection.execute(tables.delivery.insert(), [row(key, depth) for key in range(KEYS)])
    yield database
    database.dispose()


def rows_touched(database: storage.Database) -> int:
    with database.read() as connection:
        # Rows that are discarded within an index are not counted as read.
        which = "variable_name LIKE 'Handler_read%' OR variable_name = 'Handler_icp_attempts'"
        counters = connection.execute(sa.text(f"SHOW SESSION STATUS WHERE {which}"))
        return sum(int(value) for _, value in counters)


@pytest.mark.parametrize("overlooked", [False, True])
def test_a_pass_over_a_long_outbox_reads_each_row_a_few_times(
    database: storage.Database, overlooked: bool
) -> None:
    """Fails without the index hint: MariaDB reads all leased rows again for each waiting one."""
    outbox = Outbox(database)
    outbox.register("me", "host", 1000.0)
    before = rows_touched(database)
    assert outbox.claim("me", 500, overlooked=overlooked) == []
    assert rows_touched(database) - before < 20 * KEYS * DEEP


def test_a_backlog_of_one_project_does_not_slow_a_pass(database: storage.Database) -> None:
    """Fails when the longest due of all projects come first: each pass reads the whole backlog."""
    due = [row(KEYS + number, 1, "greedy") | {"next_attempt_at": AT_ONCE} for number in range(KEYS * DEEP)]
    mine = row(9 * KEYS * DEEP, 1, "other") | {"next_attempt_at": RETRIED - datetime.timedelta(hours=2)}
    with database.begin() as connection:
        connection.execute(tables.delivery.insert(), [*due, mine])
    outbox = Outbox(database)
    outbox.register("me", "host", 1000.0)
    before = rows_touched(database)
    found = outbox.claim("me", 20, orphans=False)
    assert mine["delivery_id"] in {one.delivery_id for one in found}
    assert rows_touched(database) - before < KEYS
