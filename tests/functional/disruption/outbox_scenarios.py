"""Scenarios of the outbox: beside a transaction that holds a snapshot, and beside the expirer."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import pathlib
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from benchmarks import stats
from eventalarm.model import UTC
from eventalarm.storage.tables import delivery, transition
from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import SETTLE, Finding, Play
from eventalarm.trial.own_cloud.progress import Progress, wait
from eventalarm.trial.own_cloud.service_disruptors import snapshot
from eventalarm.trial.own_cloud.stage import Ground
from tests.functional.disruption.scenarios import queue_events
from tests.support.helpers import console_script, write_config

# The share of the throughput that must remain beside a held snapshot.
REMAINS: Final = 0.8
# Transactions whose old versions MariaDB may keep between two parts.
PURGED: Final = 50
EXPIRED: Final = "expired"
OLD: Final = datetime.datetime.now(UTC) - datetime.timedelta(days=40)
ROWS: Final = 50_000
PLAIN: Final = (str, int, datetime.datetime)


def held_snapshot(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    events: int = 2000,
    bursts: int = 2,
    rounds: int = 3,
    seed: int = 1,
) -> Finding:
    """Measure the outbox by *bursts* of *events*, without and with a held snapshot in turn, in *rounds*.

    The snapshot keeps the old versions of all rows, as a backup or a forgotten session does. Before each part
    the database has removed those that nobody needs, as it does by itself after a while.
    """
    play = Play(ground, directory, ["healthy"], progress, seed)
    without: list[list[float]] = []
    beside: list[list[float]] = []
    try:
        alarms = play.alarms("healthy", 200)
        play.stage.listeners[0].start(wait=True)
        _burst(play, alarms, events)
        for _ in range(rounds):
            _remove_old_versions(play)
            without.append([_burst(play, alarms, events) for _ in range(bursts)])
            _remove_old_versions(play)
            with snapshot(play.stage):
                beside.append([_burst(play, alarms, events) for _ in range(bursts)])
        play.idle("the last deliveries")
        wrong = play.verdict("snapshot").problems
    finally:
        play.close()
    ratios = [statistics.median(b) / statistics.median(w) for w, b in zip(without, beside, strict=True)]
    ratio = statistics.median(ratios)
    if ratio < REMAINS:
        wrong.append(f"beside a held snapshot the outbox has {ratio:.0%} of its throughput")
    figures = {
        "events of a burst": float(events),
        "bursts": float(2 * rounds * bursts),
        "webhooks a second without": statistics.median(itertools.chain(*without)),
        "webhooks a second beside a held snapshot": statistics.median(itertools.chain(*beside)),
        "share that remains, median of the rounds": ratio,
        "least of a round": min(ratios),
        "most of a round": max(ratios),
    }
    return Finding(f"snapshot on {play.stage.cloud.database.dialect}", figures, wrong)


def _remove_old_versions(play: Play) -> None:
    """Wait until MariaDB has purged the old versions of rows; let PostgreSQL remove them."""
    engine = play.stage.cloud.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
            return
        length = sa.text("SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'")
        purged = lambda: int(connection.execute(length).one()[1]) < PURGED  # noqa: E731
        wait(purged, SETTLE, play.progress, lambda: "old versions are purged", pause=0.2)


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
    seconds: float = 20.0,
    batch_size: int = 1000,
    seed: int = 1,
) -> Finding:
    """Measure a tenant while the expirer removes *rows* old rows, and for *seconds* before and after.

    All of them must be gone, and nothing of the tenant may be lost. The expirer, which removes *batch_size*
    rows in a transaction, is also stopped once in the middle: the tenant's alarms must fire meanwhile.
    """
    play = Play(ground, directory, ["healthy"], progress, seed)
    try:
        alarms = play.alarms("healthy", 100)
        _insert_old(play, rows)
        play.stage.listeners[0].start(wait=True)
        play.latencies(play.fire([(rate, alarms)], seconds / 4))
        alone = play.latencies(play.fire([(rate, alarms)], seconds))
        began = time.monotonic()
        beside: list[float] = []
        with _expirer(play, directory, batch_size) as process:
            wait(
                lambda: _old_rows(play) < rows, SETTLE, play.progress, lambda: "the first removal", pause=0.05
            )
            process.send_signal(signal.SIGSTOP)
            halfway = _old_rows(play)
            meanwhile = play.latencies(play.fire([(rate, alarms)], seconds / 4))
            process.send_signal(signal.SIGCONT)
            while process.poll() is None:
                beside += play.latencies(play.fire([(rate, alarms)], seconds / 4))
            took = time.monotonic() - began
            output = process.stdout.read() if process.stdout else ""
        alone += play.latencies(play.fire([(rate, alarms)], seconds))
        play.idle("the last deliveries")
        wrong = play.verdict("expirer", ignored=EXPIRED).problems
        left = _old_rows(play)
    finally:
        play.close()
    if not (halfway and meanwhile):
        wrong.append(f"nothing fired in the middle of the removal, with {halfway:,} old rows left")
    if process.returncode or left:
        wrong.append(
            f"the expirer ended with {process.returncode}, {left:,} old rows are left: {output[-500:]}"
        )
    figures = {"old rows": float(rows), "seconds": took, "rows a second": rows / took}
    figures |= _latencies(alone, beside)
    figures["events fired while the expirer was stopped"] = float(len(meanwhile))
    return Finding(f"expirer on {play.stage.cloud.database.dialect}", figures, wrong)


def _latencies(alone: Sequence[float], beside: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of latencies in seconds, alone and beside something, and the ratio of p99."""
    figures = {
        f"p{percent} {name} (ms)": stats.percentile(values, percent) * 1000
        for percent in (50, 99)
        for name, values in (("alone", alone), ("beside", beside))
    }
    return figures | {"ratio of p99": stats.percentile(beside, 99) / stats.percentile(alone, 99)}


@contextlib.contextmanager
def _expirer(play: Play, directory: pathlib.Path, batch_size: int) -> Iterator[subprocess.Popen[str]]:
    options = {"history_time_to_live": 30 * 86400, "expire_batch_size": batch_size}
    keeping = write_config(directory / "expirer.conf", {"eventalarm": options})
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
    for start in range(1, rows // 2 + 1, ROWS):
        numbers = _numbers(play, start, min(start + ROWS - 1, rows // 2))
        with play.stage.cloud.database.begin() as connection:
            for table, columns in ((transition, _old_transition), (delivery, _old_delivery)):
                values = columns(sa.cast(numbers, sa.String(20)))
                typed = (
                    sa.literal(value, table.c[name].type) if isinstance(value, PLAIN) else value
                    for name, value in values.items()
                )
                connection.execute(sa.insert(table).from_select(list(values), sa.select(*typed)))
        play.progress.tick(f"{2 * start:,} old rows")


def _numbers(play: Play, first: int, last: int) -> sa.ColumnElement[int]:
    """Return the column of the numbers from *first* to *last*, as the database can list them."""
    if play.stage.cloud.database.dialect == "postgresql":
        return sa.func.generate_series(first, last).table_valued("number").render_derived().c.number
    return sa.table(f"seq_{first}_to_{last}", sa.column("seq", sa.Integer)).c.seq


def _old_rows(play: Play) -> int:
    counts = (
        sa.select(sa.func.count()).where(table.c.project_id == EXPIRED) for table in (transition, delivery)
    )
    with play.stage.cloud.database.read() as connection:
        return sum(int(connection.execute(count).scalar_one()) for count in counts)


def _old_transition(number: sa.ColumnElement[str]) -> dict[str, Any]:
    return {
        "transition_id": "t" + number,
        "kind": "changed",
        "occurrence_id": "o" + number,
        "alarm_id": "a" + number,
        "project_id": EXPIRED,
        "managed_object": "vm",
        "message_id": "m" + number,
        "previous": "alarm",
        "current": "alarm",
        "reason": "long ago",
        "event_type": "compute.instance.update",
        "event_time": OLD,
        "recorded_at": OLD,
    }


def _old_delivery(number: sa.ColumnElement[str]) -> dict[str, Any]:
    return {
        "delivery_id": "d" + number,
        "transition_id": "t" + number,
        "order_key": "k" + number,
        "alarm_id": "a" + number,
        "project_id": EXPIRED,
        "action": "http://consumer/",
        "state": "delivered",
        "attempts": 1,
        "next_attempt_at": OLD,
        "created_at": OLD,
        "finished_at": OLD,
    }
