"""IFA: how long an NFVO waits for a page of alarms, by HTTP from a real ``eventalarm-ifa-api``.

The floor is ``/vnffm/api_versions`` of the same process: HTTP and falcon without policy or database.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import pathlib
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import stats
from benchmarks.ifa_store import Filler, Store
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context
from eventalarm.storage.database import connect
from eventalarm.storage.upgrade import upgrade
from tests.support.helpers import Process, aodh_config, console_script

NAME = "ifa"
WARM_UP = 10
FLOOR = "/vnffm/api_versions"


@dataclass(frozen=True)
class Ask:
    """One repeated request; ``least`` is the minimum number of alarms in its response."""

    case: str
    path: str
    least: int = 0


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


class Consumer:
    """An NFVO that reuses one connection."""

    def __init__(self, port: int, project: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        roles = "admin,member,reader"
        self._headers = {"X-Project-Id": project, "X-User-Id": "benchmark", "X-Roles": roles}

    def ask(self, path: str, least: int) -> float:
        """Return the seconds until the response was read.

        :raises RuntimeError: if it is not the expected response.
        """
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200 or len(json.loads(text)) < least:
            raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
        return took


@contextlib.contextmanager
def serving(url: str, directory: pathlib.Path) -> Iterator[int]:
    """Run ``eventalarm-ifa-api`` on the database at *url*; yields its port."""
    directory.mkdir()
    options = {"port": 0, "auth_mode": "noauth"}
    conf = aodh_config(directory, url, "fake://", eventalarm_ifa=options)
    process = Process(
        [console_script("eventalarm-ifa-api"), "--config-file", str(conf)], directory / "ifa-api.log"
    )
    try:
        yield int(process.wait_for_log(r"Serving on http://\S+:(\d+)")[1])
    finally:
        process.close()


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
    with serving(url, context.directory / "ifa") as port:
        consumer = Consumer(port, store.project)
        yield from _measure(context, consumer, Ask("a page without alarms", FLOOR), Contender.FLOOR)
        for ask in asks(store, now):
            if context.wants(ask.case):
                yield from _measure(context, consumer, ask, Contender.EVENTALARM)


def _measure(context: Context, consumer: Consumer, ask: Ask, contender: Contender) -> Iterator[Measurement]:
    count = context.options.size(200, 20)
    found: dict[str, list[float]] = {"p50": [], "p99": []}
    for _ in range(WARM_UP):
        consumer.ask(ask.path, ask.least)
    for _ in range(context.options.repeats):
        times = []
        for done in range(count):
            times.append(consumer.ask(ask.path, ask.least) * 1000)
            context.progress.tick(f"{ask.case}: {done + 1} of {count}")
        for metric, samples in found.items():
            samples.append(stats.percentile(times, float(metric[1:])))
    for metric, samples in found.items():
        yield Measurement(NAME, ask.case, metric, "ms", contender, tuple(samples))
