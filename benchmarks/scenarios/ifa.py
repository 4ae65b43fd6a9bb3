"""IFA: how long an NFVO waits for a page of alarms, by HTTP from a real ``eventalarm-ifa-api``.

The floor is ``/vnffm/api_versions`` of the same process: HTTP and falcon without policy or database.
"""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Iterator

from benchmarks.ifa_store import Filler, Store
from benchmarks.measurement import Contender, Measurement
from benchmarks.requests import Ask, Consumer, measure, serving
from benchmarks.scenarios.context import Context
from eventalarm.storage.database import connect
from eventalarm.storage.upgrade import upgrade

NAME = "ifa"
FLOOR = "/vnffm/api_versions"


def asks(store: Store, now: datetime.datetime) -> list[Ask]:
    """Return the requests about *store*."""
    hour = urllib.parse.quote((now - datetime.timedelta(hours=1)).isoformat())
    minutes = urllib.parse.quote((now - datetime.timedelta(minutes=10)).isoformat())
    ifa, sol = "/ifa/v1/alarms?limit=100", "/vnffm/v1/alarms?"
    everywhere, late = "all_projects=true", f"(gte,alarmRaisedTime,{hour})"
    one = f"/ifa/v1/alarms/{store.alarm_id}"
    return [
        Ask("first page, all projects", f"{ifa}&{everywhere}", 100),
        Ask("first page, one project", ifa, 100),
        Ask(
            "CRITICAL or MAJOR of the last hour, all projects",
            f"{ifa}&{everywhere}&severity=CRITICAL,MAJOR&raised_after={hour}",
        ),
        Ask(
            "CRITICAL or MAJOR of the last hour, one project",
            f"{ifa}&severity=CRITICAL,MAJOR&raised_after={hour}",
        ),
        Ask(
            "CRITICAL of the last ten minutes, all projects",
            f"{ifa}&{everywhere}&severity=CRITICAL&raised_after={minutes}",
        ),
        Ask("SOL003: first page, all projects", f"{sol}{everywhere}", 100),
        Ask(
            "SOL003: CRITICAL of the last hour, all projects",
            f"{sol}{everywhere}&filter=(eq,perceivedSeverity,CRITICAL);{late}",
        ),
        Ask("one alarm", one),
        Ask("history of one alarm", f"{one}/history"),
    ]


def run(context: Context) -> Iterator[Measurement]:
    """Fill a database, then time requests."""
    alarms = context.options.size(100_000, 2000)
    now = datetime.datetime.now(datetime.UTC)
    url = context.ground.database_url()
    database = connect(url)
    try:
        upgrade(database)
        store = Filler(database.engine, alarms, context.options.seed, now).fill(context.progress)
    finally:
        database.dispose()
    context.progress.say(f"{store.alarms:,} alarms with {store.transitions:,} transitions")
    with serving("eventalarm-ifa-api", "eventalarm_ifa", url, context.directory / "ifa") as api:
        consumer = Consumer(api, store.project)
        yield from measure(NAME, context, consumer, Ask("a page without alarms", FLOOR), Contender.FLOOR)
        for ask in asks(store, now):
            if context.wants(ask.case):
                yield from measure(NAME, context, consumer, ask, Contender.EVENTALARM)
