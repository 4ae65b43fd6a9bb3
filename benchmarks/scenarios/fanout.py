"""Fan-out: one report that a host is down, and one that it is back; when are the owners notified of each?

Real ingest API, inspector and listener. Each time runs from just before the report is posted to the arrival
of a webhook at the sink. Every server has its own project and alarm, which are new: the listener loads them.
As many servers of the same projects, with alarms of their own, run on another host; their owners must receive
nothing. The resource map is written before; how events and snapshots keep it is not measured.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import Arena
from benchmarks.children import Arrival
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context
from benchmarks.stats import percentile
from eventalarm.inspector.fan_out import event_id
from eventalarm.model import Resource, ResourceKind
from eventalarm.storage.database import connect
from eventalarm.storage.resource_map import ResourceMap
from eventalarm.trial.own_cloud import broker_queue
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, alarm_id_of, project_name, resource_name
from tests.support.helpers import Process, console_script, write_config

NAME = "fanout"
OWNERS = (10, 100, 1000)
SHARES = {"p50": 50.0, "p99": 99.0, "max": 100.0}
REPORTS = ("down", "up")
WARM = 50
TIMEOUT = 60.0
GRACE = 0.5
QUEUE = "eventalarm-inspector"
IDENTITY = {"X-Project-Id": "operators", "X-User-Id": "monitor", "X-Roles": "service"}


@dataclass(frozen=True)
class HostAlarm(AlarmSpec):
    """An owner's alarm on the host of its server being down."""

    def rule(self) -> dict[str, Any]:
        """Return the event rule, as a user of the Aodh API writes it."""
        conditions = {"traits.resource_id": self.resource, "traits.status": "down"}
        query = [
            {"field": field, "op": "eq", "type": "string", "value": value}
            for field, value in conditions.items()
        ]
        return {"event_type": "compute.host.*", "query": query}


def host_alarm(number: int, label: str, base: str) -> HostAlarm:
    """Return the alarm of one owner, which calls *base* when its server's host fails and when it is back."""
    project, resource = project_name(number, label.partition("/")[0]), resource_name(number, label)
    url = f"{base}/{alarm_id_of(project, resource)}"
    return HostAlarm(project, resource, url, ok_action=url)


class Stage:
    """The inspector and the ingest API beside the listener of an arena."""

    def __init__(self, arena: Arena, directory: pathlib.Path) -> None:
        self._arena = arena
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "fanout.conf"
        write_config(
            config,
            {
                "eventalarm_ingest": {"auth_mode": "noauth", "port": 0},
                "eventalarm_inspector": {"snapshot_interval": 0},
            },
        )
        files = ["--config-file", str(arena.conf_path), "--config-file", str(config)]
        inspector = [sys.executable, "-m", "eventalarm.cmd.inspector", *files]
        ingest = [console_script("eventalarm-ingest-api"), *files]
        self._processes = [
            Process(inspector, directory / "inspector.log"),
            Process(ingest, directory / "ingest.log"),
        ]
        self.database = connect(arena.database_url)

    def ready(self) -> str:
        """Return the URL of the ingest API once both processes work."""
        self._processes[0].wait_for_log("Consuming from queue", 120)
        return self._processes[1].wait_for_log(r"Serving on (http://\S+)", 120)[1]

    def close(self) -> None:
        """End both."""
        for process in self._processes:
            process.close()
        self.database.dispose()
        broker_queue.purge(self._arena.url, QUEUE)


def run(context: Context) -> Iterator[Measurement]:
    """Measure every number of owners."""
    sizes = (10,) if context.options.quick else OWNERS
    chosen = [size for size in sizes if context.wants(f"{size:,} owners")]
    if not chosen:
        return
    with context.arena() as arena, arena.running(arena.eventalarm()), contextlib.ExitStack() as stack:
        stage = Stage(arena, context.directory / NAME)
        stack.callback(stage.close)
        url = stage.ready()
        _report_host(context, arena, stage, url, WARM, "warm")
        for size in chosen:
            context.progress.scope(f"{NAME}: {size:,} owners: ")
            yield from _measure(context, arena, stage, url, size)


def _measure(context: Context, arena: Arena, stage: Stage, url: str, size: int) -> Iterator[Measurement]:
    figures: dict[tuple[str, str], list[float]] = {(said, name): [] for said in REPORTS for name in SHARES}
    tallies: dict[str, list[Tally]] = {said: [] for said in REPORTS}
    for repeat in range(context.options.repeats):
        for said, (waits, tally) in _report_host(
            context, arena, stage, url, size, f"{size} {repeat}"
        ).items():
            tallies[said].append(tally)
            for name, share in SHARES.items():
                figures[said, name].append(percentile(waits, share) * 1000)
    for (said, name), samples in figures.items():
        yield Measurement(
            NAME,
            f"{size:,} owners",
            f"host {said}: report to webhook, {name}",
            "ms",
            Contender.EVENTALARM,
            tuple(samples),
            tally=accounting.add(tallies[said]),
        )


def _report_host(
    context: Context, arena: Arena, stage: Stage, url: str, size: int, label: str
) -> dict[str, tuple[list[float], Tally]]:
    """Let a new host with *size* servers fail and come back.

    Return, for each of the two reports, the seconds to each webhook, and whether all came and no others.
    """
    (base, *_) = arena.sink.bases
    host = f"host {label}"
    alarms = [host_alarm(number, label, base) for number in range(size)]
    bystanders = [host_alarm(number, f"{label}/bystanders", base) for number in range(size)]
    arena.insert([*alarms, *bystanders])
    _place(stage, host, alarms)
    _place(stage, f"{host}/other", bystanders)
    return {said: _report(context, arena, url, host, said, alarms) for said in REPORTS}


def _report(
    context: Context, arena: Arena, url: str, host: str, said: str, alarms: Sequence[AlarmSpec]
) -> tuple[list[float], Tally]:
    arena.sink.reset()
    report_id = str(uuid.uuid4())
    began = _post(url, report_id, host, said)
    arena.sink.wait(len(alarms), TIMEOUT, context.progress)
    time.sleep(GRACE)
    arrivals: list[Arrival] = arena.sink.results()
    owed = [(one.alarm_id, event_id(report_id, one.resource)) for one in alarms]
    tally = accounting.tally(owed, [one.hit for one in arrivals])
    return [one.moment - began for one in arrivals] or [TIMEOUT], tally


def _place(stage: Stage, host: str, alarms: Sequence[AlarmSpec]) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ResourceMap(stage.database).apply(
        Resource(ResourceKind.SERVER, one.resource, now, one.project, host=host, host_at=now)
        for one in alarms
    )


def _post(url: str, report_id: str, host: str, said: str) -> float:
    """Post the report that a host is down or up, and return when it was begun."""
    details = {"hostname": host, "status": said, "severity": "critical"}
    moment = datetime.datetime.now(datetime.UTC).isoformat()
    kind = f"compute.host.{said}"
    report = {"event": {"id": report_id, "time": moment, "type": kind, "details": details}}
    headers = {"Content-Type": "application/json", **IDENTITY}
    request = urllib.request.Request(f"{url}/v1/events", json.dumps(report).encode(), headers)
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        answer.read()
    return began
