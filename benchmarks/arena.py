"""Where contenders meet: one database with alarms, one broker vhost, one webhook sink, one load generator."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import pathlib
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any

import sqlalchemy as sa
from aodh.storage.sqlalchemy import models

from benchmarks import accounting, contenders
from benchmarks.accounting import Tally, tally
from benchmarks.children import Arrival, Distance, Load, Sink
from benchmarks.contenders import Recipe, Running
from benchmarks.ground import Ground, execute
from benchmarks.measurement import Contender
from benchmarks.options import Options
from eventalarm.conf import LISTENER_OPTS
from eventalarm.trial.own_cloud import broker_queue
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, EventSpec, Hit, alarm_row
from eventalarm.trial.own_cloud.progress import Progress
from tests.support.helpers import aodh_config, console_script

ALARM = models.Alarm.__table__
CHUNK = 5000
# Alarms are older than the look-back of any listener: except in "churn", alarms do not change.
AGE = datetime.timedelta(hours=1)
OWN_TABLES = (
    "eventalarm_delivery",
    "eventalarm_transition",
    "eventalarm_occurrence",
    "eventalarm_recorded_event",
    "eventalarm_recorded_decision",
    "alarm_history",
)
# A paused listener must not be taken for a dead one.
LEASE = 300
# Seconds without a webhook after which the database is asked whether the missing ones are expected at all.
LOOK = 5.0
WEBHOOK_TIMEOUT = 120.0
# Seconds to wait for duplicates after all expected webhooks have arrived.
GRACE = 0.5


def present() -> datetime.datetime:
    """Return the current time as Aodh's API writes it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Arena:
    """A fresh database, vhost, sink and load generator; a context manager."""

    def __init__(
        self,
        ground: Ground,
        options: Options,
        progress: Progress,
        directory: pathlib.Path,
        destinations: int = 1,
        settings: Mapping[str, Any] = MappingProxyType({}),
        *,
        distance: float | None = None,
    ) -> None:
        self._settings = settings
        self.progress = progress
        self._options = options
        self._directory = directory
        self._numbers = itertools.count()
        self._stack = contextlib.ExitStack()
        self.url = ground.transport_url()
        self.database_url = ground.database_url()
        self._contenders_url = self._at(distance) if distance else self.database_url
        self.engine = sa.create_engine(self.database_url, pool_pre_ping=True)
        self._stack.callback(self.engine.dispose)
        self._write_configurations()
        self._dbsync()
        self.sink = Sink(destinations)
        self._stack.callback(self.sink.close)
        self.load = Load(self.url)
        self._stack.callback(self.load.close)

    def _at(self, distance: float) -> str:
        """Return the URL by which the database is *distance* milliseconds away."""
        relay = Distance(self.database_url, distance)
        self._stack.callback(relay.close)
        return relay.url

    def _write_configurations(self) -> None:
        ours, stock = self._directory / "ours", self._directory / "stock"
        ours.mkdir(parents=True)
        stock.mkdir()
        self._ours = aodh_config(
            ours,
            self._contenders_url,
            self.url,
            eventalarm={
                "workers": self._options.workers,
                "record_events": self._options.record_events,
                **self._settings,
            },
            eventalarm_delivery={"lease": LEASE},
        )
        # To record history, stock Aodh needs Keystone, which is not running; eventalarm records it anyway.
        self._stock = aodh_config(stock, self._contenders_url, self.url, DEFAULT={"record_history": False})

    @property
    def conf_path(self) -> pathlib.Path:
        """The configuration of eventalarm's processes."""
        return self._ours

    def _dbsync(self) -> None:
        command = [console_script("eventalarm-dbsync"), "--config-file", str(self._ours)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"eventalarm-dbsync: {done.stdout}{done.stderr}")

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- alarms -----------------------------------------------------------------------------------------

    def insert(self, alarms: Iterable[AlarmSpec]) -> list[AlarmSpec]:
        """Insert *alarms* into Aodh's own table, in bulk, and return them."""
        made: list[AlarmSpec] = []
        moment = present() - AGE
        source = iter(alarms)
        while chunk := list(itertools.islice(source, CHUNK)):
            with self.engine.begin() as connection:
                connection.execute(ALARM.insert(), [alarm_row(spec, moment) for spec in chunk])
            made += chunk
            self.progress.tick(f"inserted {len(made):,} alarms")
        execute(
            self.database_url, "ANALYZE TABLE alarm" if self.engine.name != "postgresql" else "ANALYZE alarm"
        )
        return made

    def clean(self) -> None:
        """Reset every alarm and delete its records; no contender may be running."""
        changed = ALARM.c.state != "insufficient data"
        with self.engine.begin() as connection:
            connection.execute(ALARM.update().where(changed).values(state="insufficient data"))
        with self.engine.begin() as connection:
            for table in OWN_TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.sink.reset()

    def transitions(self, message_ids: Iterable[str], *, late: bool = False) -> list[Hit]:
        """Return eventalarm's transitions for these events: the *late* ones, or the others."""
        wanted = frozenset(message_ids)
        which = "=" if late else "<>"
        query = f"SELECT alarm_id, message_id FROM eventalarm_transition WHERE kind {which} 'late'"
        with self.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.exec_driver_sql(query) if row[1] in wanted]

    def in_alarm(self, alarm_ids: Iterable[str]) -> int:
        """Return how many of these alarms are in state ``alarm``."""
        wanted = frozenset(alarm_ids)
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(ALARM.c.alarm_id).where(ALARM.c.state == "alarm")).scalars()
            return sum(alarm_id in wanted for alarm_id in rows)

    # -- contenders -------------------------------------------------------------------------------------

    def eventalarm(self) -> Recipe:
        """Return the recipe of ``eventalarm-listener``."""
        workers = self._settings.get("workers", self._options.workers)
        return contenders.eventalarm(self._ours, workers, self._settings.get("partitions", 1))

    def stock(self) -> Recipe:
        """Return the recipe of stock Aodh."""
        return contenders.stock(self._stock)

    def null(self) -> Recipe:
        """Return the recipe of the do-nothing listener, with eventalarm's batch size and prefetch."""
        defaults = {option.dest: option.default for option in LISTENER_OPTS}
        workers = self._settings.get("workers", self._options.workers)
        return contenders.null(self.url, workers, defaults["batch_size"], defaults["prefetch"])

    def relay(self) -> Recipe:
        """Return the recipe of the raw publish → consume → POST."""
        database_url = self._contenders_url if self._options.database_floor else ""
        return contenders.relay(self.url, self.sink.bases, database_url)

    def recipes(self, floor: Recipe) -> list[Recipe]:
        """Return the contenders: the floor, eventalarm, and stock Aodh unless it is excluded."""
        return [floor, self.eventalarm(), *([self.stock()] if self._options.stock else [])]

    def launch(self, recipe: Recipe) -> Running:
        """Start a contender without waiting for it."""
        directory = self._directory / f"{recipe.contender}-{next(self._numbers)}"
        return Running(recipe, directory, self.url, self.progress)

    @contextlib.contextmanager
    def running(self, recipe: Recipe) -> Iterator[Running]:
        """Run a contender on a reset database, from the moment it takes messages to the end of the block."""
        self.clean()
        for topic in recipe.topics:
            broker_queue.purge(self.url, topic)
        running = self.launch(recipe)
        try:
            running.await_consumers()
            yield running
        finally:
            running.close()

    def prepare(self, events: Sequence[EventSpec], running: Running) -> None:
        """Have the load generator encode *events* for a contender."""
        recipe = running.recipe
        self.load.prepare(events, recipe.exchange, recipe.topic, recipe.partitions)

    # -- accounting -------------------------------------------------------------------------------------

    def collect(
        self, events: Sequence[EventSpec], running: Running, limit: float
    ) -> tuple[list[Arrival], Tally]:
        """Wait up to *limit* seconds for the webhooks of *events*, and a moment longer for duplicates.

        Return the arrivals in order, and how they compare with the expected webhooks and with the database.
        """
        owed = fired = [event.hit for event in events if event.fires]
        messages = {event.message_id for event in events}
        deadline = time.monotonic() + limit
        wanted = len(owed)
        while True:
            self.sink.wait(wanted, min(LOOK, max(0.0, deadline - time.monotonic())), self.progress)
            time.sleep(GRACE)
            arrivals = [one for one in self.sink.results() if one.message_id in messages]
            if running.recipe.contender is Contender.EVENTALARM and len(arrivals) < wanted:
                late = accounting.overtaken(fired, self.transitions(messages, late=True))
                owed = [hit for hit in fired if hit not in late]
            found = tally(owed, [one.hit for one in arrivals])
            if not found.missing or time.monotonic() > deadline:
                break
            wanted = len(arrivals) + found.missing
        if running.recipe.contender is Contender.EVENTALARM:
            found = dataclasses.replace(found, transitions=self._recorded(owed, messages))
        return arrivals, found

    def _recorded(self, owed: Sequence[Hit], messages: Collection[str]) -> int:
        """Return the number of transitions in the database minus the number of alarms in a wrong state."""
        alarms = {alarm_id for alarm_id, _ in owed}
        return len(self.transitions(messages)) - (len(alarms) - self.in_alarm(alarms))
