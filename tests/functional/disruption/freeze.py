"""A listener that is stopped for minutes in the middle of a transaction and then continues."""

from __future__ import annotations

import math
import pathlib
import signal
import time
from collections.abc import Sequence

from benchmarks import stats
from benchmarks.progress import Progress
from benchmarks.workload import AlarmSpec
from tests.functional.disruption.consumers import ANSWERS, OK
from tests.functional.disruption.play import Play
from tests.functional.disruption.scenarios import Finding
from tests.functional.disruption.stage import Ground, epoch
from tests.support.locked_rows import locked, wait_for_waiter

RATE = 20.0
# Events per second for the alarm that the frozen listener keeps locked.
LOCKED_RATE = 1.0
# The idle-in-transaction timeout of the database server, and an allowance for a slow machine.
BOUND = 10.0 + 10.0


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
        before = set(play.published)
        play.stage.listeners[1].start(wait=True)
        rates = [(RATE, healthy), (LOCKED_RATE, pair[:1])]
        ids = play.fire(rates, max(0.0, frozen + seconds - epoch()))
        came = play.accepted()
        beside = [came[one] - play.published[one] for one in ids & came.keys()]
        of_the_locked = play.published.keys() - before - ids
        firsts = [
            min((came[one] for one in which & came.keys()), default=math.inf) - frozen
            for which in (ids, of_the_locked)
        ]
        held = len(play.published.keys() - came.keys() - play.stage.late())
        play.stage.listeners[0].signal(signal.SIGCONT)
        thawed = time.monotonic()
        play.latencies(set(play.published))
        settled = time.monotonic() - thawed
        play.idle("what the frozen one held")
        accepted = [one for one in play.receipts if one.status == ANSWERS[OK][0]]
        deliveries = {(one.message_id, one.delivery_id) for one in accepted}
        twice = len(deliveries) - len({message_id for message_id, _ in deliveries})
    finally:
        play.close()
    figures = {
        "seconds frozen": seconds,
        "until another alarm fired, with the start of a listener (s)": firsts[0],
        "until the locked alarm fired (s)": firsts[1],
        "events meanwhile": float(len(ids)),
        "events that waited for the frozen listener": float(held),
        "p99 alone (ms)": stats.percentile(alone, 99) * 1000,
        "p50 meanwhile (ms)": stats.percentile(beside, 50) * 1000,
        "p99 meanwhile (ms)": stats.percentile(beside, 99) * 1000,
        "all settled after it went on (s)": settled,
        "accepted POSTs repeated": float(len(accepted) - len(deliveries)),
    }
    wrong = [f"the locked alarm fired after {firsts[1]:.0f} s"] if firsts[1] > BOUND else []
    if twice:
        wrong.append(f"{twice} events fired twice")
    return Finding(f"freeze on {play.stage.cloud.database.dialect}", figures, wrong)


def _freeze_in_mid_transaction(play: Play, pair: Sequence[AlarmSpec]) -> None:
    """Stop the listener when it has locked the first of two alarms and waits for the second."""
    cloud = play.stage.cloud
    with locked(cloud, pair[1].alarm_id):
        play.publish(*map(play.event, pair))
        wait_for_waiter(cloud)
        play.stage.listeners[0].signal(signal.SIGSTOP)
