"""Owed: does a dead destination with 10,000 deferred deliveries make the webhooks of others later?

Rounds without and with what is owed take turns, so that both meet the same machine. The deliveries go to a
port that refuses connections, and belong to the project whose other webhooks are timed.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from benchmarks import accounting
from benchmarks.accounting import Tally
from benchmarks.arena import CHUNK, WEBHOOK_TIMEOUT, Arena
from benchmarks.contenders import Running
from benchmarks.measurement import Contender, Measurement
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.latency import waits, warm_up
from benchmarks.stats import percentile
from eventalarm.delivery.action import destination
from eventalarm.model import UTC, CircuitState
from eventalarm.storage import tables
from eventalarm.storage.circuit_tables import destination as circuits
from eventalarm.storage.database import Database, connect
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, of_alarms, project_name, spread
from tests.support.delivery_rows import delivery_row, put

NAME = "owed"
DEAD = "http://127.0.0.1:1/hook"
RATE = 50
ALONE = "alone"


class Backlog:
    """What is owed to the dead destination of *project*: *number* deliveries, and its open circuit."""

    def __init__(self, database: Database, project: str, number: int) -> None:
        self._database = database
        self._project = project
        self._number = number
        # Processes learn a circuit only if its version is higher than the one that they know.
        self._versions = itertools.count(1000, 1000)

    def put(self) -> None:
        """Write the deliveries, and the circuit, of which a probe is due."""
        now = datetime.datetime.now(UTC)
        row = delivery_row(self._project, 0, "deferred", action=DEAD, alarm_id="dead", created_at=now)
        put(self._database, [row])
        numbers = range(1, self._number)
        rows = [{**row, "delivery_id": f"dead-{n}", "order_key": f"{n:064d}"} for n in numbers]
        values = {
            "project_id": self._project,
            "destination": destination(DEAD),
            "state": CircuitState.OPEN.value,
            "failures": 20,
            "probes": 0,
            "failing_since": now,
            "failed_at": now,
            "next_probe_at": now,
            "version": next(self._versions),
            "changed_at": now,
        }
        with self._database.begin() as connection:
            for start in range(0, len(rows), CHUNK):
                connection.execute(sa.insert(tables.delivery), rows[start : start + CHUNK])
            # The listener may have stored it again since it was removed.
            connection.execute(sa.delete(circuits))
            connection.execute(sa.insert(circuits), values)

    def remove(self) -> int:
        """Remove both; return how many deliveries were owed."""
        ours = tables.delivery.c.destination == destination(DEAD)
        with self._database.begin() as connection:
            connection.execute(sa.delete(circuits))
            return connection.execute(sa.delete(tables.delivery).where(ours, _is_owed())).rowcount


def _is_owed() -> sa.ColumnElement[bool]:
    return tables.delivery.c.state.in_(("deferred", "leased", "pending"))


@dataclass
class Found:
    """The seconds until each webhook, by round."""

    rounds: list[list[float]] = field(default_factory=list)

    def all(self) -> list[float]:
        """Return the seconds of all rounds."""
        return [one for found in self.rounds for one in found]

    def figures(self, case: str, tally: Tally) -> Iterator[Measurement]:
        """Yield the percentiles of each round."""
        for share in (50.0, 99.0):
            samples = tuple(percentile(found, share) * 1000 for found in self.rounds)
            yield Measurement(NAME, case, f"p{share:.0f}", "ms", Contender.EVENTALARM, samples, tally=tally)


def run(context: Context) -> Iterator[Measurement]:
    """Measure rounds in turn, and how much later the webhooks are beside what is owed."""
    number = context.options.size(10_000, 500)
    beside = f"beside {number:,} owed"
    found = {ALONE: Found(), beside: Found()}
    tallies: list[Tally] = []
    with context.arena() as arena:
        alarms = arena.insert(spread([project_name(0)], context.options.size(1000, 50), arena.sink.bases))
        database = connect(arena.database_url)
        backlog = Backlog(database, project_name(0), number)
        with arena.running(arena.eventalarm()) as running:
            warm_up(context, arena, alarms, running, WEBHOOK_TIMEOUT)
            for turn in range(context.options.size(4, 1) * context.options.repeats):
                order = [beside, ALONE] if turn % 2 else [ALONE, beside]
                for case in order:
                    context.progress.scope(f"{NAME}: {case}, {turn}: ")
                    if case == beside:
                        backlog.put()
                    measured, tally = _round(context, arena, running, alarms, f"{case} {turn}")
                    found[case].rounds.append(measured)
                    tallies.append(tally)
                    if case == beside and backlog.remove() < number - 100:
                        raise RuntimeError("what was owed was sent or given up meanwhile")
        database.dispose()
    whole = accounting.add(tallies)
    assert whole is not None
    for case, one in found.items():
        yield from one.figures(case, whole)
    shares = [percentile(one.all(), 99.0) for one in (found[beside], found[ALONE])]
    yield Measurement(
        NAME, f"{beside}, to alone", "p99 of all", "x", Contender.EVENTALARM, (shares[0] / shares[1],)
    )


def _round(
    context: Context, arena: Arena, running: Running, alarms: Sequence[AlarmSpec], name: str
) -> tuple[list[float], Tally]:
    """Publish events for some seconds; return the seconds until their webhooks, and what arrived."""
    count = RATE * context.options.size(10, 2)
    events = of_alarms(alarms, count, seed=context.options.seed, run=name)
    arena.prepare(events, running)
    arena.sink.reset()
    sent = arena.load.paced(RATE, context.options.seed)
    arrivals, tally = arena.collect(events, running, WEBHOOK_TIMEOUT)
    return waits(events, sent, arrivals), tally
