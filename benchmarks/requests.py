"""Repeated HTTP requests to a real API on a filled database, timed one after the other."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

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


@dataclass(frozen=True)
class Api:
    """A running API: its port, and the id of its process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Return the processor time that it has used so far."""
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system)


class Consumer:
    """A client that reuses one connection."""

    def __init__(self, api: Api, project: str) -> None:
        self.api = api
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
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
def serving(command: str, group: str, url: str, directory: pathlib.Path) -> Iterator[Api]:
    """Run the API *command*, whose options are in *group*, on the database at *url*."""
    directory.mkdir()
    conf = aodh_config(directory, url, "fake://", **{group: {"port": 0, "auth_mode": "noauth"}})
    process = Process([console_script(command), "--config-file", str(conf)], directory / f"{command}.log")
    try:
        port = int(process.wait_for_log(r"Serving on http://\S+:(\d+)")[1])
        yield Api(port, process.pid)
    finally:
        process.close()


def measure(
    name: str, context: Context, consumer: Consumer, ask: Ask, contender: Contender
) -> Iterator[Measurement]:
    """Repeat a request in the scenario *name*; yield p50, p99 and processor time of the API, in ms."""
    count = context.options.size(200, 20)
    found: dict[str, list[float]] = {"p50": [], "p99": []}
    processor: list[float] = []
    for _ in range(WARM_UP):
        consumer.ask(ask.path, ask.least)
    for _ in range(context.options.repeats):
        times = []
        began = consumer.api.processor_seconds()
        for done in range(count):
            times.append(consumer.ask(ask.path, ask.least) * 1000)
            context.progress.tick(f"{ask.case}: {done + 1} of {count}")
        processor.append((consumer.api.processor_seconds() - began) * 1000 / count)
        for metric, samples in found.items():
            samples.append(stats.percentile(times, float(metric[1:])))
    for metric, samples in (found | {"processor time": processor}).items():
        yield Measurement(name, ask.case, metric, "ms", contender, tuple(samples))
