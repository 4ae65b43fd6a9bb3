"""Scenarios of the outbox: beside a transaction that holds a snapshot, and beside the expirer."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import statistics
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from benchmarks import stats
from benchmarks.progress import Progress
from benchmarks.workload import AlarmSpec
from eventalarm.model import UTC
from eventalarm.storage.tables import delivery, transition
from tests.functional.disruption.play import SETTLE, Play
from tests.functional.disruption.scenarios import Finding, queue_events
from tests.functional.disruption.service_disruptors import snapshot
from tests.functional.disruption.stage import Ground
from tests.support.helpers import console_script, write_config

# The share of the throughput that must remain beside a held snapshot, and how often p99 may grow.
REMAINS: Final = 0.8
ALLOWED: Final = 1.5
EXPIRED: Final = "expired"
OLD: Final = datetime.datetime.now(UTC) - datetime.timedelta(days=40)
ROWS: Final = 5000


def held_snapshot(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    events: int = 2000,
    rounds: int = 4,
    seed: int = 1,
) -> Finding:
    """Measure the outbox by *rounds* bursts of *events*, and again while a transaction holds a snapshot.

    The snapshot keeps the old versions of all rows, as a backup or a forgotten session does.
    """
    play = Play(ground, directory, ["healthy"], progress, seed)
    try:
        alarms = play.alarms("healthy", 200)
        play.stage.listeners[0].start(wait=True)
        _burst(play, alarms, events)
        without = [_burst(play, alarms, events) for _ in range(rounds)]
        with snapshot(play.stage):
            beside = [_burst(play, alarms, events) for _ in range(rounds)]
        play.idle("the last deliveries")
        wrong = play.verdict("snapshot").problems
    finally:
        play.close()
    ratio = statistics.median(beside) / statistics.median(without)
    if ratio < REMAINS:
        wrong.append(f"beside a held snapshot the outbox has {ratio:.0%} of its throughput")
    figures = {
        "events of a burst": float(events),
        "webhooks a second without": statistics.median(without),
        "webhooks a second beside a held snapshot": statistics.median(beside),
        "share that remains": ratio,
    }
    return Finding(f"snapshot on {play.stage.cloud.database.dialect}", figures, wrong)


def _burst(play: Play, alarms: Sequence[AlarmSpec], events: int) -> float:
    """Publish *events* as fast as possible; return the webhooks a second until all have arrived."""
    specs = [play.event(alarms[number % len(alarms)]) for number in range(events)]
    ids = {spec.message_id for spec in specs}
    began = time.time()
    queue_events(play, specs)
    play.arrived(ids, SETTLE * 2)
    came = play.accepted()
    moments = [came[one] for one in ids & came.keys()]
    return len(moments) / (max(moments) - began)


def beside_the_expirer(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    rows: int = 1_000_000,
    rate: float = 40.0,
    seed: int = 1,
) -> Finding:
    """Measure a tenant alone, then while the expirer removes *rows* old rows, and check that all are gone."""
    play = Play(ground, directory, ["healthy"], progress, seed)
    try:
        alarms = play.alarms("healthy", 100)
        _insert_old(play, rows)
        play.stage.listeners[0].start(wait=True)
        play.latencies(play.fire([(rate, alarms)], 5.0))
        alone = play.latencies(play.fire([(rate, alarms)], 20.0))
        began = time.monotonic()
        beside: list[float] = []
        with _expirer(play, directory) as process:
            while process.poll() is None:
                beside += play.latencies(play.fire([(rate, alarms)], 5.0))
            took = time.monotonic() - began
            output = process.stdout.read() if process.stdout else ""
        play.idle("the last deliveries")
        wrong = play.verdict("expirer", ignored=EXPIRED).problems
        left = _old_rows(play)
    finally:
        play.close()
    if process.returncode or left:
        wrong.append(
            f"the expirer ended with {process.returncode}, {left:,} old rows are left: {output[-500:]}"
        )
    ratio = stats.percentile(beside, 99) / stats.percentile(alone, 99)
    figures = {
        "old rows": float(rows),
        "seconds": took,
        "rows a second": rows / took,
        "p99 alone (ms)": stats.percentile(alone, 99) * 1000,
        "p99 beside (ms)": stats.percentile(beside, 99) * 1000,
        "ratio of p99": ratio,
    }
    return Finding(f"expirer on {play.stage.cloud.database.dialect}", figures, wrong)


@contextlib.contextmanager
def _expirer(play: Play, directory: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    keeping = write_config(directory / "expirer.conf", {"eventalarm": {"history_time_to_live": 30 * 86400}})
    command = [console_script("eventalarm-expirer"), "--config-file", str(play.stage.cloud.conf_path)]
    process = subprocess.Popen(
        [*command, "--config-file", str(keeping)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _insert_old(play: Play, rows: int) -> None:
    """Insert transitions of long ago, each with a finished delivery."""
    for start in range(0, rows // 2, ROWS):
        transitions = [_old_transition() for _ in range(min(ROWS, rows // 2 - start))]
        with play.stage.cloud.database.begin() as connection:
            connection.execute(transition.insert(), transitions)
            connection.execute(delivery.insert(), [_old_delivery(one) for one in transitions])
        play.progress.tick(f"{2 * start:,} old rows")


def _old_rows(play: Play) -> int:
    counts = (
        sa.select(sa.func.count()).where(table.c.project_id == EXPIRED) for table in (transition, delivery)
    )
    with play.stage.cloud.database.read() as connection:
        return sum(int(connection.execute(count).scalar_one()) for count in counts)


def _old_transition() -> dict[str, Any]:
    alarm_id = str(uuid.uuid4())
    return {
        "transition_id": str(uuid.uuid4()),
        "kind": "changed",
        "occurrence_id": str(uuid.uuid4()),
        "alarm_id": alarm_id,
        "project_id": EXPIRED,
        "managed_object": "vm",
        "message_id": str(uuid.uuid4()),
        "previous": "alarm",
        "current": "alarm",
        "reason": "long ago",
        "event_type": "compute.instance.update",
        "event_time": OLD,
        "recorded_at": OLD,
    }


def _old_delivery(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "delivery_id": str(uuid.uuid4()),
        "transition_id": row["transition_id"],
        "order_key": row["alarm_id"].replace("-", ""),
        "alarm_id": row["alarm_id"],
        "project_id": EXPIRED,
        "action": "http://consumer/",
        "state": "delivered",
        "attempts": 1,
        "next_attempt_at": OLD,
        "created_at": OLD,
        "finished_at": OLD,
    }
