"""Scenarios with one question each: do hung consumers hurt others, is memory flat, is a backlog bounded?"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import stats
from benchmarks.children import Load
from eventalarm.trial.history.records import Event, Publish
from eventalarm.trial.own_cloud import monitors
from eventalarm.trial.own_cloud.consumers import HANG, OK, REFUSE
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, EventSpec
from eventalarm.trial.own_cloud.monitors import MIB, Watch, depth
from eventalarm.trial.own_cloud.play import SETTLE, Finding, Play
from eventalarm.trial.own_cloud.progress import Progress, wait
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.functional.disruption import hostile
from tests.functional.disruption.attack import Attack

HUNG = 20
# The hung destinations want more concurrent calls than there are: eighty of sixty, before any retry. With so
# few events the machine is not loaded: the effect of hanging is measured.
CROWDED: dict[str, Any] = {"total_timeout": 10.0, "max_attempts": 3, "concurrency": 60}
HUNG_RATE = 8.0
TAKE_HOLD = 20.0
CHUNK = 20000
HOSTILE_HUNG, DEAD_NAMES = 60, 150
ALLOWED = 1.5


def isolation(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    seconds: float = 10.0,
    rate: float = 40.0,
    rounds: tuple[int, int] = (3, 5),
    seed: int = 1,
) -> Finding:
    """Measure one healthy destination alone, beside twenty hung ones, and alone again, in *rounds*.

    The median of the rounds counts: a pause of a shared machine hurts one round, and what the hung ones do
    hurts each. Further rounds, up to the second number, are made while the median shows a hurt.
    """
    names = [f"hung-{number}" for number in range(HUNG)]
    play = Play(ground, directory, ["healthy", *names], progress, seed, **CROWDED)
    alone: list[float] = []
    beside: list[float] = []
    ratios: list[float] = []
    try:
        healthy = play.alarms("healthy", 20)
        hung = [spec for name in names for spec in play.alarms(name, 5)]
        play.stage.listeners[0].start(wait=True)
        play.latencies(play.fire([(rate, healthy)], 2.0))
        while len(ratios) < rounds[0] or (len(ratios) < rounds[1] and statistics.median(ratios) > ALLOWED):
            quiet, crowded = _isolation_once(play, names, healthy, hung, seconds, rate)
            alone += quiet
            beside += crowded
            ratios.append(_ratio(quiet, crowded))
        wrong = play.verdict("isolation", unreliable=names).problems
    finally:
        play.close()
    figures = _compared(alone, beside, ratios, "beside 20 hung")
    if (ratio := statistics.median(ratios)) > ALLOWED:
        wrong.append(f"p99 is {ratio:.2f} times as long in the median of {len(ratios)} rounds")
    return Finding("isolation", figures, wrong)


def _compared(
    alone: Sequence[float], beside: Sequence[float], ratios: Sequence[float], what: str
) -> dict[str, float]:
    return {
        "rounds": float(len(ratios)),
        "p50 alone (ms)": stats.percentile(alone, 50) * 1000,
        f"p50 {what} (ms)": stats.percentile(beside, 50) * 1000,
        "p99 alone (ms)": stats.percentile(alone, 99) * 1000,
        f"p99 {what} (ms)": stats.percentile(beside, 99) * 1000,
        "ratio of p99": _ratio(alone, beside),
        "median of the rounds": statistics.median(ratios),
        "least of a round": min(ratios),
        "most of a round": max(ratios),
    }


def _ratio(alone: Sequence[float], beside: Sequence[float]) -> float:
    return stats.percentile(beside, 99) / stats.percentile(alone, 99)


def _isolation_once(
    play: Play,
    names: Sequence[str],
    healthy: Sequence[AlarmSpec],
    hung: Sequence[AlarmSpec],
    seconds: float,
    rate: float,
) -> tuple[list[float], list[float]]:
    alone = list(play.latencies(play.fire([(rate, healthy)], seconds / 2)))
    for name in names:
        play.stage.consumers.mode(name, HANG)
    # The hung destinations take effect before the healthy one is measured.
    play.fire([(TAKE_HOLD, hung)], 2.0)
    beside = list(play.latencies(play.fire([(rate, healthy), (HUNG_RATE, hung)], seconds)))
    for name in names:
        play.stage.consumers.mode(name, OK)
    play.idle("letting the hung go")
    alone += play.latencies(play.fire([(rate, healthy)], seconds / 2))
    return alone, beside


def beside_a_hostile_tenant(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    seconds: float = 8.0,
    rate: float = 40.0,
    rounds: tuple[int, int] = (4, 10),
    dead_names: int = DEAD_NAMES,
    seed: int = 1,
) -> Finding:
    """Measure one tenant alone, and beside another that does everything a tenant may do, all at once.

    The events of the other one do not load the machine: the effect of its alarms, actions and texts is
    measured. Nothing of the first tenant may be lost. *rounds* are as in :func:`isolation`.
    """
    names = [f"hung-{number}" for number in range(HOSTILE_HUNG)]
    play = Play(ground, directory, ["healthy", *names], progress, seed, **CROWDED)
    alone: list[float] = []
    beside: list[float] = []
    ratios: list[float] = []
    with contextlib.ExitStack() as stack:
        stack.callback(play.close)
        server = hostile.NameServer(directory)
        stack.callback(server.close)
        server.start()
        play.stage.cloud.start_api()
        healthy = play.alarms("healthy", 20)
        hung = [play.stage.actions[name] for name in names]
        dead = [f"http://hook-{number}.dead.example:{8000 + number}/" for number in range(dead_names)]
        client = play.stage.cloud.client(hostile.TENANT)
        instances = hostile.create(client, hostile.alarms(hung, dead))
        play.stage.listeners[0].start(wait=True, prefix=server.prefix)
        attack = Attack(play, instances, seed)
        stack.callback(attack.stop)
        play.latencies(play.fire([(rate, healthy)], 2.0))
        while len(ratios) < rounds[0] or (len(ratios) < rounds[1] and statistics.median(ratios) > ALLOWED):
            quiet = play.latencies(play.fire([(rate, healthy)], seconds))
            _let_loose(play, names, server, attack)
            crowded = play.latencies(play.fire([(rate, healthy)], seconds))
            _call_off(play, names, server, attack)
            alone += quiet
            beside += crowded
            ratios.append(_ratio(quiet, crowded))
        starts = play.stage.listeners[0].process.text().count("Listening on topic")
        wrong = play.verdict("hostile", ignored=hostile.TENANT).problems
        if starts != 1:
            wrong.append(f"the worker of the listener ended {starts - 1} times")
    figures = {
        "alarms of the hostile": float(len(instances)),
        "events of the hostile": float(attack.sent),
        "a dead name server": float(bool(server.prefix)),
        **_compared(alone, beside, ratios, "beside"),
    }
    if (ratio := statistics.median(ratios)) > ALLOWED:
        wrong.append(f"p99 is {ratio:.2f} times as long in the median of {len(ratios)} rounds")
    return Finding("hostile", figures, wrong)


def _let_loose(play: Play, names: Sequence[str], server: hostile.NameServer, attack: Attack) -> None:
    server.die()
    for name in names:
        play.stage.consumers.mode(name, HANG)
    attack.start()


def _call_off(play: Play, names: Sequence[str], server: hostile.NameServer, attack: Attack) -> None:
    """End the attack and its deliveries: hanging requests are released, waiting deliveries withdrawn."""
    attack.stop()
    server.answer()
    for name in names:
        play.stage.consumers.mode(name, OK)
    play.idle("withdrawing", withdrawn=hostile.TENANT)


def soak(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    seconds: float = 600.0,
    rate: float = 50.0,
    alarms: int = 200,
    seed: int = 1,
) -> Finding:
    """Fire at destinations that refuse or hang, for a long time: the outbox grows, the memory must not.

    Memory buffers fill up first, so the growth is measured from the second third to the last.
    """
    play = Play(ground, directory, ["healthy", "refuses", "hangs"], progress, seed, max_attempts=10**6)
    watch = Watch(play.stage, progress.tick, lambda: f"{play.publisher.published:,} events")
    try:
        sources = [(rate / 5, play.alarms("healthy", 20))]
        sources += [(rate * 2 / 5, play.alarms(name, alarms)) for name in ("refuses", "hangs")]
        play.stage.consumers.mode("refuses", REFUSE)
        play.stage.consumers.mode("hangs", HANG)
        play.stage.listeners[0].start(wait=True)
        watch.start()
        seen = play.latencies(play.fire(sources, seconds))
        watch.finish()
        third = len(watch.samples) // 3
        sizes = [monitors.memory(part).last for part in _thirds(watch.samples, third)]
        outbox = max(sample.outbox or 0 for sample in watch.samples)
        grown = sizes[2] / sizes[1] - 1
        wrong = play.verdict("soak", unreliable=("refuses", "hangs")).problems
        if grown >= 0.05:
            wrong.append(f"memory grew by {grown:.0%} in the last third")
        figures = {
            "events": float(len(play.published)),
            "deliveries in the outbox at the end": float(outbox),
            **{f"RSS after third {n + 1} (MiB)": size for n, size in enumerate(sizes)},
            "p99 of the healthy (ms)": stats.percentile(seen, 99) * 1000,
        }
        return Finding("soak", figures, wrong)
    finally:
        watch.finish()
        play.close()


def _thirds(samples: Sequence[monitors.Sample], size: int) -> list[Sequence[monitors.Sample]]:
    return [samples[start : start + size] for start in (0, size, 2 * size)]


def backlog(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    events: int = 200_000,
    share: float = 0.1,
    bound: float = 64.0,
    seed: int = 1,
) -> Finding:
    """Start a listener on *events* queued events, of which *share* fire; memory may grow by *bound* MiB.

    The growth is measured from when a twentieth is done, because by then all code is loaded.
    """
    play = Play(ground, directory, ["healthy"], progress, seed)
    try:
        alarms = play.alarms("healthy", 500)
        play.publish(play.event(alarms[0]))
        wait(lambda: play.publisher.published == 1, SETTLE, progress, lambda: "making the queue")
        firing = round(events * share)
        specs = [play.event(alarms[number % len(alarms)]) for number in range(events)]
        for number in range(firing, events):
            specs[number] = dataclasses.replace(specs[number], resource=f"nobody's {number}")
        play.chance.shuffle(specs)
        queue_events(play, specs)
        return _work_off(play, events, firing + 1, bound)
    finally:
        play.close()


def queue_events(play: Play, specs: Sequence[EventSpec]) -> None:
    """Publish events, each in a message, as fast as the broker accepts them."""
    group = play.stage.cloud.conf.eventalarm
    load = Load(play.stage.transport_url)
    try:
        for start in range(0, len(specs), CHUNK):
            began = epoch()
            load.prepare(specs[start : start + CHUNK], group.exchange, group.topic)
            load.burst()
            events = [
                Event(one.message_id, one.project, one.resource, one.state)
                for one in specs[start : start + CHUNK]
            ]
            play.stage.history.add(*(Publish(began, epoch(), (event,)) for event in events))
            play.progress.tick(f"{start:,} events queued")
    finally:
        load.close()


def _work_off(play: Play, events: int, firing: int, bound: float) -> Finding:
    listener = play.stage.listeners[0]
    sizes: list[tuple[int, float]] = []

    def left() -> int:
        waiting = depth(play.stage) or 0
        sizes.append((waiting, listener.memory() / MIB))
        return waiting

    began = time.monotonic()
    listener.start(wait=True)
    progress: Callable[[], str] = lambda: f"{sizes[-1][0]:,} left, RSS {sizes[-1][1]:.0f} MiB"  # noqa: E731
    wait(lambda: left() == 0, 900, play.progress, progress, pause=0.2)
    wait(lambda: play.stage.events_recorded() >= firing, SETTLE, play.progress, progress, pause=0.05)
    took = time.monotonic() - began
    play.idle("webhooks", 600)
    warm = next((size for waiting, size in sizes if waiting <= 0.95 * events), sizes[-1][1])
    most = max(size for _, size in sizes)
    arrived = len(play.accepted())
    wrong = play.verdict("backlog").problems
    if most - warm > bound:
        wrong.append(f"memory grew from {warm:.0f} to {most:.0f} MiB")
    figures = {
        "events queued at start": float(events),
        "transitions and webhooks": float(arrived),
        "seconds": took,
        "events a second": events / took,
        "RSS warm (MiB)": warm,
        "RSS most (MiB)": most,
    }
    return Finding("backlog", figures, wrong)
