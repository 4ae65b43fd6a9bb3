"""Pages: how long a tenant waits for a page of deliveries or of recorded events, by HTTP.

They come from a real ``eventalarm-ingest-api``. The floor is the OpenAPI document of the same process: HTTP
and falcon without policy or database.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from benchmarks.measurement import Contender, Measurement
from benchmarks.page_store import FIRST, PROJECT, PageStore
from benchmarks.requests import Ask, Consumer, measure, serving
from benchmarks.scenarios.context import Context
from eventalarm.http.responses import MARKER, encode_marker
from eventalarm.storage.database import Database, connect
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.recorded_event_pages import EventSelection, RecordedEventPages
from eventalarm.storage.upgrade import upgrade
from tests.support.delivery_rows import SECOND, START

NAME = "pages"
FLOOR = "/v1/openapi.json"
MIDDLE = (START + FIRST // 2 * SECOND).isoformat()


def asks() -> list[Ask]:
    """Return the requests of a tenant."""
    deliveries, events = "/v1/deliveries?limit=100", "/v1/events?limit=100"
    middle = urllib.parse.quote(MIDDLE)
    hour = urllib.parse.quote((START + (FIRST // 2 - 3600) * SECOND).isoformat())
    span = f"since={hour}&until={middle}"
    return [
        Ask("deliveries: first page", deliveries, 100),
        Ask("deliveries: page 5,000", f"{deliveries}&{_deep(2**62)}", 100),
        Ask("deliveries: of an hour", f"{deliveries}&{span}", 100),
        Ask("deliveries: delivered", f"{deliveries}&state=delivered", 100),
        Ask("deliveries: failed, one of a thousand", f"{deliveries}&state=failed", 1),
        Ask("deliveries: of a rare alarm", f"{deliveries}&alarm_id=rare", 1),
        Ask("deliveries: of an alarm with 10,000", f"{deliveries}&alarm_id=alarm-7"),
        Ask("deliveries: to a rare destination", f"{deliveries}&destination=https://rare.example.org"),
        Ask(
            "deliveries: alarm, destination, state and time",
            f"{deliveries}&alarm_id=alarm-7&destination=https://tenant.example.org&state=delivered&{span}",
        ),
        Ask("deliveries: all projects", f"{deliveries}&all_projects=true", 100),
        Ask("destinations", "/v1/destinations", 1),
        Ask("events: first page", events, 100),
        Ask("events: page 5,000", f"{events}&{_deep('~')}", 100),
        Ask("events: of an hour", f"{events}&{span}", 100),
        Ask("events: of a rare type", f"{events}&event_type=rare.event"),
        Ask("events: of an object", f"{events}&managed_object=vm-7", 1),
        Ask("events: of an object, in an hour", f"{events}&managed_object=vm-7&{span}", 1),
        Ask("events: all projects", f"{events}&all_projects=true", 100),
    ]


def _deep(rest: int | str) -> str:
    """Return the marker of a page in the middle."""
    return f"{MARKER}={urllib.parse.quote(encode_marker([MIDDLE, rest]))}"


def plans(database: Database) -> str:
    """Return how the database reads a page of each kind, in its own words."""
    said: list[str] = []

    def explain(
        connection: sa.Connection, _cursor: object, statement: str, values: Any, *_more: object
    ) -> None:
        if statement.startswith(("SELECT", "WITH")):
            said.extend(
                " ".join(map(str, row)) for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            )

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    try:
        DeliveryPages(database).page(Selection(project_id=PROJECT), None, 100)
        RecordedEventPages(database).page(EventSelection(project_id=PROJECT), None, 100)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", explain)
    return "\n".join(said)


def run(context: Context) -> Iterator[Measurement]:
    """Fill a database, then time requests."""
    url = context.ground.database_url()
    database = connect(url)
    try:
        upgrade(database)
        PageStore(database, context.options.size(1_000_000, 10_000), context.progress).fill()
        context.progress.say(plans(database))
    finally:
        database.dispose()
    with serving("eventalarm-ingest-api", "eventalarm_ingest", url, context.directory / NAME) as api:
        consumer = Consumer(api, PROJECT)
        floor = Ask("a page without rows", FLOOR)
        yield from measure(NAME, context, consumer, floor, Contender.FLOOR)
        for ask in asks():
            if context.wants(ask.case):
                yield from measure(NAME, context, consumer, ask, Contender.EVENTALARM)
