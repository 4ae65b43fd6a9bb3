"""Repeated HTTP requests to a real API on a filled database, timed one after the other."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import stats
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context
from tests.support.helpers import Process, aodh_config, console_script

WARM_UP = 10


@dataclass(frozen=True)
class Ask:
    """One repeated request; ``least`` is the minimum number of entries in its response."""

    case: str
    path: str
    least: int = 0


class Consumer:
    """A client that reuses one connection."""

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
def serving(command: str, group: str, url: str, directory: pathlib.Path) -> Iterator[int]:
    """Run the API *command*, whose options are in *group*, on the database at *url*; yields its port."""
    directory.mkdir()
    conf = aodh_config(directory, url, "fake://", **{group: {"port": 0, "auth_mode": "noauth"}})
    process = Process([console_script(command), "--config-file", str(conf)], directory / f"{command}.log")
    try:
        yield int(process.wait_for_log(r"Serving on http://\S+:(\d+)")[1])
    finally:
        process.close()


def measure(
    name: str, context: Context, consumer: Consumer, ask: Ask, contender: Contender
) -> Iterator[Measurement]:
    """Repeat a request in the scenario *name*; yield p50 and p99 in milliseconds."""
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
        yield Measurement(name, ask.case, metric, "ms", contender, tuple(samples))
