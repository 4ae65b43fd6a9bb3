"""Deliveries: how long a tenant waits for a page of them, by HTTP from a real ``eventalarm-ingest-api``.

The floor is the OpenAPI document of the same process: HTTP and falcon without policy or database.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator

import sqlalchemy as sa

from benchmarks.measurement import Contender, Measurement
from benchmarks.progress import Progress
from benchmarks.requests import Ask, Consumer, measure, serving
from benchmarks.scenarios.context import Context
from eventalarm.storage import tables
from eventalarm.storage.database import Database, connect
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.upgrade import upgrade
from tests.support.delivery_rows import SECOND, START, delivery_row, put

NAME = "deliveries"
FLOOR = "/v1/openapi.json"
FIRST = 5000
PROJECT, OTHER = "tenant", "another"
# One of so many deliveries has failed, is of the rare alarm, and goes to the rare destination.
RARE = 1000


def _first(number: int) -> dict[str, object]:
    project = PROJECT if number % 10 else OTHER
    if number % RARE == 1:
        rare = {"alarm_id": "rare", "action": "https://rare.example.org/hook"}
        return delivery_row(project, number, "failed", **rare)
    return delivery_row(
        project, number, "delivered", alarm_id=f"alarm-{number % 100}", latency=number / FIRST
    )


def fill(database: Database, number: int, progress: Progress) -> None:
    """Write about *number* deliveries: some rows, then copies of all rows until there are enough."""
    table = tables.delivery
    put(database, [_first(row) for row in range(min(FIRST, number))])
    copied = [column for column in table.columns if column.name not in ("seq", "delivery_id")]
    written = min(FIRST, number)
    while written < number:
        new_id = sa.func.md5(sa.func.concat(table.c.delivery_id, f"/{written}"))
        query = sa.select(new_id, *copied).order_by(table.c.seq).limit(number - written)
        insert = sa.insert(table).from_select(["delivery_id", *(column.name for column in copied)], query)
        with database.begin() as connection:
            connection.execute(insert)
        # Drivers do not all know how many rows such a statement wrote.
        written = min(2 * written, number)
        progress.say(f"{written:,} deliveries")
    word = "ANALYZE" if database.dialect == "postgresql" else "ANALYZE TABLE"
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"{word} {table.name}")


def asks() -> list[Ask]:
    """Return the requests of a tenant."""
    path = "/v1/deliveries?limit=100"
    middle = urllib.parse.quote((START + FIRST // 2 * SECOND).isoformat())
    return [
        Ask("first page", path, 100),
        Ask("a page in the middle", f"{path}&until={middle}", 100),
        Ask("delivered", f"{path}&state=delivered", 100),
        Ask("failed, one of a thousand", f"{path}&state=failed", 1),
        Ask("of a rare alarm", f"{path}&alarm_id=rare", 1),
        Ask("to a rare destination", f"{path}&destination=https://rare.example.org"),
        Ask("all projects", f"{path}&all_projects=true", 100),
        Ask("destinations", "/v1/destinations", 1),
    ]


def plan(database: Database) -> str:
    """Return how the database reads a page, in its own words."""
    said: list[str] = []

    def explain(
        connection: sa.Connection, _cursor: object, statement: str, values: object, *_more: object
    ) -> None:
        if not statement.startswith("EXPLAIN") and tables.delivery.name in statement:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", values)  # type: ignore[arg-type]
            said.extend(" ".join(map(str, row)) for row in rows)

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    try:
        DeliveryPages(database).page(Selection(project_id=PROJECT), None, 100)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", explain)
    return "\n".join(said)


def run(context: Context) -> Iterator[Measurement]:
    """Fill a database, then time requests."""
    url = context.ground.database_url()
    database = connect(url)
    try:
        upgrade(database)
        fill(database, context.options.size(1_000_000, 10_000), context.progress)
        context.progress.say(plan(database))
    finally:
        database.dispose()
    with serving("eventalarm-ingest-api", "eventalarm_ingest", url, context.directory / NAME) as port:
        consumer = Consumer(port, PROJECT)
        floor = Ask("a page without deliveries", FLOOR)
        yield from measure(NAME, context, consumer, floor, Contender.FLOOR)
        for ask in asks():
            if context.wants(ask.case):
                yield from measure(NAME, context, consumer, ask, Contender.EVENTALARM)
