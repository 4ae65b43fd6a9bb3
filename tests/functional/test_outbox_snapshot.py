"""A transaction holds a snapshot of the outbox: old versions of rows stay; claims must not read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.storage import database as storage
from eventalarm.storage.claims import AT_ONCE, IN_TURN
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import delivery, metadata
from tests.functional.test_outbox_backlog import row

DONE = 2000
# Pages that a look at an outbox without a due delivery may read.
PAGES = 150
# What happens to a delivery that waited.
CHANGES: tuple[dict[str, Any], ...] = (
    {"state": "leased", "owner": "me", "next_attempt_at": AT_ONCE},
    {"state": "delivered", "owner": None},
)
FINISHED, WAITING = 200, 200


@pytest.fixture
def database(postgresql_url: str) -> Iterator[storage.Database]:
    """An outbox in which a snapshot is held, where many deliveries waited, were sent and were delivered."""
    database = storage.connect(postgresql_url)
    metadata.create_all(database.engine)
    engine = sa.create_engine(database.engine.url, isolation_level="REPEATABLE READ", poolclass=sa.NullPool)
    with engine.connect() as holder:
        holder.execute(sa.select(sa.func.count()).select_from(delivery))
        rows = [row(key, 1) | {"next_attempt_at": IN_TURN} for key in range(DONE)]
        with database.begin() as connection:
            connection.execute(delivery.insert(), rows)
        for change in CHANGES:
            with database.begin() as connection:
                connection.execute(sa.update(delivery).values(change))
        with database.begin() as connection:
            connection.execute(delivery.insert(), [row(DONE + 1, 0), row(DONE + 1, 1)])
        yield database
    database.dispose()


class Pages:
    """Counts the pages that each query reads, by executing it again."""

    def __init__(self, database: storage.Database) -> None:
        self._database = database
        self._asked: list[tuple[str, Any]] = []
        sa.event.listen(database.engine, "before_cursor_execute", self._keep)

    def _keep(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")) and "eventalarm_delivery" in statement:
            self._asked.append((statement, parameters))

    def read(self) -> dict[str, int]:
        """Return the number of pages by query."""
        sa.event.remove(self._database.engine, "before_cursor_execute", self._keep)
        found = {}
        with self._database.engine.connect() as connection:
            for statement, parameters in self._asked:
                asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
                answer = connection.exec_driver_sql(asked, parameters).scalar_one()
                (explained,) = json.loads(answer) if isinstance(answer, str) else answer
                plan = explained["Plan"]
                found[statement] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return found


def test_claims_do_not_read_what_a_held_snapshot_keeps(database: storage.Database) -> None:
    """Fails if the search for projects or for orphans reads the versions of deliveries that are finished."""
    outbox = Outbox(database)
    outbox.register("me", "host", 1000.0)
    assert outbox.claim("me", 100) == []
    pages = Pages(database)
    assert outbox.claim("me", 100) == []
    read = pages.read()
    assert len(read) >= 2
    assert sum(read.values()) < PAGES, read


def test_what_a_held_snapshot_keeps_of_an_order_key_is_read_once(database: storage.Database) -> None:
    """Fails if it is read again for each delivery that waits behind the first one."""
    rows = [row(4 * DONE, 1) for _ in range(FINISHED + WAITING)]
    key = str(rows[0]["order_key"])
    finished = delivery.c.delivery_id.in_([one["delivery_id"] for one in rows[:FINISHED]])
    with database.begin() as connection:
        # As the server does by itself, at times when nothing waits.
        connection.exec_driver_sql("ANALYZE eventalarm_delivery")
    with database.begin() as connection:
        connection.execute(delivery.insert(), rows)
    for change in CHANGES:
        with database.begin() as connection:
            connection.execute(sa.update(delivery).where(finished).values(change))
    outbox = Outbox(database)
    outbox.register("me", "host", 1000.0)
    pages = Pages(database)
    claimed = outbox.claim_next("me", [key])
    assert [one.delivery_id for one in claimed] == [rows[FINISHED]["delivery_id"]]
    read = pages.read()
    assert len(read) >= 2
    assert sum(read.values()) < 3 * PAGES, read


def test_orphans_are_found_beside_any_registered_workers(database: storage.Database) -> None:
    outbox = Outbox(database)
    names = ["a", "me", "z"]
    rows = [
        row(3 * DONE + number, 0) | {"state": "leased", "owner": owner, "next_attempt_at": AT_ONCE}
        for number, owner in enumerate(["0", "a", "b", "me", "n", "z", "zz"])
    ]
    with database.begin() as connection:
        connection.execute(delivery.insert(), rows)
    for name in names:
        outbox.register(name, "host", 1000.0)
    orphaned = [one["delivery_id"] for one in rows if one["owner"] not in names]
    found = outbox.claim("me", 100)
    assert [one.delivery_id for one in found] == orphaned
