"""A listener that is stopped for minutes in the middle of a transaction and then continues."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import signal
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from benchmarks import stats
from eventalarm.trial.history.records import Strike
from eventalarm.trial.history.verdict import REPEATED
from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import Finding, Play
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.support.locked_rows import locked, wait_for_waiter

RATE = 20.0
# Events per second for the alarm that the frozen listener keeps locked.
LOCKED_RATE = 1.0
# The idle-in-transaction timeout of the database server, and an allowance for a slow machine.
BOUND = 10.0 + 10.0


@dataclasses.dataclass(frozen=True)
class _Meanwhile:
    """Results while one listener is frozen; times in seconds, the first two from the freeze."""

    events: int
    other_fired: float
    locked_fired: float
    latencies: list[float]
    held: int


def freeze(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    seconds: float = 180.0,
    seed: int = 1,
) -> Finding:
    """Stop one of two listeners for *seconds* while it holds the lock of an alarm.

    Options have their defaults.

    Meanwhile the other listener fires everything else, and that alarm as soon as the server has ended the
    session of the frozen one. Messages that the frozen one holds wait until it continues or loses its
    connection. In the end nothing is lost, and nothing has fired twice.
    """
    play = Play(ground, directory, ["healthy", "locked"], progress, seed, listeners=2)
    try:
        healthy = play.alarms("healthy", 20)
        pair = sorted(play.alarms("locked", 2), key=lambda spec: spec.alarm_id)
        play.stage.listeners[0].start(wait=True)
        alone = play.latencies(play.fire([(RATE, healthy)], 10.0))
        _freeze_in_mid_transaction(play, pair)
        frozen = epoch()
        meanwhile = _fire_meanwhile(play, healthy, pair[0], seconds)
        settled = _thaw(play, frozen)
        verdict = play.verdict(f"freeze on {play.stage.cloud.database.dialect}")
    finally:
        play.close()
    figures = {
        "seconds frozen": seconds,
        **_figures(alone, meanwhile),
        "all settled after it continued (s)": settled,
        REPEATED: float(verdict.numbers[REPEATED]),
    }
    late = meanwhile.locked_fired
    wrong = verdict.problems
    if late > BOUND:
        wrong.append(f"the locked alarm fired after {late:.0f} s")
    return Finding(f"freeze on {play.stage.cloud.database.dialect}", figures, wrong, play.rows(verdict))


def _freeze_in_mid_transaction(play: Play, pair: Sequence[AlarmSpec]) -> None:
    """Stop the listener when it has locked the first of two alarms and waits for the second."""
    cloud = play.stage.cloud
    with locked(cloud, pair[1].alarm_id):
        play.publish(*map(play.event, pair))
        wait_for_waiter(cloud)
        play.stage.listeners[0].signal(signal.SIGSTOP)


def _fire_meanwhile(
    play: Play, healthy: Sequence[AlarmSpec], locked_alarm: AlarmSpec, seconds: float
) -> _Meanwhile:
    """Start the other listener, and fire until the first one has been frozen for *seconds*."""
    frozen = epoch()
    before = set(play.published)
    play.stage.listeners[1].start(wait=True)
    rates: list[tuple[float, Sequence[AlarmSpec]]] = [(RATE, healthy), (LOCKED_RATE, [locked_alarm])]
    ids = play.fire(rates, max(0.0, frozen + seconds - epoch()))
    accepted = play.accepted()
    waiting = play.published.keys() - accepted.keys()

    def first(which: AbstractSet[str]) -> float:
        return min((accepted[one] for one in which & accepted.keys()), default=math.inf) - frozen

    return _Meanwhile(
        events=len(ids),
        other_fired=first(ids),
        locked_fired=first(play.published.keys() - before - ids),
        latencies=[accepted[one] - play.published[one] for one in ids & accepted.keys()],
        held=len(waiting - play.stage.late(waiting)),
    )


def _thaw(play: Play, frozen: float) -> float:
    """Let the frozen listener continue; return the seconds until everything was done."""
    play.stage.listeners[0].signal(signal.SIGCONT)
    thawed = time.monotonic()
    play.stage.history.add(Strike(frozen, epoch(), "freeze listener", survivable=True))
    play.latencies(set(play.published))
    settled = time.monotonic() - thawed
    play.idle("the messages of the frozen listener")
    return settled


def _figures(alone: Sequence[float], meanwhile: _Meanwhile) -> dict[str, float]:
    return {
        "until another alarm fired, with the start of a listener (s)": meanwhile.other_fired,
        "until the locked alarm fired (s)": meanwhile.locked_fired,
        "events meanwhile": float(meanwhile.events),
        "events that waited for the frozen listener": float(meanwhile.held),
        "p99 alone (ms)": stats.percentile(alone, 99) * 1000,
        "p50 meanwhile (ms)": stats.percentile(meanwhile.latencies, 50) * 1000,
        "p99 meanwhile (ms)": stats.percentile(meanwhile.latencies, 99) * 1000,
    }
