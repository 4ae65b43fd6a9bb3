"""The matching core without broker and database, in its own process; it prints one JSON line and exits.

``python -m benchmarks.core match CONTENDER ALARMS SHAPE MATCHING SECONDS REPEATS SEED`` gives events per
processor second; ``python -m benchmarks.core memory ALARMS SHAPE METHOD`` gives bytes per cached alarm.
"""

from __future__ import annotations

import datetime
import gc
import json
import sys
import time
import tracemalloc
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import psutil

from benchmarks.measurement import Contender
from eventalarm.conf import LISTENER_OPTS
from eventalarm.evaluator import decide
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.options import CacheOptions, EngineOptions
from eventalarm.model import UTC, AlarmDefinition, Event
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.change_window import ChangeWindow, Look
from eventalarm.storage.database import Database
from eventalarm.trial.own_cloud.load import workload

PROJECT = workload.project_name(0)
OPTIONS = {option.dest: option.default for option in LISTENER_OPTS}
RESOURCE_TRAITS = tuple(OPTIONS["resource_traits"])
TYPES = (decide.EVENT_TYPE,)
BATCH = 500
SHAPES = ("resource", "mixed")


def rule_of(number: int, shape: str) -> dict[str, Any]:
    """Return the rule of an alarm: instance and state, or in a mixed project also other kinds.

    One in twenty of the mixed kind has a wildcard event type, one in twenty compares numbers too, and one in
    a hundred has no equality at all and is one of ten.
    """
    rule = workload.AlarmSpec(PROJECT, workload.resource_name(number)).rule()
    if shape == "mixed":
        if number % 100 == 0:
            limit = str(10**6 + number // 100 % 10)
            query = {"field": "traits.memory_mb", "op": "gt", "type": "integer", "value": limit}
            return {"event_type": "compute.instance.*", "query": [query]}
        if number % 20 == 1:
            rule["event_type"] = "compute.instance.*"
        if number % 20 == 2:
            rule["query"].append({"field": "traits.vcpus", "op": "ge", "type": "integer", "value": "1"})
    # As when read from the database: no two alarms share a string object.
    return cast(dict[str, Any], json.loads(json.dumps(rule)))


class Definitions:
    """A source of definitions that keeps no references to them."""

    def __init__(self, alarms: int, shape: str) -> None:
        self._alarms = alarms
        self._shape = shape

    def now(self) -> datetime.datetime:
        """Return the current time."""
        return datetime.datetime.now(UTC)

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Return no changes: the alarms do not change."""
        return Look((), ChangeWindow())

    def of_project(self, project_id: str) -> Iterator[AlarmDefinition]:
        """Yield all alarms."""
        began = datetime.datetime(2026, 1, 1, tzinfo=UTC)
        for number in range(self._alarms if project_id == PROJECT else 0):
            alarm_id = workload.alarm_id_of(PROJECT, workload.resource_name(number))
            version = began + datetime.timedelta(milliseconds=number)
            project = "".join(project_id)
            yield AlarmDefinition(alarm_id, project, "event", version, rule_of(number, self._shape), False)

    def of_projects(self, project_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[AlarmDefinition]]:
        """Unused here: there is one project."""
        raise NotImplementedError

    def has_more_than(self, project_id: str, number: int) -> bool:
        """Unused here: nothing is loaded in the background."""
        raise NotImplementedError

    def crowded_projects(self, number: int) -> Sequence[tuple[str, int]]:
        """Unused here: nothing is preloaded."""
        raise NotImplementedError

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        """Return nothing, since nothing changed."""
        return ()


def fill(alarms: int, shape: str) -> AlarmCache:
    """Return the cache of eventalarm with the project loaded."""

    def bad_rule(definition: AlarmDefinition, error: Exception) -> None:
        raise RuntimeError(f"{definition.alarm_id}: {error}")

    cache = AlarmCache(
        cast(AlarmReader, Definitions(alarms, shape)),
        CacheOptions(RESOURCE_TRAITS, overlap=10.0, reload_interval=1e9, max_alarms=10**7),
        clears=lambda definition: decide.clears(OPTIONS["clear_event_alarms"], definition),
        bad_rule=bad_rule,
        monotonic=time.monotonic,
    )
    cache.project(PROJECT)
    return cache


def engine_match(alarms: int, shape: str) -> Callable[[Sequence[Event]], int]:
    """Return eventalarm's own matching of a batch."""
    options = EngineOptions(
        types=TYPES,
        owner_traits=tuple(OPTIONS["owner_traits"]),
        resource_traits=RESOURCE_TRAITS,
        infrastructure_projects=(),
        clear_mode=OPTIONS["clear_event_alarms"],
        record_history=True,
        max_candidates=OPTIONS["max_candidates"],
        max_event_size=OPTIONS["max_event_size"],
    )
    # Matching alone uses neither the database (apart from the count of clock jumps) nor delivery.
    database = cast(Database, types.SimpleNamespace(clock=types.SimpleNamespace(jumps=0)))
    engine: Engine = Engine(
        database, fill(alarms, shape), cast(Any, None), options, lambda: datetime.datetime.now(UTC)
    )

    def match(events: Sequence[Event]) -> int:
        return len(engine.match(events, BatchReport()))

    return match


def floor_match(alarms: int, shape: str) -> Callable[[Sequence[Event]], int]:
    """Return the floor: a lookup of project and instance in dictionaries."""
    index = {workload.resource_name(number): number for number in range(alarms)}
    projects = {PROJECT: index}

    def match(events: Sequence[Event]) -> int:
        found = 0
        for event in events:
            known = projects.get(cast(str, event.trait("project_id")))
            if known is not None and event.trait("instance_id") in known:
                found += event.trait("state") == workload.FAULT
        return found

    return match


def measure_match(
    contender: str, alarms: int, shape: str, matching: float, seconds: float, repeats: int, seed: int
) -> dict[str, Any]:
    """Return events per processor second for each repeat, and whether the right number matched."""
    if contender == Contender.STOCK:
        from benchmarks import stock_match  # noqa: PLC0415 - it brings all of Aodh

        match = stock_match.matcher(alarms, shape)
    else:
        build = engine_match if contender == Contender.EVENTALARM else floor_match
        match = build(alarms, shape)
    gc.collect()
    rounds = [_round(match, contender, alarms, matching, seconds, f"{seed}-{n}") for n in range(repeats + 1)]
    kept = rounds[1:] if contender != Contender.STOCK else rounds[:1]
    return {
        "rates": [events / spent for events, spent, _, _ in kept],
        "expected": sum(one[2] for one in kept),
        "found": sum(one[3] for one in kept),
    }


def _round(
    match: Callable[[Sequence[Any]], int],
    contender: str,
    alarms: int,
    matching: float,
    seconds: float,
    run: str,
) -> tuple[int, float, int, int]:
    base, now = workload.template(), datetime.datetime(2026, 6, 1)
    batch = 1 if contender == Contender.STOCK else BATCH
    specs = workload.stream([PROJECT], alarms, BATCH * 4, matching, seed=1, run=run)
    bodies = [workload.body(spec, now, base) for spec in specs]
    firing = [spec.fires for spec in specs]
    done = expected = found = 0
    spent = 0.0
    while spent < seconds:
        start = done % len(bodies)
        part = bodies[start : start + batch]
        # Traits are converted on first access and cached, so every event must be new.
        events: list[Any] = part if contender == Contender.STOCK else [Event.parse(one) for one in part]
        began = time.process_time()
        found += match(events)
        spent += time.process_time() - began
        expected += sum(firing[start : start + batch])
        done += len(part)
    return done, spent, expected, found


def measure_memory(alarms: int, shape: str, method: str) -> dict[str, Any]:
    """Return the bytes that the loaded cache takes for each alarm, by RSS or by tracemalloc."""
    small = fill(100, shape)
    gc.collect()
    process = psutil.Process()
    if method == "tracemalloc":
        tracemalloc.start()
    before = process.memory_info().rss
    began = time.process_time()
    cache = fill(alarms, shape)
    took = time.process_time() - began
    gc.collect()
    if method == "tracemalloc":
        taken = tracemalloc.get_traced_memory()[0]
    else:
        taken = process.memory_info().rss - before
    if len(cache) != alarms or len(small) != 100:
        raise RuntimeError(f"{len(cache)} of {alarms} alarms are cached")
    return {"bytes": taken / alarms, "seconds": took}


def main() -> None:
    """Run the measurement that the command line selects."""
    what, *arguments = sys.argv[1:]
    if what == "match":
        who, alarms, shape, matching, seconds, repeats, seed = arguments
        result = measure_match(
            who, int(alarms), shape, float(matching), float(seconds), int(repeats), int(seed)
        )
    else:
        alarms, shape, method = arguments
        result = measure_memory(int(alarms), shape, method)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
